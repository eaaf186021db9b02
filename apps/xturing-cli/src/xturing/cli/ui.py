"""`xturing ui`: the project in a browser."""

from pathlib import Path
from typing import Annotated

import typer

from xturing.cli import render
from xturing.cli.listening_options import LOOPBACK, HostOption, PortOption
from xturing.cli.model_options import OptionalModelOption
from xturing.core.errors import SettingsError

AuthOption = Annotated[
    str | None,
    typer.Option(
        "--auth",
        metavar="USER:PASSWORD",
        envvar="XTURING_UI_AUTH",
        help="What has to be given to come in. In the environment, other users of the "
        "machine do not see it.",
    ),
]


def ui(
    model: OptionalModelOption = None,
    root: Annotated[
        Path, typer.Option("--root", help="The folder that the page works in.")
    ] = Path(),
    host: HostOption = LOOPBACK,
    port: PortOption = 7860,
    auth: AuthOption = None,
    no_auth: Annotated[
        bool, typer.Option("--no-auth", help="Let other machines in without.")
    ] = False,
    share: Annotated[
        bool,
        typer.Option(
            "--share", help="Have Gradio's servers forward a public address to it."
        ),
    ] = False,
    open_browser: Annotated[
        bool, typer.Option("--open", help="Open the page in a browser.")
    ] = False,
) -> None:
    """Chat, fine-tune, evaluate and export in a browser, until Ctrl-C.

    Example: xturing ui --root my_project --open
    """
    from xturing.ui import Playground

    def ready(address: str) -> None:
        render.write(f"The page is at {address} . Ctrl-C stops it; jobs go on.\n")

    Playground(model, root).launch(
        ready=ready,
        host=host,
        port=port,
        auth=_login(auth),
        no_auth=no_auth,
        share=share,
        open_browser=open_browser,
    )


def _login(text: str | None) -> tuple[str, str] | None:
    """Return a user and a password; the text is not told again, as it is a secret."""
    if text is None:
        return None
    user, sign, password = text.partition(":")
    if not (user and sign and password):
        raise SettingsError("--auth is written as USER:PASSWORD; neither may be empty.")
    return user, password
