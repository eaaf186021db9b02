"""The app: its tabs put together, and the server that shows them."""

import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from xturing.core.errors import SettingsError
from xturing.core.settings import Layer, Settings

if TYPE_CHECKING:
    import gradio

TITLE = "xTuring"
LOOPBACK = ("127.0.0.1", "localhost", "::1")
MOST_AT_ONCE = 16
"""Handlers of one kind that run at the same time."""
LARGEST_UPLOAD = "2gb"
DEFAULT = "smollm2"


class LaunchSettings(Settings):
    """Where the app listens, and to whom.

    Raises:
        SettingsError: it is open to others, and nobody has to log in.
    """

    host: str = "127.0.0.1"
    """Address to listen at."""
    port: int = 7860
    """Port to listen at; 0: a free one."""
    auth: tuple[str, str] | None = None
    """User and password that have to be given."""
    no_auth: bool = False
    """Let others in without."""
    share: bool = False
    """Have Gradio's servers forward a public address to the app."""
    open_browser: bool = False
    """Open the page in a browser."""

    def refuse_open_doors(self) -> None:
        """Raise `SettingsError` if others can come in, and nobody has to log in."""
        is_open = self.share or self.host not in LOOPBACK
        if is_open and self.auth is None and not self.no_auth:
            where = "a public address" if self.share else self.host
            raise SettingsError(
                f"The app would be open to whoever reaches {where}, files and all. "
                "Give --auth USER:PASSWORD (or XTURING_UI_AUTH), or say --no-auth."
            )


@dataclass(frozen=True)
class Playground:
    """The project in a browser.

    It reads and writes below `root` alone, the current folder if left out.
    `model_path` is what the chat begins with: a name, or a saved model's folder.
    """

    model_path: str | Path | None = None
    root: str | Path | None = None

    def blocks(self) -> "gradio.Blocks":
        """Return the page, without a server."""
        # Before Gradio is imported; from then on it asks the network for nothing.
        os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
        import gradio

        from xturing.ui.jobs.store import Jobs
        from xturing.ui.page import Page
        from xturing.ui.places import Places
        from xturing.ui.tabs.chat import ChatTab
        from xturing.ui.tabs.data import DataTab
        from xturing.ui.tabs.evaluate import EvaluateTab
        from xturing.ui.tabs.export import ExportTab
        from xturing.ui.tabs.finetune import FinetuneTab
        from xturing.ui.tabs.jobs import JobsTab
        from xturing.ui.talking import Talkers

        places = Places(self._root)
        model = DEFAULT if self.model_path is None else str(self.model_path)
        page = Page(
            places, Jobs(places.jobs, places.root), Talkers(), places.model(model)
        )
        tabs = {
            "Chat": ChatTab,
            "Fine-tune": FinetuneTab,
            "Data": DataTab,
            "Evaluate": EvaluateTab,
            "Quantize & export": ExportTab,
            "Jobs": JobsTab,
        }
        with gradio.Blocks(title=TITLE, analytics_enabled=False) as blocks:
            for name, tab in tabs.items():
                with gradio.Tab(name):
                    tab(page).connect(blocks)
        return blocks

    def launch(
        self,
        *,
        ready: Callable[[str], None] | None = None,
        block: bool = True,
        **settings: object,
    ) -> "gradio.Blocks":
        """Show the page until Ctrl-C, or in the background without `block`.

        `settings` are those of `LaunchSettings`; `ready` is called with the address.

        Raises:
            SettingsError: a setting is wrong, or others could come in.
        """
        wanted = LaunchSettings.resolve(Layer(source="launch", values=settings))
        wanted.refuse_open_doors()
        # Where Gradio keeps what browsers send; it asks the environment each time.
        uploads = self._root / "xturing-ui" / "uploads"
        uploads.mkdir(parents=True, exist_ok=True)
        os.environ["GRADIO_TEMP_DIR"] = str(uploads)
        blocks = self.blocks()
        _serve(blocks, wanted, uploads)
        if ready is not None:
            ready(str(blocks.local_url))
        if block:
            blocks.block_thread()
        return blocks

    @property
    def _root(self) -> Path:
        """The folder that the app works in.

        Raises:
            SettingsError: there is no such folder.
        """
        root = Path(self.root or ".").expanduser().resolve()
        if not root.is_dir():
            raise SettingsError(f"There is no folder {root} to work in; make it first.")
        return root


def _serve(blocks: "gradio.Blocks", wanted: LaunchSettings, uploads: Path) -> None:
    from xturing.ui.previews import STYLE as PREVIEW_STYLE
    from xturing.ui.tabs.job_panel import STYLE as JOB_STYLE

    blocks.queue(default_concurrency_limit=MOST_AT_ONCE)
    try:
        blocks.launch(
            server_name=wanted.host,
            server_port=wanted.port or _free_port(wanted.host),
            share=wanted.share,
            inbrowser=wanted.open_browser,
            auth=wanted.auth,
            prevent_thread_lock=True,
            quiet=True,
            footer_links=[],
            ssr_mode=False,
            mcp_server=False,
            enable_monitoring=False,
            allowed_paths=[str(uploads)],
            max_file_size=LARGEST_UPLOAD,
            css=PREVIEW_STYLE + JOB_STYLE,
            # Otherwise it gives up where a busy machine takes seconds to answer.
            _frontend=False,
        )
    except OSError as error:
        raise SettingsError(
            f"The app cannot listen at {wanted.host}:{wanted.port}: {error}. Another "
            "program may; choose another --port, or 0 for a free one."
        ) from error


def _free_port(host: str) -> int:
    """Return a port that nobody listens at; Gradio itself takes 0 for a number."""
    with socket.create_server((host, 0)) as listener:
        return listener.getsockname()[1]
