"""The commands as their `--help` has them, each with its options."""

import re
from collections.abc import Iterator
from typing import Any

import typer

from documenting.guides import render, render_line
from documenting.pages import Faults, Page, Section, code

COMMANDS = "Commands"
EXAMPLE = re.compile(r"Example: (.+?)(?=\n\n|\Z)", re.DOTALL)


def commands(app: typer.Typer, faults: Faults) -> Page:
    """Return the page of all commands of a program."""
    top: Any = typer.main.get_command(app)
    sections = [Section(anchor="", title="The command", level=1)]
    parts = [f"<h1>The command {code(top.name)}</h1>"]
    for name, command in _all(top.name, top):
        anchor = name.replace(" ", "-")
        said = command.help or ""
        if not said.strip():
            faults.add(f"`{name} --help`", "it does not say what the command does")
        parts.append(_command(name, anchor, command, faults))
        sections.append(
            Section(anchor=anchor, title=name, level=2, text=said.split("\n")[0])
        )
    return Page(
        path="reference/commands.html",
        title="The command",
        group=COMMANDS,
        body="\n".join(parts),
        sections=sections,
    )


def _all(name: str, command: Any) -> Iterator[tuple[str, Any]]:
    """Yield a command and those within it, by what is typed."""
    yield name, command
    for inner, each in getattr(command, "commands", {}).items():
        if not each.hidden:
            yield from _all(f"{name} {inner}", each)


def _command(name: str, anchor: str, command: Any, faults: Faults) -> str:
    shown = [each for each in command.params if not getattr(each, "hidden", False)]
    rows = "".join(_parameter(each, name, faults) for each in shown)
    table = (
        "<table><thead><tr><th>option</th><th>what it does</th></tr></thead>"
        f"<tbody>{rows}</tbody></table>"
    )
    return (
        f'<section id="{anchor}"><h2>{code(name)}</h2>{_said(command.help or "")}'
        f"{table if rows else ''}</section>"
    )


def _said(text: str) -> str:
    """Return a help text as HTML; its examples stand in the type of code."""
    return render(EXAMPLE.sub(_as_code, text))


def _as_code(found: re.Match[str]) -> str:
    return f"Example: `{' '.join(found[1].split())}`"


def _parameter(parameter: Any, command: str, faults: Faults) -> str:
    is_option = parameter.param_type_name == "option"
    names = [*parameter.opts, *parameter.secondary_opts]
    shown = ", ".join(names) if is_option else (parameter.metavar or parameter.name)
    if is_option and parameter.metavar:
        shown += f" {parameter.metavar}"
    help_text = parameter.help or ""
    if is_option and not help_text:
        faults.add(f"`{command} --help`", f"{names[0]} does not say what it does")
    told = render_line(help_text)
    default = parameter.default
    if default not in (None, False, (), []) and not callable(default):
        told += f" Default: {code(str(default))}."
    if parameter.required:
        told += " Required."
    return f"<tr><td>{code(shown)}</td><td>{told}</td></tr>"
