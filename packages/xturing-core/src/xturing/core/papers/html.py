"""A paper as one HTML page, which asks for nothing outside itself."""

from collections.abc import Sequence
from html import escape

from xturing.core.papers import bars, curves
from xturing.core.papers.blocks import (
    Bars,
    Block,
    Curves,
    Paragraph,
    Quote,
    Section,
    Table,
)
from xturing.core.papers.escaping import markup

STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto;
  padding: 0 1rem; color: CanvasText; background: Canvas; }
h2 { margin-top: 2.5rem; border-bottom: 1px solid #8886; }
table { border-collapse: collapse; display: block; overflow-x: auto; }
th, td { padding: .2rem .8rem .2rem 0; text-align: left; vertical-align: top;
  border-bottom: 1px solid #8883; overflow-wrap: anywhere; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; background: #8882;
  padding: .6rem; border-radius: .3rem; margin: .2rem 0 .8rem; }
figure { margin: 1rem 0; } svg { max-width: 100%; }
.label { font-size: .85em; opacity: .75; margin: 0; }
"""


def page(title: str, sections: Sequence[Section]) -> str:
    """Return the page; everything that it is given is shown and never obeyed."""
    body = "\n".join(
        f"<section><h2>{markup(section.title)}</h2>\n"
        + "\n".join(_written(block) for block in section.blocks)
        + "</section>"
        for section in sections
    )
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"/>
<meta http-equiv="Content-Security-Policy" \
content="default-src 'none'; style-src 'unsafe-inline'"/>
<meta name="viewport" content="width=device-width"/>
<title>{markup(title)}</title><style>{STYLE}</style></head>
<body><h1>{markup(title)}</h1>
{body}
</body></html>
"""


def framed(page: str, height: str = "75vh") -> str:
    """Return a page as part of another one, which it can neither see nor change.

    It is shown to be read: no script in it runs. `height` is as CSS has it.
    """
    style = f"width: 100%; height: {height}; border: 1px solid #8884"
    return (
        f'<iframe sandbox="allow-same-origin" srcdoc="{escape(page)}" '
        f'style="{style}"></iframe>'
    )


def _written(block: Block) -> str:
    match block:
        case Paragraph(text):
            return f"<p>{markup(text)}</p>"
        case Quote(title, text):
            label = f'<p class="label">{markup(title)}</p>'
            return f"{label}<pre>{markup(text)}</pre>"
        case Table(columns, rows):
            head = _row("th", columns)
            body = "".join(_row("td", row) for row in rows)
            return f"<table><thead>{head}</thead><tbody>{body}</tbody></table>"
        case Curves(title, x_label, y_label, lines):
            return _figure(title, curves.picture(title, x_label, y_label, lines))
        case Bars(title, label, drawn):
            return _figure(title, bars.picture(title, label, drawn))


def _figure(title: str, picture: str) -> str:
    return f"<figure>{picture}<figcaption>{markup(title)}</figcaption></figure>"


def _row(tag: str, cells: Sequence[str]) -> str:
    written = "".join(f"<{tag}>{markup(cell)}</{tag}>" for cell in cells)
    return f"<tr>{written}</tr>\n"
