"""A server that takes what MLflow's client sends, on a loopback port."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlparse

PREFIX = "/api/2.0/mlflow/"


@dataclass
class Taken:
    """What the server was told."""

    address: str = ""
    runs: list[str] = field(default_factory=list)
    """Ids of the runs that were begun."""
    params: dict[str, str] = field(default_factory=dict)
    metrics: list[dict[str, Any]] = field(default_factory=list)
    """Each with its run, key, value and step."""
    ends: list[str] = field(default_factory=list)
    """How runs ended, in order."""


@contextmanager
def mlflow_server() -> Iterator[Taken]:
    """Yield what a server is told, for as long as it runs."""
    taken = Taken()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Keep quiet."""

        def do_GET(self) -> None:
            self._answer({})

        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            self._answer(json.loads(self.rfile.read(length) or b"{}"))

        def _answer(self, body: dict[str, Any]) -> None:
            call = urlparse(self.path).path.removeprefix(PREFIX)
            code, reply = reply_to(taken, call, body)
            data = json.dumps(reply).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    taken.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield taken
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def reply_to(
    taken: Taken, call: str, body: dict[str, Any]
) -> tuple[int, dict[str, Any]]:
    """Note a call, and return the code and the body of the answer."""
    info = {"run_id": taken.runs[-1] if taken.runs else "", "status": "RUNNING"}
    match call:
        case "experiments/get-by-name":
            return 404, {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "none"}
        case "experiments/create":
            return 200, {"experiment_id": "1"}
        case "runs/create":
            taken.runs.append(f"run{len(taken.runs)}")
            info["run_id"] = taken.runs[-1]
        case "runs/log-batch":
            told = {"run": body["run_id"]}
            taken.metrics += [told | metric for metric in body.get("metrics", [])]
            taken.params |= {p["key"]: p["value"] for p in body.get("params", [])}
        case "runs/update":
            taken.ends.append(body.get("status", ""))
    return 200, {"run": {"info": info, "data": {}}, "run_info": info}
