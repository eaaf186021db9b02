"""The documentation as pages: that of the project, and the faults of others."""

import ast
import posixpath
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import typer
from documenting import commands, guides, reading, reference, site
from documenting.pages import Faults, anchors

from xturing.core.errors import DataError

ROOT = Path(__file__).parents[2]
SURFACE = ROOT / "tests" / "architecture" / "surface.txt"


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Return the folder of the project's own documentation."""
    folder = tmp_path_factory.mktemp("docs") / "site"
    site.write_site(ROOT, folder)
    return folder


class Parsed(HTMLParser):
    """What a page links to, and what can be linked to on it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.ids: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        told = dict(attrs)
        self.links += [told[name] for name in ("href", "src") if told.get(name)]
        self.ids += [told["id"]] if "id" in told else []
        if tag not in ("meta", "link", "input", "br", "hr", "img"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def parsed(built):
    files = sorted(built.rglob("*.html"))
    return {file: Parsed(file.read_text("utf-8")) for file in files}


def test_every_readme_of_the_project_is_a_page(built):
    for readme in [ROOT / "README.md", *ROOT.glob("*/xturing*/README.md")]:
        page = built / readme.relative_to(ROOT).parent / "index.html"
        title = readme.read_text().partition("\n")[0].removeprefix("# ")
        assert f"<title>{title} ·" in page.read_text()


def test_every_link_of_every_page_leads_to_a_file_and_a_part_of_it(built, parsed):
    for file, page in parsed.items():
        for link in page.links:
            split = urlsplit(link)
            if split.scheme:
                continue
            goal = file.parent / split.path if split.path else file
            goal = Path(posixpath.normpath(goal))
            assert goal.is_file(), f"{file}: {link}"
            if split.fragment:
                assert unquote(split.fragment) in parsed[goal].ids, f"{file}: {link}"


def test_no_page_takes_anything_from_elsewhere(built, parsed):
    for file in built.rglob("*.html"):
        text = file.read_text()
        assert 'src="http' not in text
        assert text.count("<link ") == text.count('<link rel="stylesheet"') == 1
    assert "http" not in (built / "style.css").read_text()
    assert "http" not in (built / "search.js").read_text()


def test_tags_are_closed_in_the_order_in_which_they_were_opened(parsed):
    assert [file for file, page in parsed.items() if page.open] == []


def test_no_anchor_stands_twice_on_a_page(parsed):
    for file, page in parsed.items():
        assert len(page.ids) == len(set(page.ids)), file


def test_every_public_name_has_its_entry(built, parsed):
    for name in SURFACE.read_text().split():
        module, _, attribute = name.rpartition(".")
        assert attribute in parsed[built / "reference" / f"{module}.html"].ids, name


def test_every_command_has_its_entry(built, parsed):
    from xturing.cli.main import app

    ids = parsed[built / "reference" / "commands.html"].ids
    for command in typer.main.get_command(app).commands:
        assert f"xturing-{command}" in ids


def test_every_page_is_found_by_the_search(built, parsed):
    start = "const ENTRIES = "
    text = (built / "entries.js").read_text()
    entries = ast.literal_eval(text.removeprefix(start).strip().removesuffix(";"))
    places = {place.partition("#")[0] for _, place, _ in entries}
    assert places == {file.relative_to(built).as_posix() for file in parsed}


# ---------------------------------------------------------------- what is wrong


@pytest.fixture
def root(tmp_path):
    (tmp_path / "README.md").write_text("# Start\n\nSee [one](packages/xturing-one).\n")
    package = tmp_path / "packages" / "xturing-one"
    source = package / "src" / "xturing" / "one"
    source.mkdir(parents=True)
    (package / "README.md").write_text("# xturing-one\n\n## A part\n\nText.\n")
    (source / "__init__.py").write_text(
        '"""One."""\n\nfrom xturing.one.inner import work\n\n__all__ = ["work"]\n'
    )
    (source / "inner.py").write_text(
        '"""Inner."""\n\n\ndef work(x: int, *, y: str = "a") -> int:\n'
        '    """Work.\n\n    Raises:\n        ValueError: it is hard.\n    """\n'
    )
    return tmp_path


def faults_of(root: Path) -> list[str]:
    faults = Faults()
    pages = [*guides.guides(root, faults), *reference.reference(root, faults)]
    site.check_links(pages, faults)
    return faults.found


def test_a_project_without_faults_has_none(root):
    assert faults_of(root) == []


def test_a_link_that_leads_nowhere_is_told_with_its_line(root):
    with (root / "README.md").open("a") as file:
        file.write("\nSee [two](packages/xturing-two).\n")
    (found,) = faults_of(root)[:1]
    assert found == "README.md:5: the link to 'packages/xturing-two' leads to no page"


def test_a_part_that_is_not_there_is_told(root):
    text = (
        "# Start\n\n[one](packages/xturing-one#a-part) [two](packages/xturing-one#b)\n"
    )
    (root / "README.md").write_text(text)
    assert faults_of(root) == [
        "index.html: packages/xturing-one/index.html has no part 'b'"
    ]


def test_a_public_name_that_nothing_explains_is_told_with_its_place(root):
    inner = root / "packages/xturing-one/src/xturing/one/inner.py"
    inner.write_text('"""Inner."""\n\n\ndef work(x: int) -> int: ...\n')
    reading.parsed.cache_clear()
    (found,) = faults_of(root)
    assert found == (
        "packages/xturing-one/src/xturing/one/inner.py:4: 'work' has no docstring"
    )


def test_faults_are_told_together(root):
    faults = Faults()
    faults.add("one.md:1", "this")
    faults.add("two.md:2", "that")
    with pytest.raises(DataError, match=r"one\.md:1: this\ntwo\.md:2: that"):
        faults.refuse()


# ---------------------------------------------------------------- parts


def test_a_command_that_does_not_say_what_it_does_is_told():
    app = typer.Typer(name="mute")
    app.command()(lambda: None)
    faults = Faults()
    commands.commands(app, faults)
    assert "it does not say what the command does" in faults.found[0]


@pytest.mark.parametrize(
    "text",
    [
        "def f() -> None",
        "def f(a, b: int = 1, /, c=2, *rest: str, d, e: bool = True, **more: Any)",
        "def f(a: int, *, b: str = 'x') -> dict[str, int]",
        "async def f(a) -> int",
    ],
)
def test_a_signature_is_what_stands_in_the_source(text):
    (node,) = ast.parse(f"{text}: ...").body
    assert reading.signature(node) == text


def test_a_long_signature_has_a_line_for_each_parameter():
    many = ", ".join(f"parameter_{number}: int" for number in range(6))
    (node,) = ast.parse(f"def f({many}) -> None: ...").body
    lines = reading.signature(node).splitlines()
    assert len(lines) == 8
    assert all(len(line) <= reading.WIDEST for line in lines)


def test_headings_of_one_page_get_different_anchors():
    make = anchors()
    titles = ("A `part`", "Is it better?", "A part")
    assert [make(title) for title in titles] == ["a-part", "is-it-better", "a-part-1"]


def test_the_errors_of_a_docstring_become_a_list():
    said = reference.text(
        "Work.\n\nRaises:\n    ValueError: it is\n        hard.\n\nMore."
    )
    assert "<li><code>ValueError</code>: it is\nhard.</li>" in said
    assert said.endswith("<p>More.</p>\n")


def test_stars_in_a_docstring_stay_stars():
    assert "*.0.*" in reference.text('Names such as "*.0.*".')
