"""The options of commands that listen for others, alike in all of them."""

from typing import Annotated

import typer

HostOption = Annotated[str, typer.Option("--host", help="Address to listen at.")]
PortOption = Annotated[
    int, typer.Option("--port", help="Port to listen at; 0: a free one.")
]
LOOPBACK = "127.0.0.1"
