"""Rules about the workspace itself."""

import ast
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
MEMBERS = sorted(file.parent for file in ROOT.glob("*/xturing*/pyproject.toml"))
WITH_CODE = [member for member in MEMBERS if (member / "src").is_dir()]
STANDARD = {*sys.stdlib_module_names, "xturing"}
BRINGS = packages_distributions()

each_member = pytest.mark.parametrize("member", MEMBERS, ids=lambda path: path.name)
each_with_code = pytest.mark.parametrize(
    "member", WITH_CODE, ids=lambda path: path.name
)


def project(member: Path) -> dict:
    return tomllib.loads((member / "pyproject.toml").read_text())


def requirements(member: Path) -> list[Requirement]:
    table = project(member)["project"]
    extras = table.get("optional-dependencies", {}).values()
    lines = [
        *table.get("dependencies", []),
        *(line for extra in extras for line in extra),
    ]
    return [Requirement(line) for line in lines]


def distributions_of(module: str) -> set[str]:
    """Return the distributions that bring a top-level module."""
    return {canonicalize_name(name) for name in BRINGS.get(module, [module])}


def modules(member: Path) -> list[Path]:
    return sorted((member / "src").rglob("*.py"))


def imported(file: Path) -> set[str]:
    """Return the full names of all modules that a file imports, lazily or not."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id == "require"
            and isinstance(node.args[0], ast.Constant)
        ):
            names.add(ast.literal_eval(node.args[0]))
    return names


@each_member
def test_no_member_breaks_the_namespace(member):
    assert not (member / "src" / "xturing" / "__init__.py").exists()


@each_with_code
def test_every_package_says_that_it_is_typed(member):
    (leaf,) = (path for path in (member / "src" / "xturing").iterdir() if path.is_dir())
    assert (leaf / "py.typed").is_file()


@each_member
def test_every_member_is_built_alike_and_has_a_readme(member):
    table = project(member)
    assert table["build-system"]["build-backend"] == "uv_build"
    assert len((member / "README.md").read_text()) > 200


@each_with_code
def test_a_package_imports_only_what_it_declares(member):
    declared = {requirement.name for requirement in requirements(member)}
    for file in modules(member):
        for name in imported(file):
            top = name.partition(".")[0]
            if top == "xturing":
                ours = f"xturing-{name.split('.')[1]}"
                assert ours in {*declared, member.name}, f"{file}: {name}"
            elif top not in STANDARD:
                assert distributions_of(top) & declared, f"{file}: {name}"


def served(file: Path) -> set[str]:
    """Return the packages of ours whose services a file looks up by entry point."""
    return {
        ast.literal_eval(node.args[2])
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "service"
        and isinstance(node.args[2], ast.Constant)
    }


@each_with_code
def test_a_package_declares_only_what_it_imports(member):
    used = set()
    for file in modules(member):
        used |= served(file)
        for name in imported(file):
            top, _, rest = name.partition(".")
            ours = f"xturing-{rest.partition('.')[0]}"
            used |= {ours} if top == "xturing" else distributions_of(top)
    # Libraries open these formats for us.
    used |= {"gguf", "onnx", "onnxscript", "safetensors"}
    assert {requirement.name for requirement in requirements(member)} <= used


@each_member
def test_ranges_admit_the_workspace_s_own_versions(member):
    versions = {
        project(path)["project"]["name"]: project(path)["project"]["version"]
        for path in MEMBERS
    }
    for requirement in requirements(member):
        if requirement.name in versions:
            assert requirement.specifier, requirement
            assert requirement.specifier.contains(versions[requirement.name])


@pytest.mark.parametrize(
    ("package", "heavy"),
    [
        ("core", "torch transformers numpy pydantic"),
        ("data", "torch transformers datasets numpy"),
        ("eval", "torch transformers numpy lm_eval sacrebleu rouge_score"),
        ("models", "torch transformers peft huggingface_hub"),
        ("models.inference", "torch transformers peft openvino numpy"),
        ("server", "torch transformers numpy fastapi uvicorn"),
        ("quant", "torch transformers peft bitsandbytes torchao"),
        ("train", "torch lightning transformers"),
    ],
)
def test_importing_a_package_is_light(package, heavy):
    code = f"import sys, xturing.{package}; print(*sys.modules)"
    loaded = _run("-c", code).split()
    assert not set(heavy.split()) & set(loaded)


def test_names_and_settings_load_without_torch():
    code = (
        "import sys; from xturing.models import Variant, BaseModel, GPT2Lora; "
        "Variant.parse('llama_lora').finetuning_config(); "
        "from xturing.data import InstructionDataset, encode; print(*sys.modules)"
    )
    assert not {"torch", "transformers", "lightning"} & set(_run("-c", code).split())


COMMANDS = (
    " quickstart finetune eval compare chat generate api quantize merge export "
    "estimate data doctor models init runs migrate config ui verify selfinstruct"
).split(" ")
NESTED = [
    *("data check", "data preview", "data stats", "eval list", "eval rescore"),
    *("eval judge", "models explain", "models pull"),
]


@pytest.mark.parametrize("command", [*COMMANDS, *NESTED])
def test_help_loads_nothing_heavy(command):
    code = (
        f"import sys; sys.argv = ['xturing', *{command.split()!r}, '--help']\n"
        "from xturing.cli.main import run\n"
        "try: run()\n"
        "except SystemExit as ended: assert not ended.code\n"
        "print('LOADED', *sys.modules)"
    )
    output = _run("-c", code)
    loaded = output.partition("LOADED")[2].split()
    assert "Usage" in output
    heavy = {"torch", "transformers", "lightning", "peft", "datasets", "numpy"}
    assert not heavy & set(loaded)


def test_importing_changes_nothing_of_the_program():
    code = (
        "import logging, os, random, warnings\n"
        "import numpy, rich.console  # which do change something\n"
        "def state():\n"
        "    handlers = logging.root.handlers[:], logging.root.level\n"
        "    seen = warnings.filters[:], dict(os.environ)\n"
        "    return random.getstate(), seen, handlers\n"
        "before = state()\n"
        "import xturing.core.errors, xturing.core.settings, xturing.data.datasets\n"
        "import xturing.models.base, xturing.models.variant\n"
        "import xturing.data.encoding, xturing.cli.main\n"
        "assert state() == before\n"
        "print('unchanged')"
    )
    assert _run("-c", code) == "unchanged\n"


def test_only_the_terminal_s_module_prints():
    for member in WITH_CODE:
        for file in modules(member):
            calls = [
                node
                for node in ast.walk(ast.parse(file.read_text()))
                if isinstance(node, ast.Call)
                and isinstance(node.func, ast.Name)
                and node.func.id == "print"
            ]
            assert not calls, file


def _run(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
