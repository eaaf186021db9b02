"""Text out of files of every format, and a name for each that gives none."""

import os
import random
import socket
import sys
import zipfile
from pathlib import Path

import docx
import openpyxl
import pytest
from files import HTML, SAID, WRITERS, write_docx, write_pdf, write_text
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from xturing.core.errors import DataError, MissingDependencyError
from xturing.data.documents import (
    READERS,
    Documents,
    TextDocument,
    archives,
    read_document,
    read_documents,
)
from xturing.data.documents.html_file import html_text

each_suffix = pytest.mark.parametrize("suffix", list(READERS))


@pytest.fixture
def made(tmp_path):
    """Return a function that makes a file by its suffix, and reads it."""

    def make(suffix: str) -> TextDocument:
        file = tmp_path / f"made.{suffix}"
        WRITERS[suffix](file)
        return read_document(file)

    return make


@each_suffix
def test_every_format_gives_its_words(made, suffix):
    assert SAID in made(suffix).text


def test_suffixes_are_known_in_any_case(tmp_path):
    write_text(tmp_path / "A.TXT")
    assert read_document(tmp_path / "A.TXT").text == SAID


def test_a_page_keeps_headings_lists_and_tables_and_drops_the_rest(made):
    assert made("html").text == (
        f"# All about foxes\n\n{SAID}\n\n- red\n- grey\n\nName | Age\nFox | 3\n\n"
        "one\n  two"
    )


def test_a_page_without_a_heading_has_its_title():
    assert html_text("<title>A fox</title><p>Hi") == "# A fox\n\nHi"


def test_what_is_dropped_of_a_page_ends_where_it_ends():
    assert html_text("<nav><svg><p>a</nav><p>b<script>'<p>c'</script>d") == "bd"


def test_a_page_is_read_in_the_encoding_it_declares(tmp_path):
    page = '<meta charset="iso-8859-1"><p>Füchse'.encode("latin-1")
    (tmp_path / "a.html").write_bytes(page)
    assert read_document(tmp_path / "a.html").text == "Füchse"


def test_a_document_keeps_the_order_of_headings_texts_and_tables(made):
    assert made("docx").text == (
        f"## All about foxes\n\n{SAID}\n\nName | Age\nFox | 3\n\nAfter the table."
    )


WRAPPED = {
    "a content control": "<w:sdt><w:sdtContent>{}</w:sdtContent></w:sdt>",
    "a tracked insertion": "<w:p><w:ins><w:r><w:t>Kept.</w:t></w:r></w:ins></w:p>",
    "a text box": "<w:p><w:r><w:txbxContent>{}</w:txbxContent></w:r></w:p>",
}


@pytest.mark.parametrize("markup", WRAPPED.values(), ids=WRAPPED)
def test_words_that_python_docx_passes_over_are_found(markup, tmp_path):
    paragraph = "<w:p><w:r><w:t>Kept.</w:t></w:r></w:p>"
    assert body(tmp_path, markup.format(paragraph)).text == "Kept."


def test_deleted_words_are_gone(tmp_path):
    words = "<w:del><w:r><w:delText>no</w:delText></w:r></w:del>"
    kept = "<w:r><w:t>yes</w:t></w:r>"
    assert body(tmp_path, f"<w:p>{words}{kept}</w:p>").text == "yes"


def body(folder: Path, markup: str) -> TextDocument:
    """Return what is read of a document with the given body."""
    made = docx.Document()
    root = "xmlns:w='http://schemas.openxmlformats.org/wordprocessingml/2006/main'"
    for element in docx.oxml.parse_xml(f"<w:body {root}>{markup}</w:body>"):
        made.element.body.insert(0, element)
    made.save(str(folder / "a.docx"))
    return read_document(folder / "a.docx")


def test_slides_are_parts_with_their_notes(made):
    first, second = made("pptx").parts
    assert (first.name, second.name) == ("slide 1", "slide 2")
    assert first.text == f"# First\n\n{SAID}\n\nNotes: Say First."


def test_sheets_are_parts_of_lines(made):
    (sheet,) = made("xlsx").parts
    assert (sheet.name, sheet.text) == (
        "sheet Foxes",
        f"name | age | says\nFox | 3 | {SAID}",
    )


@pytest.mark.parametrize("suffix", ["csv", "tsv"])
def test_a_table_has_a_line_a_row_whatever_its_delimiter(made, suffix):
    assert made(suffix).text == f"name | says\nFox | {SAID}\na b | c, d"


def test_pages_keep_their_numbers(made):
    assert [(part.name, part.text) for part in made("pdf").parts] == [
        ("page 1", SAID),
        ("page 3", "The end."),
    ]


def test_chapters_come_in_the_order_of_the_spine(made):
    assert made("epub").text == f"# One\n\n{SAID}\n\n# Two\n\nThe end."


def test_a_mail_gives_subject_date_attachments_and_plain_text(made):
    assert made("eml").text == (
        "Subject: Foxes – again\nDate: Mon, 23 Nov 2026 10:00:00 +0000\n"
        f"Attachments: fox.png\n\n{SAID}"
    )


def test_a_mail_in_html_alone_is_turned_to_text(tmp_path):
    mail = f"Subject: x\nContent-Type: text/html\n\n{HTML}"
    write_text(tmp_path / "a.eml", mail)
    assert SAID in read_document(tmp_path / "a.eml").text
    assert "alert" not in read_document(tmp_path / "a.eml").text


def test_rich_text_is_in_its_own_code_page(tmp_path):
    (tmp_path / "a.rtf").write_bytes(rb"{\rtf1\ansi\ansicpg1251 \'cb\'e8" + b"\xf1}")
    assert read_document(tmp_path / "a.rtf").text == "Лис"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_text_is_known_by_its_byte_order_mark(encoding, tmp_path):
    (tmp_path / "a.txt").write_bytes("één\r\nFuchs".encode(encoding))
    assert read_document(tmp_path / "a.txt").text == "één\nFuchs"


def test_a_pdf_that_is_only_locked_against_changes_is_read(tmp_path):
    write_pdf(tmp_path / "a.pdf", password="")
    assert SAID in read_document(tmp_path / "a.pdf").text


def test_the_real_letter_is_read(letter):
    document = read_document(letter)
    assert [part.name for part in document.parts] == [f"page {n}" for n in (1, 2, 3, 4)]
    assert "strategic actions" in document.text


def claims(path: Path, size: int, name: str) -> None:
    """Write an archive that unpacks to more than it is large."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, b"0" * size)


def write_scan(path: Path) -> None:
    write_pdf(path, "", "")


def write_sheet_of_many_cells(path: Path) -> None:
    book = openpyxl.Workbook()
    book.active.cell(200_000, 1, "far down")
    book.save(path)


WRONG = {
    "an unknown format": (
        "a.docs",
        write_text,
        "is of no format that is read here .Did you mean 'docx'",
    ),
    "a file without a suffix": ("a", write_text, "is of no format"),
    "an empty file": ("a.txt", Path.touch, "holds no text"),
    "wrong encoding": (
        "a.txt",
        lambda path: path.write_bytes("né".encode("latin-1")),
        "is not utf-8 text .byte 1 is 0xe9.; save it as UTF-8",
    ),
    "NUL bytes": ("a.md", lambda path: path.write_bytes(b"a\0b"), "holds NUL bytes"),
    "a pdf of pictures": ("a.pdf", write_scan, "has 2 pages and no text in them"),
    "an encrypted pdf": (
        "a.pdf",
        lambda path: write_pdf(path, password="secret"),
        "is encrypted; save it without a password",
    ),
    "an encrypted document": (
        "a.docx",
        lambda path: path.write_bytes(archives.OLD_OFFICE + bytes(600)),
        "is encrypted, or of the binary format",
    ),
    "text that calls itself a document": ("a.docx", write_text, "is no .docx file"),
    "another archive": (
        "a.xlsx",
        lambda path: claims(path, 10, "a.txt"),
        "is no .xlsx file, or a broken one",
    ),
    "text that calls itself mail": (
        "a.eml",
        write_text,
        "has none of a mail's headers",
    ),
    "text that calls itself rtf": ("a.rtf", write_text, "does not begin as"),
    "a quote that never ends": (
        "a.csv",
        lambda path: write_text(path, 'a,"b\nc'),
        "is no .csv file, or a broken one",
    ),
    "a pipe": ("a.txt", os.mkfifo, "is no ordinary file"),
    "a link to itself": (
        "a.txt",
        lambda path: path.symlink_to(path),
        "cannot be opened",
    ),
}


@pytest.mark.parametrize(("name", "write", "reason"), WRONG.values(), ids=WRONG)
def test_a_file_without_text_is_named_and_the_others_are_read(
    name, write, reason, tmp_path
):
    write(tmp_path / name)
    write_text(tmp_path / "good.txt")
    read = read_documents(tmp_path)
    assert [document.text for document in read.documents] == [SAID]
    (failure,) = read.failures
    assert failure.path == tmp_path / name
    with pytest.raises(DataError, match=f"{name} {reason}"):
        read_document(tmp_path / name)


@pytest.mark.parametrize("suffix", ["docx", "epub", "pptx", "xlsx"])
@pytest.mark.parametrize("name", ["word/document.xml", "word/media/a.bin"])
def test_a_zip_bomb_is_not_unpacked(suffix, name, tmp_path, monkeypatch):
    bomb = tmp_path / f"a.{suffix}"
    claims(bomb, 2 * 10**6, name)
    assert bomb.stat().st_size < 10_000
    monkeypatch.setattr(archives, "LARGEST_MARKUP", 10**6)
    monkeypatch.setattr(archives, "LARGEST_UNPACKED", 10**6)
    monkeypatch.setattr(zipfile.ZipFile, "open", None)
    (failure,) = read_documents(bomb).failures
    assert "would unpack to 2,000,000 bytes" in failure.reason


def test_a_sheet_that_claims_too_many_cells_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("xturing.data.documents.xlsx_file.MOST_CELLS", 1000)
    write_sheet_of_many_cells(tmp_path / "a.xlsx")
    with pytest.raises(DataError, match="has more than 1,000 cells in sheet 'Sheet'"):
        read_document(tmp_path / "a.xlsx")


def test_a_file_over_the_limit_is_not_opened(tmp_path):
    write_text(tmp_path / "a.txt", "x" * 100)
    with pytest.raises(DataError, match="has 100 bytes, more than largest_file=99"):
        read_document(tmp_path / "a.txt", largest_file=99)


def test_what_markup_refers_to_is_neither_read_nor_fetched(tmp_path, monkeypatch):
    monkeypatch.setattr(socket, "socket", None)
    (tmp_path / "secret").write_text("SECRET")
    kind = f"<!DOCTYPE a [<!ENTITY x SYSTEM 'file://{tmp_path / 'secret'}'>]>"
    write_docx(tmp_path / "a.docx")
    with (
        zipfile.ZipFile(tmp_path / "a.docx") as old,
        zipfile.ZipFile(tmp_path / "b.docx", "w") as new,
    ):
        for name in old.namelist():
            data = old.read(name)
            if name == "word/document.xml":
                head, _, rest = data.partition(b"?>")
                rest = rest.replace(SAID.encode(), SAID.encode() + b"&x;")
                data = head + b"?>" + kind.encode() + rest
            new.writestr(name, data)
    read = read_documents(tmp_path / "b.docx")
    assert "SECRET" not in "".join(document.text for document in read.documents)


SLOW = {
    "a tag that never ends": ("a.html", b"<a " * 20_000),
    "a comment that never ends": ("a.html", b"<!--" * 20_000),
    "tags in tags": ("a.html", b"<div>" * 20_000),
    "groups in groups": ("a.rtf", rb"{\rtf1" + rb"{\pict " * 20_000),
    "mails in mails": (
        "a.eml",
        b"Subject: x\nContent-Type: multipart/mixed; boundary=a\n\n--a\n" * 20_000,
    ),
    "brackets in brackets": ("a.eml", b"From: " + b"(" * 20_000),
}


@pytest.mark.timeout(30)
@pytest.mark.parametrize(("name", "content"), SLOW.values(), ids=SLOW)
def test_a_small_file_does_not_take_long(name, content, tmp_path):
    (tmp_path / name).write_bytes(content)
    assert_read_or_named(tmp_path / name)


def test_words_deep_inside_a_page_are_found():
    assert html_text("<div>" * 5000 + "deep" + "</div>" * 5000 + "<p>on") == (
        "deep\n\non"
    )


def test_the_order_is_that_of_the_names(tmp_path):
    names = ["b.txt", "a/z.txt", "a/b/c.txt", "c.txt", "B.txt"]
    random.Random(0).shuffle(names)
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        write_text(tmp_path / name)
    origins = [document.origin for document in read_documents(tmp_path).documents]
    found = [Path(origin).relative_to(tmp_path).as_posix() for origin in origins]
    assert found == ["B.txt", "b.txt", "c.txt", "a/z.txt", "a/b/c.txt"]


def test_links_that_lead_back_are_followed_once(tmp_path):
    (tmp_path / "real" / "inner").mkdir(parents=True)
    (tmp_path / "real" / "inner" / "back").symlink_to(tmp_path / "real")
    write_text(tmp_path / "real" / "a.txt")
    (tmp_path / "real" / "gone.txt").symlink_to(tmp_path / "nowhere")
    read = read_documents(tmp_path)
    assert len(read.documents) == 1
    assert [failure.path.name for failure in read.failures] == ["gone.txt"]


def test_hidden_files_are_passed_over(tmp_path):
    (tmp_path / ".git").mkdir()
    write_text(tmp_path / ".git" / "a.txt")
    write_text(tmp_path / ".a.txt")
    assert read_documents(tmp_path) == Documents((), ())


def test_a_folder_that_is_not_there_is_no_empty_one(tmp_path):
    with pytest.raises(DataError, match="There is no file or folder"):
        read_documents(tmp_path / "gone")


def test_named_files_come_in_their_order(tmp_path):
    write_text(tmp_path / "a.txt", "a")
    write_text(tmp_path / "b.txt", "b")
    read = read_documents([tmp_path / "b.txt", str(tmp_path / "a.txt"), "gone.txt"])
    assert [document.text for document in read.documents] == ["b", "a"]
    assert str(read.failures[0]).startswith("gone.txt cannot be opened (No such file")


def test_a_missing_library_is_the_machine_s_fault_not_the_file_s(tmp_path, monkeypatch):
    write_pdf(tmp_path / "a.pdf")
    monkeypatch.setitem(sys.modules, "pypdf", None)
    with pytest.raises(MissingDependencyError, match=r"xturing-data\[documents\]"):
        read_documents(tmp_path)


fuzzed = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@each_suffix
@fuzzed
@given(data=st.binary(max_size=300))
def test_any_bytes_are_a_text_or_a_failure(suffix, data, tmp_path):
    file = tmp_path / f"a.{suffix}"
    file.write_bytes(data)
    assert_read_or_named(file)


@each_suffix
@fuzzed
@given(data=st.data())
def test_a_damaged_file_is_a_text_or_a_failure(suffix, data, tmp_path):
    whole = tmp_path / f"whole.{suffix}"
    if not whole.exists():
        WRITERS[suffix](whole)
    content = bytearray(whole.read_bytes())
    for _ in range(data.draw(st.integers(1, 5))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place] = data.draw(st.integers(0, 255))
    file = tmp_path / f"a.{suffix}"
    file.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    assert_read_or_named(file)


def assert_read_or_named(file: Path) -> None:
    read = read_documents(file)
    assert len(read.documents) + len(read.failures) == 1
    for document in read.documents:
        document.text.encode("utf-8")
    for failure in read.failures:
        assert "\n" not in str(failure)
