"""How families of models write conversations: one Jinja file each, and their marks.

The formats are those that the families published; the files are our own.
"""

from collections.abc import Mapping
from importlib.resources import files
from types import MappingProxyType

from xturing.core.errors import UnknownNameError
from xturing.core.names import suggestion

CONTROL_TOKENS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "alpaca": (),
        "chatml": ("<|im_start|>", "<|im_end|>"),
        "gemma": ("<start_of_turn>", "<end_of_turn>"),
        "llama2": (),
        "llama3": ("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
        "mistral": (
            *("[INST]", "[/INST]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]"),
            *("[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]", "[TOOL_CALLS]"),
            *("[TOOL_RESULTS]", "[TOOL_CONTENT]", "[/TOOL_RESULTS]"),
        ),
        "phi": ("<|system|>", "<|user|>", "<|assistant|>", "<|end|>"),
        "plain": (),
        "vicuna": (),
        "zephyr": (),
    }
)
"""The special tokens that a tokenizer must have for each template, beside its start and
end tokens. Without them a template's marks are read as words, and no turn would end."""


def chat_template(name: str) -> str:
    """Return the chat template of a family, for a tokenizer's `chat_template`.

    Raises:
        UnknownNameError: there is no such template.
    """
    if name not in CONTROL_TOKENS:
        raise UnknownNameError(
            f"There is no chat template '{name}'. {suggestion(name, CONTROL_TOKENS)}"
        )
    file = files("xturing.core.templates") / f"{name}.jinja"
    return file.read_text(encoding="utf-8").rstrip("\n")
