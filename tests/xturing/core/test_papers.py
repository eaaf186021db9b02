"""Papers: their pictures, and that nothing in them is obeyed."""

import math
import re
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xturing.core.papers import bars, curves, html, markdown
from xturing.core.papers.bars import Bar
from xturing.core.papers.blocks import (
    Bars,
    Curves,
    Paragraph,
    Quote,
    Section,
    Table,
)
from xturing.core.papers.curves import Line, thinned
from xturing.core.papers.drawing import COLOURS, WIDTH, shortened, ticks
from xturing.core.papers.escaping import printable

HOSTILE = '<script>alert("1")</script>|`*[x](http://a.b)&amp;\x00\x1b]]>\ud800```\n# y'
words = st.text(max_size=60)
numbers = st.floats(width=32)


def bar_of(value, low, high, *, name="model", group="figure", shown="") -> Bar:
    return Bar(name=name, group=group, value=value, low=low, high=high, shown=shown)


def tags_of(drawn: str) -> list[str]:
    root = ElementTree.fromstring(drawn)
    return [element.tag.rpartition("}")[2] for element in root.iter()]


@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6))
def test_ticks_are_round_and_reach_around_all_numbers(one, other):
    low, high = sorted((one, other))
    found = ticks(low, high)
    step = found[1] - found[0]
    margin = 1e-6 * step
    assert found[0] <= low + margin
    assert found[-1] >= high - margin
    assert 2 <= len(found) <= 8
    first = f"{step:.3e}"[:5]
    assert first in ("1.000", "2.000", "5.000")


@given(
    words,
    st.lists(
        st.lists(st.tuples(st.floats(width=32), st.floats(width=32)), max_size=30),
        max_size=3,
    ),
)
def test_a_picture_is_well_formed_xml_without_scripts_or_links(name, lines):
    drawn = curves.picture(
        "<b>", "x & y", "]]>", [Line("<i>", tuple(points)) for points in lines]
    )
    if drawn:
        root = ElementTree.fromstring(drawn)
        tags = {element.tag.rpartition("}")[2] for element in root.iter()}
        assert tags <= {"svg", "title", "path", "text", "polyline", "circle", "rect"}
        assert "nan" not in drawn
        assert "href" not in drawn


@given(st.lists(st.floats(0, 10), min_size=1, max_size=2000), st.integers(1, 50))
def test_thinned_points_keep_to_the_range_and_the_number_asked_for(values, most):
    found = thinned(list(enumerate(values)), most)
    assert 1 <= len(found) <= most
    assert min(values) - 1e-9 <= min(y for _, y in found)
    assert max(y for _, y in found) <= max(values) + 1e-9


def hostile_sections(text: str) -> list[Section]:
    curve = Curves(text, text, text, (Line(text, ((0.0, 1.0), (1.0, 2.0))),))
    bar = bar_of(0.5, 0.4, 0.6, name=text, group=text, shown=text)
    drawn = curve, Bars(text, text, (bar,))
    blocks = Paragraph(text), Quote(text, text), Table((text,), ((text,),)), *drawn
    return [Section(text, blocks)]


def parsed(page: str) -> ElementTree.Element:
    """Return a page as XML, which our pages are but for their first line."""
    return ElementTree.fromstring(page.partition("\n")[2])


PLAIN = html.page("x", hostile_sections("x"))


@pytest.mark.parametrize("text", [HOSTILE, "</pre><img src=x>", "'\" onload=a"])
def test_nothing_in_a_row_becomes_markup_of_the_page(text):
    made, plain = (
        parsed(page) for page in (html.page(text, hostile_sections(text)), PLAIN)
    )
    assert [(e.tag, sorted(e.attrib)) for e in made.iter()] == [
        (e.tag, sorted(e.attrib)) for e in plain.iter()
    ]


@given(words)
def test_a_page_is_well_formed_whatever_rows_hold(text):
    parsed(html.page(text, hostile_sections(text)))


def test_a_page_asks_for_nothing_outside_itself():
    assert "default-src 'none'" in PLAIN
    for word in ("<script", "<link", "<img", "src=", "href=", "url(", "@import"):
        assert word not in PLAIN


@given(words)
def test_a_quote_in_markdown_ends_where_its_words_end(text):
    written = markdown.text("t", [Section("s", (Quote("q", text),))])
    fence = written.partition("q:\n\n")[2].partition("text\n")[0]
    assert set(fence) == {"`"}
    assert fence not in text
    assert written.endswith(f"text\n{printable(text)}\n{fence}\n")


@given(words)
def test_a_cell_of_a_markdown_table_is_one_cell_without_markup(text):
    written = markdown.text("t", [Section("s", (Table(("a",), ((text,),)),))])
    last = written.rstrip("\n").split("\n")[-1]
    bare = last[2:-2].replace("\\\\", "").replace("\\|", "").replace("\\<", "")
    assert "|" not in bare
    assert "<" not in bare


@pytest.mark.parametrize("count", [1, 4, 9])
def test_the_names_of_all_lines_are_inside_the_picture(count):
    lines = [Line(f"{n} " + "model " * 20, ((0.0, 1.0),)) for n in range(count)]
    root = ElementTree.fromstring(curves.picture("t", "x", "y", lines))
    width, height = map(float, root.attrib["viewBox"].split()[2:])
    squares = [element for element in root.iter() if element.tag.endswith("rect")]
    assert len(squares) == count
    for square in squares:
        assert 0 <= float(square.attrib["x"]) <= width - curves.NAME_WIDTH
        assert 0 <= float(square.attrib["y"]) <= height - 10


@given(st.lists(st.tuples(numbers, numbers, numbers, words), max_size=6))
def test_bars_are_well_formed_xml_without_scripts_or_links(given_bars):
    drawn = bars.picture(
        "<b>",
        "]]>",
        [bar_of(*ends, name=name, group=name, shown="&") for *ends, name in given_bars],
    )
    if drawn:
        assert {*tags_of(drawn)} <= {"svg", "title", "g", "path", "rect", "text"}
        assert "=nan" not in drawn
        assert "href=" not in drawn


@given(st.lists(st.tuples(numbers, numbers, numbers), min_size=1, max_size=6))
def test_whiskers_and_bars_are_inside_the_picture(ends):
    drawn = bars.picture("t", "l", [bar_of(*each) for each in ends])
    for path in re.findall(r'<path d="([^"]*)"', drawn):
        places = [float(x) for x in re.findall(r"[MH](-?[\d.]+)", path)]
        assert all(bars.LEFT - 1 <= x <= WIDTH - bars.RIGHT + 1 for x in places)
    for x, width in re.findall(r'<rect x="([^"]*)" y="[^"]*" width="([^"]*)"', drawn):
        assert bars.LEFT - 1 <= float(x)
        assert 0 <= float(width)
        assert float(x) + float(width) <= WIDTH - bars.RIGHT + 1


def test_a_bar_is_as_long_as_its_number():
    drawn = bars.picture("t", "l", [bar_of(0.5, 0.4, 0.6), bar_of(1.0, 1.0, 1.0)])
    short, long = map(float, re.findall(r'width="([\d.]+)" height="12"', drawn))
    assert long == pytest.approx(2 * short)


def test_a_bar_stands_between_the_ends_of_its_whisker():
    drawn = bars.picture("t", "l", [bar_of(0.5, 0.25, 1.0)])
    start, width = map(
        float, re.findall(r'<rect x="([\d.]+)".*?width="([\d.]+)"', drawn)[0]
    )
    low, high = map(float, re.findall(r"M([\d.]+) [\d.]+H([\d.]+)M", drawn)[0])
    assert low - start == pytest.approx(width / 2, abs=0.2)
    assert high - start == pytest.approx(2 * width, abs=0.2)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_not_defined_has_no_bar_and_says_so(value):
    drawn = bars.picture("t", "l", [bar_of(value, value, value), bar_of(0.5, 0.4, 0.6)])
    assert tags_of(drawn).count("rect") == 1
    assert ">not defined</text>" in drawn


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_an_interval_that_is_not_defined_has_no_whisker(value):
    plain = bars.picture("t", "l", [bar_of(0.5, 0.5, 0.5)])
    drawn = bars.picture("t", "l", [bar_of(0.5, 0.5, value)])
    assert tags_of(drawn).count("path") == tags_of(plain).count("path") - 1
    assert ">0.5</text>" in drawn


def test_without_a_number_there_is_no_picture():
    assert bars.picture("t", "l", []) == ""
    assert bars.picture("t", "l", [bar_of(math.nan, 0.0, 1.0)]) == ""


def test_bars_of_one_name_have_one_colour_in_all_groups():
    drawn = bars.picture(
        "t",
        "l",
        [bar_of(1, 1, 1, name=name, group=group) for group in "ab" for name in "xyz"],
    )
    assert re.findall("fill:(#[0-9a-f]+)", drawn) == [*COLOURS[:3], *COLOURS[:3]]


def test_bars_of_one_group_stand_below_its_heading_in_whatever_order_they_come():
    mixed = [bar_of(1, 1, 1, group=group) for group in "abab"]
    sorted_bars = [bar_of(1, 1, 1, group=group) for group in "aabb"]
    assert bars.picture("t", "l", mixed) == bars.picture("t", "l", sorted_bars)


def test_bars_in_markdown_are_a_table_of_their_words():
    block = Bars("Scores", "share", (bar_of(0.5, 0.25, 1.0, name="a|b", group="f1"),))
    written = markdown.text("t", [Section("s", (block,))])
    assert written.endswith("| f1 | a\\|b | 0.5 (0.25 to 1) |\n")


@given(words, st.integers(2, 30))
def test_a_shortened_name_fits_and_keeps_its_end(name, most):
    found = shortened(name, most)
    assert len(found) == min(len(name), most)
    assert found == name or name.endswith(found[1:])


@given(words)
def test_a_heading_of_a_markdown_table_is_one_cell(text):
    written = markdown.text("t", [Section("s", (Table((text,), ((text,),)),))])
    heading, _, row = written.rstrip("\n").split("\n")[-3:]
    assert heading == row
