"""Public names as their source files have them; nothing is imported."""

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Literal

Function = ast.FunctionDef | ast.AsyncFunctionDef
Kind = Literal["class", "function", "property", "value"]
WIDEST = 84
"""Columns of a signature on one line."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A name, and what its source says of it."""

    name: str
    kind: Kind
    place: str
    """File and line."""
    signature: str
    docstring: str | None
    members: Sequence["Entry"] = ()
    """Of a class: its fields, properties and methods."""
    maker: str | None = None
    """Of a value: the function or class that is called for it."""


@dataclass(frozen=True)
class Sources:
    """The source files of the packages, by the names of their modules."""

    root: Path

    def packages(self) -> list[str]:
        """Return the modules that say which names of theirs are public."""
        files = sorted(self.root.glob("*/xturing*/src/xturing/**/__init__.py"))
        names = [_module_name(file) for file in files]
        return sorted(name for name in names if self.exported(name))

    def exported(self, module: str) -> list[str]:
        """Return the names in a module's `__all__`."""
        for node in parsed(self.file(module)).body:
            if isinstance(node, ast.Assign) and _names(node) == ["__all__"]:
                return list(ast.literal_eval(node.value))
        return []

    def summary(self, module: str) -> str | None:
        """Return a module's docstring."""
        return ast.get_docstring(parsed(self.file(module)))

    def entry(self, module: str, name: str) -> Entry | None:
        """Return a name, from wherever it is defined.

        A value that has no docstring has that of what makes it.
        """
        file = self.file(module)
        place = file.relative_to(self.root).as_posix()
        entries = {entry.name: entry for entry in _entries(parsed(file).body, place)}
        if name in entries:
            found = entries[name]
            if found.docstring or found.maker in (None, name):
                return found
            made_by = self.entry(module, found.maker)
            return replace(found, docstring=made_by.docstring) if made_by else found
        for node in ast.walk(parsed(file)):
            if isinstance(node, ast.ImportFrom):
                for alias in node.names:
                    if (alias.asname or alias.name) == name:
                        return self._imported(node.module or "", alias.name)
        return None

    def _imported(self, module: str, name: str) -> Entry | None:
        return self.entry(module, name) if module.startswith("xturing.") else None

    def file(self, module: str) -> Path:
        """Return a module's file."""
        inner = module.replace(".", "/")
        for ending in (f"{inner}/__init__.py", f"{inner}.py"):
            for found in self.root.glob(f"*/xturing*/src/{ending}"):
                return found
        raise FileNotFoundError(f"There is no module {module} under {self.root}.")


@cache
def parsed(file: Path) -> ast.Module:
    """Return a file's syntax."""
    return ast.parse(file.read_text("utf-8"))


def signature(node: Function) -> str:
    """Return how a function is called, on one line if it fits."""
    parts = list(_parameters(node.args))
    if parts and parts[0].partition(":")[0] in ("self", "cls"):
        parts.pop(0)
    start = "async def " if isinstance(node, ast.AsyncFunctionDef) else "def "
    end = f") -> {ast.unparse(node.returns)}" if node.returns else ")"
    line = f"{start}{node.name}({', '.join(parts)}{end}"
    if len(line) <= WIDEST:
        return line
    inner = "".join(f"    {part},\n" for part in parts)
    return f"{start}{node.name}(\n{inner}{end}"


def _parameters(given: ast.arguments) -> Iterator[str]:
    plain = [*given.posonlyargs, *given.args]
    missing: list[ast.expr | None] = [None] * (len(plain) - len(given.defaults))
    for number, (parameter, default) in enumerate(
        zip(plain, [*missing, *given.defaults], strict=True), start=1
    ):
        yield _parameter(parameter, default)
        if number == len(given.posonlyargs):
            yield "/"
    if given.vararg:
        yield f"*{_parameter(given.vararg, None)}"
    elif given.kwonlyargs:
        yield "*"
    for parameter, default in zip(given.kwonlyargs, given.kw_defaults, strict=True):
        yield _parameter(parameter, default)
    if given.kwarg:
        yield f"**{_parameter(given.kwarg, None)}"


def _parameter(node: ast.arg, default: ast.expr | None) -> str:
    typed = f": {ast.unparse(node.annotation)}" if node.annotation else ""
    if default is None:
        return node.arg + typed
    return f"{node.arg}{typed}{' = ' if typed else '='}{ast.unparse(default)}"


def _entries(body: Sequence[ast.stmt], place: str) -> Iterator[Entry]:
    """Yield what a module or class defines; of overloads, the last is the one."""
    for number, node in enumerate(body):
        following = body[number + 1] if number + 1 < len(body) else None
        if isinstance(node, ast.ClassDef):
            yield _class(node, place)
        elif isinstance(node, Function):
            yield _function(node, place)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            for name in _names(node):
                yield _value(name, node, following, f"{place}:{node.lineno}")


def _class(node: ast.ClassDef, place: str) -> Entry:
    bases = ", ".join(map(ast.unparse, [*node.bases, *node.keywords]))
    known = {entry.name: entry for entry in _entries(node.body, place)}
    making = known.get("__init__")
    head = f"class {node.name}({bases})" if bases else f"class {node.name}"
    if making is not None:
        head = making.signature.replace("def __init__(", f"{node.name}(", 1)
        head = head.removesuffix(" -> None")
    members = [entry for entry in known.values() if not entry.name.startswith("_")]
    return Entry(
        name=node.name,
        kind="class",
        place=f"{place}:{node.lineno}",
        signature=head,
        docstring=ast.get_docstring(node),
        members=members,
    )


def _function(node: Function, place: str) -> Entry:
    decorators = {ast.unparse(each) for each in node.decorator_list}
    is_property = not decorators.isdisjoint({"property", "cached_property"})
    returned = f": {ast.unparse(node.returns)}" if node.returns else ""
    return Entry(
        name=node.name,
        kind="property" if is_property else "function",
        place=f"{place}:{node.lineno}",
        signature=f"{node.name}{returned}" if is_property else signature(node),
        docstring=ast.get_docstring(node),
    )


def _value(
    name: str, node: ast.Assign | ast.AnnAssign, following: ast.stmt | None, place: str
) -> Entry:
    typed = (
        f": {ast.unparse(node.annotation)}" if isinstance(node, ast.AnnAssign) else ""
    )
    text = ast.unparse(node.value) if node.value else ""
    is_short = bool(text) and len(name + typed + text) <= WIDEST
    said = None
    if isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant):
        said = str(following.value.value)
    return Entry(
        name=name,
        kind="value",
        place=place,
        signature=f"{name}{typed}{f' = {text}' if is_short else ''}",
        docstring=said,
        maker=_called(node.value),
    )


def _called(value: ast.expr | None) -> str | None:
    if isinstance(value, ast.Call) and isinstance(value.func, ast.Name):
        return value.func.id
    return None


def _names(node: ast.Assign | ast.AnnAssign) -> list[str]:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    return [each.id for each in targets if isinstance(each, ast.Name)]


def _module_name(file: Path) -> str:
    parts = file.parts
    start = len(parts) - 1 - parts[::-1].index("src")
    return ".".join(parts[start + 1 : -1])
