"""Making data: seed tasks or documents in, rows out."""

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from xturing.core.events import Event
from xturing.core.settings import Layer, Settings
from xturing.ui.jobs.progress import Mark, Moved
from xturing.ui.kinds.writing import SOURCE, arguments, option


class SelfInstructWish(Settings):
    """What rows are made from, by whom, and how much that may cost."""

    engine: str
    """PROVIDER:MODEL; keys are in the environment."""
    seeds: str | None = None
    """File of seed tasks, or"""
    documents: str | None = None
    """a folder of documents, or one of them."""
    count: int | None = Field(default=None, gt=0)
    """Instructions to make, or questions to ask for a passage."""
    output: str
    """Folder of the run."""
    max_requests: int | None = Field(default=None, ge=0)
    """Most requests of the whole run."""
    max_cost: float | None = Field(default=None, ge=0)
    """Most US dollars of the whole run."""


class SelfInstruct:
    """Rows that a model writes."""

    wish = SelfInstructWish
    can_go_on = True

    def run(self, wish: SelfInstructWish, *, is_resumed: bool) -> Mapping[str, Any]:
        """Make rows, and return how many were accepted and rejected."""
        from xturing.selfinstruct import (
            Caps,
            DocumentsConfig,
            SelfInstructConfig,
            Terms,
            from_documents,
            generate,
            open_client,
            read_seeds,
        )

        del is_resumed  # what is in the folder is not paid for again
        caps = Caps(max_requests=wish.max_requests, max_cost=wish.max_cost)
        client, terms = open_client(wish.engine), Terms(caps=caps)
        if wish.seeds is not None:
            given = {"num_instructions": wish.count} if wish.count else {}
            config = SelfInstructConfig.resolve(Layer(source=SOURCE, values=given))
            run = generate(read_seeds(wish.seeds), client, wish.output, config, terms)
        else:
            given = {"num_samples_per_chunk": wish.count} if wish.count else {}
            questions = DocumentsConfig.resolve(Layer(source=SOURCE, values=given))
            run = from_documents(
                wish.documents or "", client, wish.output, questions, terms
            )
        return {
            "output": wish.output,
            "rows": run.rows,
            "file": str(run.dataset_file),
            "rejected": dict(run.rejected),
            "requests": run.requests,
            "cost": run.cost,
            "ended_early": run.stopped,
        }

    def marks(self, event: Event) -> list[Mark]:
        """Return how far a stage is, and what was accepted."""
        from xturing.selfinstruct import StageMoved

        if not isinstance(event, StageMoved):
            return []
        text = (
            f"{event.stage}: {event.accepted:,} accepted, {event.rejected:,} rejected"
        )
        return [Moved(done=event.done, total=event.total, text=text)]

    def command(self, wish: SelfInstructWish) -> list[str]:
        """Return the command that does the same."""
        source = ("from-docs", wish.documents or "")
        if wish.seeds is not None:
            source = ("generate", wish.seeds)
        return [
            *("xturing", "selfinstruct", *source, "--engine", wish.engine),
            *option("-n", wish.count),
            *option("-o", wish.output),
            *option("--max-requests", wish.max_requests),
            *option("--max-cost", wish.max_cost),
        ]

    def snippet(self, wish: SelfInstructWish) -> str:
        """Return the Python that does the same."""
        caps = arguments(max_requests=wish.max_requests, max_cost=wish.max_cost)
        call, config, source, more, field = (
            "from_documents",
            "DocumentsConfig",
            repr(wish.documents),
            "",
            "num_samples_per_chunk",
        )
        if wish.seeds is not None:
            call, config, more = "generate", "SelfInstructConfig", ", read_seeds"
            source, field = f"read_seeds({wish.seeds!r})", "num_instructions"
        given = "" if wish.count is None else f"{field}={wish.count!r}"
        return "\n".join(
            (
                "from xturing.selfinstruct import (",
                f"    Caps, {config}, Terms, {call}, open_client{more}",
                ")",
                "",
                f"run = {call}(",
                f"    {source},",
                f"    open_client({wish.engine!r}),",
                f"    {wish.output!r},",
                f"    {config}({given}),",
                f"    Terms(caps=Caps({caps})),",
                ")",
                'print(run.rows, "rows in", run.dataset_file)',
            )
        )


KIND = SelfInstruct()
