"""Scripts and settings files of xTuring 0.1, read without running them.

model = BaseModel.create("llama_lora")          -m llama_lora
dataset = InstructionDataset("./alpaca_data")   -d ./alpaca_data
model.finetuning_config().learning_rate = 1e-4  learning_rate: 0.0001
model.save("./tuned")                           -o ./tuned
"""

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from xturing.cli.migrating.rules import Left, Migration, Taken
from xturing.core.errors import DataError

PROGRAM = "xTuring 0.1"
DATASETS = ("InstructionDataset", "TextDataset")
CONFIGS = {"finetuning_config": "finetuning", "generation_config": "generation"}
UNUSED = {
    *("gradient_accumulation_steps", "weight_decay", "warmup_steps", "eval_steps"),
    *("save_steps", "logging_steps", "max_grad_norm", "save_total_limit", "output_dir"),
}
"""Settings that 0.1 had and never read."""
COUNTS_NOW = "0.1 took no notice of it; here it counts"
ELSEWHERE = {
    "generate": "`xturing generate -m DIR` answers",
    "evaluate": "`xturing eval -m DIR -d ROWS` scores",
    "chat": "`xturing chat -m DIR` talks",
    "generate_dataset": "`xturing selfinstruct generate` makes rows",
}
"""Methods that have a command of their own."""


def read_script(text: str, origin: str) -> Migration:
    """Return what a script of 0.1 comes to.

    Raises:
        DataError: it is no Python, or says nothing of a model.
    """
    try:
        tree = ast.parse(text)
    except SyntaxError as error:
        raise DataError(
            f"{origin}, line {error.lineno}: this is not Python ({error.msg})."
        ) from error
    script = _Script(Migration(PROGRAM))
    for node in _statements(tree):
        script.read(node)
    if not script.found.options and not script.found.settings:
        raise DataError(
            f"{origin} names no model of xTuring 0.1, such as "
            'BaseModel.create("llama_lora"), and sets nothing.'
        )
    return script.found


def read_settings(values: Mapping[str, object], model: str | None) -> Migration:
    """Return what a settings file of 0.1 comes to: flat, or a part for each model.

    Raises:
        DataError: there are several models in it, and none is named.
    """
    parts = {name: part for name, part in values.items() if isinstance(part, Mapping)}
    models = [name for name in parts if name != "defaults"]
    found = Migration(PROGRAM)
    if not parts:
        _take(found, "finetuning", values, "")
        return found
    if model is None and len(models) > 1:
        raise DataError(
            f"The file has settings of {', '.join(models)}. Say which are meant: -m "
            f"{models[0]}."
        )
    chosen = model or next(iter(models), None)
    for part in ("defaults", chosen):
        _take(found, "finetuning", parts.get(part or "", {}), f"{part}.")
    if chosen is not None:
        found.options["model"] = Taken(chosen, "the part of that name")
    for name in set(models) - {chosen}:
        found.left[name] = Left("…", "these are another model's settings")
    return found


def _take(
    found: Migration, kind: str, values: Mapping[str, object], before: str
) -> None:
    for name, value in values.items():
        origin = f"{before}{name}"
        if kind == "generation":
            found.write(name, value, origin)
        elif name == "output_dir":
            found.options.setdefault("output", Taken(value, origin))
        else:
            note = COUNTS_NOW if name in UNUSED else ""
            found.set(name, value, origin, note)


@dataclass
class _Script:
    """A script as far as it was read: what its names stand for."""

    found: Migration
    names: dict[str, str] = field(default_factory=dict)
    """Variables that hold settings, and which."""

    def read(self, node: ast.stmt) -> None:
        """Take in a statement."""
        if isinstance(node, ast.Assign):
            self._assign(node.targets[0], node.value)
        elif isinstance(node, ast.AnnAssign) and node.value is not None:
            self._assign(node.target, node.value)
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            self._call(node.value)

    def _assign(self, target: ast.expr, value: ast.expr) -> None:
        if isinstance(target, ast.Attribute):
            kind = self._settings(target.value)
            if kind is not None:
                self._set(kind, target.attr, value)
            return
        kind = self._settings(value)
        if isinstance(target, ast.Name) and kind is not None:
            self.names[target.id] = kind
        elif isinstance(value, ast.Call):
            self._call(value)

    def _settings(self, node: ast.expr) -> str | None:
        """Return which settings an expression is."""
        if isinstance(node, ast.Name):
            return self.names.get(node.id)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            return CONFIGS.get(node.func.attr)
        return None

    def _set(self, kind: str, name: str, node: ast.expr) -> None:
        origin = f"{name}, line {node.lineno}"
        try:
            value = ast.literal_eval(node)
        except ValueError:
            reason = "its value is computed, and the script is not run"
            self.found.left[origin] = Left(ast.unparse(node), reason)
            return
        if kind == "generation":
            self.found.write(name, value, origin)
        elif name == "output_dir":
            # 0.1 wrote to ./saved_model whatever it said.
            self.found.options.setdefault("output", Taken(value, origin))
        else:
            note = COUNTS_NOW if name in UNUSED else ""
            self.found.set(name, value, origin, note)

    def _call(self, call: ast.Call) -> None:
        name, origin = _called(call), f"line {call.lineno}"
        given = _literals(call)
        first = next(iter(given.values()), None)
        if name in ("create", "load") and isinstance(first, str):
            self.found.options["model"] = Taken(first, origin)
            self._weights(given, origin)
        elif name in DATASETS:
            self._rows(call, first, origin)
        elif name == "save" and isinstance(first, str):
            self.found.options["output"] = Taken(first, origin)
        elif name in ELSEWHERE:
            self.found.left[f"{name}(), {origin}"] = Left("…", ELSEWHERE[name])
        elif name is not None:
            self._model_class(name, given, origin)

    def _rows(self, call: ast.Call, first: object, origin: str) -> None:
        if isinstance(first, str):
            self.found.options["data"] = Taken(first, origin)
            return
        shown = ast.unparse(call)
        reason = "rows in a script are written to a file first, and named by -d"
        self.found.left[f"dataset, {origin}"] = Left(shown, reason)

    def _model_class(self, name: str, given: Mapping[str, Any], origin: str) -> None:
        from xturing.models import Variant

        variant = Variant.of_class(name)
        if variant is None:
            return
        self.found.options["model"] = Taken(variant.name, origin)
        if variant.family.checkpoint is None and given:
            weights = next(iter(given.values()))
            self.found.options["weights"] = Taken(weights, origin)
        self._weights(given, origin)

    def _weights(self, given: Mapping[str, Any], origin: str) -> None:
        weights = given.get("weights_path") or given.get("model_name")
        if weights:
            self.found.options["weights"] = Taken(weights, origin)
        if targets := given.get("target_modules"):
            self.found.set("lora_targets", targets, f"target_modules, {origin}")


def _statements(tree: ast.Module) -> Iterator[ast.stmt]:
    """Yield all statements in the order that they are written in."""
    found = [node for node in ast.walk(tree) if isinstance(node, ast.stmt)]
    yield from sorted(found, key=lambda node: node.lineno)


def _called(call: ast.Call) -> str | None:
    """Return the name of a function or method that is called."""
    if isinstance(call.func, ast.Attribute):
        return call.func.attr
    return call.func.id if isinstance(call.func, ast.Name) else None


def _literals(call: ast.Call) -> dict[str, Any]:
    """Return the arguments that are written out, by name or number."""
    nodes = {str(place): node for place, node in enumerate(call.args)}
    nodes |= {each.arg: each.value for each in call.keywords if each.arg}
    given: dict[str, Any] = {}
    for name, node in nodes.items():
        try:
            given[name] = ast.literal_eval(node)
        except ValueError:
            continue
    return given
