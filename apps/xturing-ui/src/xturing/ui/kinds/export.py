"""Exporting: a model in another program's format, held to the original."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from xturing.core.errors import ModelError
from xturing.core.events import Event
from xturing.core.settings import Settings
from xturing.ui.jobs.progress import Mark
from xturing.ui.kinds.writing import arguments, option


class ExportWish(Settings):
    """What is written in which format."""

    model: str
    """A name or a folder."""
    to: str
    """safetensors, gguf, ollama, onnx or openvino."""
    scheme: str | None = None
    """How gguf and ollama keep weights."""
    output: str
    """Folder for the files."""


class Export:
    """A model for other programs."""

    wish = ExportWish
    can_go_on = False

    def run(self, wish: ExportWish, *, is_resumed: bool) -> Mapping[str, Any]:
        """Write the files, open them again, and compare.

        Raises:
            ModelError: what was written is not the model.
        """
        from xturing.models import open_model
        from xturing.models.exporting import export

        del is_resumed
        model = open_model(wish.model)
        made = export(model, wish.to, wish.output, scheme=wish.scheme)
        if not made.is_faithful:
            raise ModelError(
                f"What is in {wish.output} is not the model: the gate asks for "
                f"{made.bound}. Take a scheme that keeps more."
            )
        found = made.fidelity
        return {
            "output": str(Path(wish.output)),
            "figures": {
                "same first choice": f"{found.top1_agreement:.1%} of the tokens",
                "divergence": f"{max(found.divergence, 0.0):.4f} nats a token (KL)",
                **{name: f"{size:,} bytes" for name, size in made.files},
            },
        }

    def marks(self, event: Event) -> list[Mark]:
        """Return nothing: it takes a minute."""
        del event
        return []

    def command(self, wish: ExportWish) -> list[str]:
        """Return the command that does the same."""
        return [
            *("xturing", "export", wish.model, "--to", wish.to),
            *option("--scheme", wish.scheme),
            *option("-o", wish.output),
        ]

    def snippet(self, wish: ExportWish) -> str:
        """Return the Python that does the same."""
        scheme = arguments(scheme=wish.scheme)
        given = f"model, {wish.to!r}, {wish.output!r}{', ' if scheme else ''}{scheme}"
        return "\n".join(
            (
                "from xturing.models import open_model",
                "from xturing.models.exporting import export",
                "",
                f"model = open_model({wish.model!r})",
                f"made = export({given})",
                "assert made.is_faithful",
            )
        )


KIND = Export()
