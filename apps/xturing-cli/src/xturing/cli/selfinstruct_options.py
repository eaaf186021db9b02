"""The options of commands that ask a model for data."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xturing.cli.option_groups import grouped

if TYPE_CHECKING:
    from xturing.selfinstruct import Client, Terms

OutputOption = Annotated[
    Path,
    typer.Option(
        "-o",
        "--output",
        help="Where the result goes: the same command goes on there.",
    ),
]


@dataclass(frozen=True, kw_only=True)
class Asked:
    """Who is asked, how much and how fast: each field is an option."""

    engine: Annotated[
        str,
        typer.Option(
            "--engine",
            metavar="PROVIDER:MODEL",
            help="Who answers: openai:…, cohere:…, ai21:…, local:smollm2 or "
            "scripted:replies.jsonl.",
        ),
    ]
    base_url: Annotated[
        str | None,
        typer.Option(help="Another server that speaks the provider's protocol."),
    ] = None
    resume: Annotated[
        bool,
        typer.Option(
            "--resume", help="Go on with an interrupted run: there has to be one."
        ),
    ] = False
    max_requests: Annotated[
        int | None, typer.Option(min=0, help="Most requests of the whole run.")
    ] = None
    max_tokens: Annotated[
        int | None, typer.Option(min=0, help="Most tokens of the whole run.")
    ] = None
    max_cost: Annotated[
        float | None, typer.Option(min=0, help="Most US dollars of the whole run.")
    ] = None
    concurrency: Annotated[
        int, typer.Option(min=1, help="Requests on their way at the same time.")
    ] = 8
    requests_per_minute: Annotated[
        int | None, typer.Option(min=1, help="What the service allows.")
    ] = None
    tokens_per_minute: Annotated[
        int | None, typer.Option(min=1, help="What the service allows.")
    ] = None
    prices: Annotated[
        Path | None, typer.Option(help="YAML file with a table of prices.")
    ] = None
    prompts: Annotated[
        Path | None, typer.Option(help="Folder with templates of your own.")
    ] = None

    def client(self) -> "Client":
        """Return the client that was chosen; nothing is sent yet."""
        from xturing.selfinstruct import open_client

        return open_client(self.engine, base_url=self.base_url)

    def limits(self) -> dict[str, Any]:
        """Return the limits by name, as `ask` takes them."""
        names = [each.name for each in fields(self)]
        others = ("engine", "base_url", "resume", "prompts")
        return {name: getattr(self, name) for name in names if name not in others}

    def terms(self) -> "Terms":
        """Return the limits as `generate` takes them."""
        from xturing.selfinstruct import Caps, Limits, Terms

        return Terms(
            caps=Caps(
                max_requests=self.max_requests,
                max_tokens=self.max_tokens,
                max_cost=self.max_cost,
            ),
            limits=Limits(
                concurrency=self.concurrency,
                requests_per_minute=self.requests_per_minute,
                tokens_per_minute=self.tokens_per_minute,
            ),
            prices=self.prices,
            prompts=self.prompts,
            is_resumed=self.resume,
        )


asking = grouped(Asked, "asked")
"""Gives a command an option for each field of its argument `asked`."""
