"""The options of commands that ask a model for data."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

if TYPE_CHECKING:
    from xturing.selfinstruct import Client, Terms

OutputOption = Annotated[
    Path, typer.Option("-o", "--output", help="The folder of the run.")
]
DryRunOption = Annotated[
    bool,
    typer.Option("--dry-run", help="Show the first prompts and what to expect only."),
]


@dataclass(frozen=True, kw_only=True)
class Asked:
    """Who is asked, how much and how fast: each field is an option."""

    engine: Annotated[
        str,
        typer.Option(
            "--engine",
            metavar="PROVIDER:MODEL",
            help="openai:…, cohere:…, ai21:…, local:smollm2 or scripted:replies.jsonl.",
        ),
    ]
    base_url: Annotated[
        str | None,
        typer.Option(help="Another server that speaks the provider's protocol."),
    ] = None
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on; there has to be a run already.")
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


def asking(command: Callable[..., None]) -> Callable[..., None]:
    """Return the command with an option for each field of its argument `asked`."""
    kinds = get_type_hints(Asked, include_extras=True)
    own = inspect.signature(command).parameters
    given = [field.name for field in fields(Asked)]
    added = [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            annotation=kinds[name],
            default=default,
        )
        for name, default in _defaults().items()
    ]

    @wraps(command)
    def told(**options: Any) -> None:
        asked = Asked(**{name: options.pop(name) for name in given})
        command(asked=asked, **options)

    shown = [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for name, parameter in own.items()
        if name != "asked"
    ]
    told.__signature__ = inspect.Signature([*shown, *added])  # pyright: ignore[reportAttributeAccessIssue]  # what Typer reads
    return told


def _defaults() -> dict[str, Any]:
    parameters = inspect.signature(Asked).parameters
    return {name: parameter.default for name, parameter in parameters.items()}
