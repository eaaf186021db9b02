"""A GGUF file and the Modelfile with which Ollama writes prompts as the model knows.

Ollama does not run the chat template that is in the file, but one in Go; see
`go_templates`.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xturing.models.exporting.exporter import Reopened
from xturing.models.exporting.gguf import Gguf, gguf_file
from xturing.models.exporting.gguf_architectures import context_length
from xturing.models.exporting.gguf_vocabulary import adds_start
from xturing.models.exporting.go_templates import Style, style_of
from xturing.models.template import stop_ids

if TYPE_CHECKING:
    from xturing.models.base import BaseModel
    from xturing.models.settings import GenerationConfig

FILE = "Modelfile"


class Ollama:
    """`Modelfile` and the GGUF file that it names."""

    schemes: Sequence[str] = Gguf.schemes
    rounded: Sequence[str] = Gguf.rounded

    def write(self, model: "BaseModel", folder: Path, scheme: str | None) -> None:
        """Write both files; `ollama create NAME -f Modelfile` takes them in.

        Raises:
            ModelError: llama.cpp cannot hold the model, or Go its chat template.
        """
        tokenizer = model.engine.tokenizer
        style = style_of(tokenizer, start_is_added=adds_start(tokenizer))
        Gguf().write(model, folder, scheme)
        text = modelfile(model, style, gguf_file(folder).name)
        (folder / FILE).write_text(text, encoding="utf-8")

    def reopen(self, folder: Path, model: "BaseModel") -> Reopened:
        """Return the GGUF file's model."""
        return Gguf().reopen(folder, model)


def modelfile(model: "BaseModel", style: Style, file: str) -> str:
    """Return what Ollama is told of a model in a GGUF file."""
    lines = [f"FROM ./{file}", f'TEMPLATE """{style.template}"""']
    if style.system is not None:
        lines.append(f'SYSTEM """{style.system}"""')
    config = model.engine.model.config
    lines.append(f"PARAMETER num_ctx {_context(config)}")
    lines += [
        f"PARAMETER {name} {value}"
        for name, value in _parameters(model.generation_config())
    ]
    tokenizer = model.engine.tokenizer
    ends = [tokenizer.decode([id_]) for id_ in stop_ids(tokenizer)]
    for text in dict.fromkeys([*ends, *model.generation_config().stop]):
        lines.append(f"PARAMETER stop {_quoted(text)}")
    return "\n".join(lines) + "\n"


def _parameters(config: "GenerationConfig") -> Iterator[tuple[str, object]]:
    """Yield how answers are drawn, where Ollama would do otherwise."""
    yield "temperature", (config.temperature or 1.0) if config.do_sample else 0
    if config.do_sample:
        yield "top_k", config.top_k or 0
        yield "top_p", config.top_p or 1.0
        yield "min_p", config.min_p or 0.0
    yield "repeat_penalty", config.repetition_penalty or 1.0
    yield "num_predict", config.max_new_tokens
    if config.seed is not None:
        yield "seed", config.seed


def _context(config: Any) -> int:
    return getattr(config, "n_positions", None) or context_length(config)


def _quoted(text: str) -> str:
    return f'"""{text}"""' if '"' in text or "\n" in text else f'"{text}"'
