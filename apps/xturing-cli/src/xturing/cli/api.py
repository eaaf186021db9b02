"""`xturing api`: a model served over HTTP, by OpenAI's protocol."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from xturing.cli import render
from xturing.cli.listening_options import LOOPBACK, HostOption, PortOption
from xturing.cli.model_options import (
    EngineOption,
    ModelOption,
    WeightsOption,
    open_chosen,
)
from xturing.core.errors import SettingsError

AdapterOption = Annotated[
    list[str] | None,
    typer.Option(
        "--adapter",
        metavar="NAME=DIR",
        help="Serve an adapter of the model too, by a name; as often as wanted.",
    ),
]
KeyOption = Annotated[
    str | None,
    typer.Option(
        "--api-key",
        envvar="XTURING_API_KEY",
        help="Key that clients have to send. In the environment, other users of the "
        "machine do not see it.",
    ),
]


def api(
    model: ModelOption,
    engine: EngineOption = "auto",
    host: HostOption = LOOPBACK,
    port: PortOption = 5000,
    api_key: KeyOption = None,
    no_auth: Annotated[
        bool,
        typer.Option(
            "--no-auth", help="Let other machines in without: they need no key."
        ),
    ] = False,
    adapter: AdapterOption = None,
    max_running: Annotated[
        int, typer.Option("--max-running", min=1, help="Requests answered at once.")
    ] = 16,
    max_waiting: Annotated[
        int, typer.Option("--max-waiting", min=0, help="Requests that may wait.")
    ] = 64,
    max_prompt_tokens: Annotated[
        int | None,
        typer.Option("--max-prompt-tokens", min=1, help="Longest prompt, in tokens."),
    ] = None,
    max_new_tokens: Annotated[
        int,
        typer.Option("--max-new-tokens", min=1, help="Longest answer, in tokens."),
    ] = 4096,
    timeout: Annotated[
        float, typer.Option("--timeout", help="Seconds that a request may take.")
    ] = 600.0,
    cors: Annotated[
        list[str] | None,
        typer.Option(
            "--cors", metavar="ORIGIN", help="Origin whose pages may ask, in browsers."
        ),
    ] = None,
    weights: WeightsOption = None,
    weights_scheme: Annotated[
        str | None,
        typer.Option("--weights-scheme", help="Round the weights to it, as int8."),
    ] = None,
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            help="Go on all the same: with a folder whose prompts are not as they were "
            "saved.",
        ),
    ] = False,
) -> None:
    """Serve a model to OpenAI's clients, until Ctrl-C or SIGTERM.

    Example: xturing api -m tuned --port 5000
    """
    from xturing.models.inference import EngineOptions, open_engine
    from xturing.server import ServerSettings, bind, serve

    settings = ServerSettings(
        host=host,
        port=port,
        api_key=api_key,
        no_auth=no_auth,
        cors_origins=tuple(cors or ()),
        max_prompt_tokens=max_prompt_tokens,
        max_new_tokens=max_new_tokens,
        request_seconds=timeout,
    )
    name = _name(model)
    options = EngineOptions(
        max_running=max_running,
        max_waiting=max_waiting,
        weights=weights_scheme,
        adapters=_adapters(adapter or (), name),
    )
    # An address that is taken is told before minutes go into loading.
    with bind(settings) as listener:
        opened = open_chosen(model, weights, any_template=force)
        with render.notices():
            opened_engine = open_engine(opened, engine, options)

        def ready(address: str) -> None:
            render.write(
                f"{name} answers at {address}/v1 (engine {opened_engine.name}). "
                "Ctrl-C stops it.\n"
            )

        serve(
            opened_engine,
            settings,
            model_name=name,
            model=opened,
            listener=listener,
            ready=ready,
        )


def _name(model: str) -> str:
    """Return what clients call a model: its name, or that of its folder."""
    path = Path(model).expanduser()
    return path.resolve().name if path.is_dir() else model


def _adapters(given: Sequence[str], model_name: str) -> dict[str, Path]:
    adapters: dict[str, Path] = {}
    for text in given:
        name, sign, folder = text.partition("=")
        if not (name and sign and folder):
            raise SettingsError(f"--adapter {text}: write it as --adapter NAME=DIR.")
        if name == model_name or name in adapters:
            raise SettingsError(
                f"--adapter {text}: there is a model '{name}' already; choose another "
                "name."
            )
        adapters[name] = Path(folder).expanduser()
    return adapters
