"""Walk through the README as a newcomer: type what it says, and nothing else.

    uv run python tools/walk_readme.py

In a fresh clone, with an environment that has Python and pip alone, and with an empty
home of xTuring's, all shell blocks of the README are typed in order. What only runs the
tests is left to who runs this. Rows are put where the README says that they are put.
What serves is asked once, and stopped.
"""

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
TESTS = "uv run pytest"
ROWS = "apps/xturing-cli/src/xturing/cli/sample/tickets.jsonl"
FEW = 24
SERVING = {
    "xturing api": "/v1/chat/completions",
    "xturing ui": "/",
}
"""Commands that run until they are stopped, and what they are asked."""
PATIENCE = 300
QUESTION = {
    "model": "smollm2",
    "messages": [{"role": "user", "content": "What is the capital of France?"}],
    "temperature": 0,
}


def commands() -> Iterator[str]:
    """Yield what the README has typed, one command at a time."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for block in BLOCK.findall(text):
        yield from block.replace("\\\n", " ").strip().splitlines()


def clone(work: Path) -> Path:
    """Return a fresh clone, with rows where the README has users put them."""
    place = work / "xturing"
    subprocess.run(["git", "clone", "--quiet", ROOT, place], check=True)
    lines = (place / ROWS).read_text(encoding="utf-8").splitlines(keepends=True)
    (place / "rows.jsonl").write_text("".join(lines[:FEW]), encoding="utf-8")
    (place / "held_out.jsonl").write_text("".join(lines[-FEW // 4 :]), encoding="utf-8")
    seeds = [
        {"instruction": f"Name {what}.", "instances": [{"input": "", "output": what}]}
        for what in ("a colour", "a river", "a tool")
    ]
    told = "".join(json.dumps(seed) + "\n" for seed in seeds)
    (place / "seeds.jsonl").write_text(told, encoding="utf-8")
    return place


def newcomer(work: Path) -> dict[str, str]:
    """Return the environment of somebody who has Python and pip."""
    subprocess.run([sys.executable, "-m", "venv", work / "python"], check=True)
    # Nothing of the environment that this runs in.
    own = ("VIRTUAL_ENV", "PYTHONPATH", "UV_PROJECT_ENVIRONMENT", "PYTHONHOME")
    kept = {name: value for name, value in os.environ.items() if name not in own}
    places = [
        place
        for place in os.environ.get("PATH", "").split(os.pathsep)
        if not Path(place, "uv").exists() and not Path(place, "xturing").exists()
    ]
    return {
        **kept,
        "PATH": os.pathsep.join([str(work / "python" / "bin"), *places]),
        "XTURING_HOME": str(work / "home"),
    }


def typed(command: str, place: Path, environment: dict[str, str]) -> None:
    """Type a command, and end with what it said if it fails."""
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=place,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(
            f"$ {command}\n{done.stdout}{done.stderr}\nexit code {done.returncode}"
        )
    print(_last_lines(done.stdout), flush=True)


def served(command: str, place: Path, environment: dict[str, str], path: str) -> None:
    """Start what serves, ask it, and have it stop as Ctrl-C does."""
    process = subprocess.Popen(
        ["bash", "-c", f"exec {command}"],
        cwd=place,
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        line = process.stdout.readline() if process.stdout else ""
        address = next(word for word in line.split() if "://" in word)
        print(asked(address.removesuffix("/v1").rstrip("/") + path), flush=True)
        os.killpg(process.pid, signal.SIGINT)
        code = process.wait(PATIENCE)
        if code not in (0, 130):
            sys.exit(f"$ {command}\nended with code {code}")
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)


def asked(address: str) -> str:
    """Return what an address answers: a model's words, or a page's size."""
    is_page = address.endswith("/")
    body = None if is_page else json.dumps(QUESTION).encode()
    request = urllib.request.Request(
        address, data=body, headers={"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=PATIENCE) as reply:
        told = reply.read()
    if is_page:
        return f"    a page of {len(told):,} bytes"
    answer = json.loads(told)["choices"][0]["message"]["content"]
    if "Paris" not in answer:
        sys.exit(f"The served model answers {answer!r}.")
    return f"    {answer}"


def _last_lines(text: str, count: int = 3) -> str:
    lines = [line for line in text.splitlines() if line.strip()]
    return "\n".join(f"    {line}" for line in lines[-count:])


def main() -> None:
    """Type all commands, and tell how long each took."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    # Shells have what they start in the background ignore Ctrl-C, and so would what is
    # started here.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        place, environment = clone(work), newcomer(work)
        for command in commands():
            if command == TESTS:
                continue
            print(f"$ {command}", flush=True)
            began = time.monotonic()
            path = next((p for name, p in SERVING.items() if name in command), None)
            if path is None:
                typed(command, place, environment)
            else:
                served(command, place, environment, path)
            print(f"    ({time.monotonic() - began:.0f} s)", flush=True)


if __name__ == "__main__":
    main()
