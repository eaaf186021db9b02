"""Files of every document format, made by the libraries that read them."""

import csv
import zipfile
from collections.abc import Callable
from email.message import EmailMessage
from pathlib import Path

import docx
import openpyxl
import pptx
from pypdf import PdfWriter
from pypdf.generic import DecodedStreamObject, DictionaryObject, NameObject

SAID = "The quick brown fox."
HTML = (
    "<html><head><title>Foxes</title><style>p {}</style></head><body>"
    "<nav><a href='/'>Home</a></nav><h1>All about <em>foxes</em></h1>"
    f"<p>{SAID}</p><script>alert('no')</script><ul><li>red<li>grey</ul>"
    "<table><tr><th>Name<th>Age</tr><tr><td>Fox</td><td>3</td></tr></table>"
    "<pre>one\n  two</pre></body></html>"
)
RTF = r"{\rtf1\ansi\ansicpg1252{\fonttbl\f0 Arial;}\f0 The quick brown fox.\par}"
CONTAINER = (
    '<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
    '<rootfile full-path="OEBPS/book.opf"/></rootfiles></container>'
)
BOOK = (
    '<package xmlns="http://www.idpf.org/2007/opf"><manifest>'
    '<item id="two" href="text/two%20b.xhtml" media-type="application/xhtml+xml"/>'
    '<item id="one" href="text/one.xhtml" media-type="application/xhtml+xml"/>'
    '<item id="picture" href="a.png" media-type="image/png"/></manifest>'
    '<spine><itemref idref="one"/><itemref idref="two"/></spine></package>'
)


def write_text(path: Path, text: str = SAID) -> None:
    path.write_text(text, encoding="utf-8")


def write_csv(path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        delimiter = "\t" if path.suffix == ".tsv" else ";"
        table = csv.writer(file, delimiter=delimiter)
        table.writerows([["name", "says"], ["Fox", SAID], ["", ""], ["a\nb", "c, d"]])


def write_docx(path: Path) -> None:
    document = docx.Document()
    document.add_heading("All about foxes", level=2)
    document.add_paragraph(SAID)
    table = document.add_table(rows=2, cols=2)
    for cell, text in zip(
        (cell for row in table.rows for cell in row.cells),
        ["Name", "Age", "Fox", "3"],
        strict=True,
    ):
        cell.text = text
    document.add_paragraph("After the table.")
    document.save(str(path))


def write_pptx(path: Path) -> None:
    show = pptx.Presentation()
    for title in ("First", "Second"):
        slide = show.slides.add_slide(show.slide_layouts[1])
        slide.shapes.title.text = title
        slide.placeholders[1].text = SAID
        slide.notes_slide.notes_text_frame.text = f"Say {title}."
    show.save(str(path))


def write_xlsx(path: Path) -> None:
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.title = "Foxes"
    sheet.append(["name", "age", "says"])
    sheet.append(["Fox", 3.0, SAID])
    book.create_sheet("Empty")
    book.save(path)


def write_eml(path: Path) -> None:
    mail = EmailMessage()
    mail["Subject"] = "Foxes – again"
    mail["Date"] = "Mon, 23 Nov 2026 10:00:00 +0000"
    mail.set_content(SAID)
    mail.add_alternative(f"<p>Not {SAID}</p>", subtype="html")
    mail.add_attachment(b"x", maintype="image", subtype="png", filename="fox.png")
    path.write_bytes(bytes(mail))


def write_epub(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("mimetype", "application/epub+zip")
        archive.writestr("META-INF/container.xml", CONTAINER)
        archive.writestr("OEBPS/book.opf", BOOK)
        archive.writestr("OEBPS/text/one.xhtml", f"<h1>One</h1><p>{SAID}</p>")
        archive.writestr("OEBPS/text/two b.xhtml", "<h1>Two</h1><p>The end.</p>")


def write_pdf(path: Path, *pages: str, password: str | None = None) -> None:
    writer = PdfWriter()
    font = DictionaryObject(
        {
            NameObject("/Type"): NameObject("/Font"),
            NameObject("/Subtype"): NameObject("/Type1"),
            NameObject("/BaseFont"): NameObject("/Helvetica"),
        }
    )
    for text in pages or (SAID, "", "The end."):
        page = writer.add_blank_page(300, 300)
        fonts = DictionaryObject({NameObject("/F"): writer._add_object(font)})
        page[NameObject("/Resources")] = DictionaryObject({NameObject("/Font"): fonts})
        stream = DecodedStreamObject()
        stream.set_data(f"BT /F 12 Tf 20 200 Td ({text}) Tj ET".encode())
        page[NameObject("/Contents")] = writer._add_object(stream)
    if password is not None:
        writer.encrypt(password, owner_password="owner", algorithm="AES-256")
    writer.write(path)


WRITERS: dict[str, Callable[[Path], None]] = {
    "csv": write_csv,
    "docx": write_docx,
    "eml": write_eml,
    "epub": write_epub,
    "htm": lambda path: write_text(path, HTML),
    "html": lambda path: write_text(path, HTML),
    "markdown": write_text,
    "md": write_text,
    "pdf": write_pdf,
    "pptx": write_pptx,
    "rtf": lambda path: write_text(path, RTF),
    "tsv": write_csv,
    "txt": write_text,
    "xhtml": lambda path: write_text(path, HTML),
    "xlsx": write_xlsx,
}
"""A writer for each suffix."""
