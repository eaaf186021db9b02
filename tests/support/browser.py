"""The page in a real browser: the app in a process of its own, and Chromium."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from api_process import COMMAND

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update"),
    *("--disable-sync", "--disable-dev-shm-usage"),
)
PATIENCE = 600_000
"""Milliseconds that a machine may take over anything, such as a job beside others."""


def chromium() -> str | None:
    """Return where Chromium is."""
    return next((found for name in NAMES if (found := shutil.which(name))), None)


@contextmanager
def app(
    root: Path, *options: object, env: dict[str, str] | None = None
) -> Iterator[Any]:
    """Run `xturing ui` in a folder, on a free port, and yield its address."""
    words = ["ui", "--root", str(root), "--port", "0", *map(str, options)]
    own = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    process = subprocess.Popen(
        [sys.executable, "-c", COMMAND, *words],
        stdout=subprocess.PIPE,
        text=True,
        cwd=root,
        env=own | (env or {}),
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        yield next(word for word in line.split() if "://" in word)
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
        process.communicate()


@dataclass
class Window:
    """A page of the app, and what it asked the network for."""

    page: Any
    pictures: Path
    asked: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.set_default_timeout(PATIENCE)
        self.page.on("request", lambda request: self.asked.append(request.url))

    @property
    def strangers(self) -> set[str]:
        """Hosts other than loopback that were asked."""
        hosts = {urlsplit(url).hostname for url in self.asked}
        return {
            host for host in hosts if host and host not in ("127.0.0.1", "localhost")
        }

    def open(self, address: str) -> None:
        self.page.goto(address)
        self.page.get_by_role("tab", name="Chat", exact=True).wait_for()

    def tab(self, name: str) -> None:
        self.page.get_by_role("tab", name=name, exact=True).click()

    def fill(self, name: str, text: str) -> None:
        """Write into the field of a component."""
        box = self.page.locator(f"#{name} input, #{name} textarea").first
        box.fill(text)
        box.press("Tab")

    def choose(self, name: str, text: str) -> None:
        """Write into a list of choices that takes other texts, too."""
        box = self.page.locator(f"#{name} input").first
        box.fill(text)
        box.press("Enter")
        box.press("Tab")

    def click(self, name: str) -> None:
        self.page.locator(f"button#{name}, #{name} button").first.click()

    def wait(self, name: str, text: str) -> str:
        """Wait until a component shows a text, and return all that it shows."""
        found = self.page.locator(f"#{name}").filter(has_text=text)
        found.wait_for()
        return found.inner_text()

    def state(self, kind: str, state: str) -> None:
        """Wait until a job has come to a state."""
        found = self.page.locator(f"#{kind}-status .state")
        found.filter(has_text=state).wait_for()

    def framed(self, name: str, text: str) -> None:
        """Wait until a page inside the page shows a text."""
        frame = self.page.frame_locator(f"#{name} iframe")
        frame.get_by_text(text, exact=True).first.wait_for()

    def text(self, name: str) -> str:
        return self.page.locator(f"#{name}").inner_text()

    def error(self) -> str:
        """Return the sentence of the error that is shown, and close it."""
        toast = self.page.locator(".toast-body.error").first
        toast.wait_for()
        text = toast.inner_text()
        toast.locator(".toast-close").click()
        return text

    def picture(self, name: str) -> None:
        """Keep what the window shows, for people."""
        self.pictures.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=self.pictures / f"{name}.png", full_page=True)
