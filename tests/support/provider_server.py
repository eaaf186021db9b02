"""A server that speaks as OpenAI, Cohere and AI21 do, on a loopback port.

It behaves as it is told, one request after the other, and notes what it was asked:

    with provider_server(Refuse(429), Say("fine")) as server:
        client = OpenAI("m", api_key="k", base_url=server.base_url("openai"))
        ...
    assert server.requests[0].body["model"] == "m"

The last behaviour goes for all requests that follow; without any, all are answered.
"""

import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from time import monotonic
from typing import Any

PREFIXES = {"openai": "/v1", "cohere": "", "ai21": "/studio/v1"}
"""What a provider's SDK puts its own paths after."""
COHERE_REASONS = {
    "stop": "COMPLETE",
    "length": "MAX_TOKENS",
    "content_filter": "ERROR_TOXIC",
    "other": "ERROR",
}


@dataclass(frozen=True)
class Asked:
    """A request as it came."""

    path: str
    headers: Mapping[str, str]
    """Names in lower case."""
    body: Any
    at: float
    """Seconds of the monotonic clock."""

    @property
    def wire(self) -> str:
        """Whose form the answer has to have."""
        if self.path.startswith("/v2/chat"):
            return "cohere"
        if "/chat/completions" not in self.path:
            return "completions"
        return "ai21" if self.path.startswith("/studio") else "openai"

    @property
    def prompt(self) -> str:
        """The text of the last message."""
        messages = self.body.get("messages")
        return messages[-1]["content"] if messages else self.body["prompt"]


@dataclass(frozen=True)
class Sent:
    """What goes over the wire."""

    data: bytes
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    after: float = 0.0
    """Seconds to wait before."""
    cut: int | None = None
    """Bytes after which the connection breaks off."""
    pause: float = 0.0
    """Seconds between two bytes."""


Behaviour = Callable[[Asked], Sent]


@dataclass(frozen=True)
class Say:
    """Answer with a text, or with what a function makes of the prompt."""

    text: str | Callable[[str], str | None] | None = "fine"
    finish_reason: str = "stop"
    usage: tuple[int, int] | None = (7, 3)
    """Tokens of the prompt and the answer; None to tell of none."""
    after: float = 0.0

    def __call__(self, asked: Asked) -> Sent:
        text = self.text(asked.prompt) if callable(self.text) else self.text
        forms = {"cohere": cohere_answer, "completions": completion}
        form = forms.get(asked.wire, chat_completion)
        told = form(text, self.finish_reason, self.usage)
        return Sent(json.dumps(told).encode(), after=self.after)


@dataclass(frozen=True)
class SayNothing:
    """Answer without any choice of an answer."""

    def __call__(self, asked: Asked) -> Sent:
        if asked.wire == "cohere":
            told = cohere_answer(None, "other", (7, 0))
        else:
            told = chat_completion(None, "stop", (7, 0)) | {"choices": []}
        return Sent(json.dumps(told).encode())


@dataclass(frozen=True)
class Refuse:
    """Answer with a status that is an error, in the words of each provider."""

    status: int
    message: str = "no"
    headers: Mapping[str, str] = field(default_factory=dict)
    error: Mapping[str, Any] = field(default_factory=dict)
    """More that OpenAI's errors hold, such as a `code`."""

    def __call__(self, asked: Asked) -> Sent:
        told: dict[str, Any] = {
            "openai": {"error": {"message": self.message, **self.error}},
            "completions": {"error": {"message": self.message, **self.error}},
            "cohere": {"message": self.message},
            "ai21": {"detail": self.message},
        }[asked.wire]
        return Sent(json.dumps(told).encode(), self.status, self.headers)


@dataclass(frozen=True)
class Send:
    """Answer with a body as it is: a text, or what JSON is made of."""

    body: Any
    status: int = 200

    def __call__(self, asked: Asked) -> Sent:
        is_text = isinstance(self.body, str)
        text = self.body if is_text else json.dumps(self.body)
        return Sent(text.encode(), self.status)


@dataclass(frozen=True)
class BreakOff:
    """Break the connection off in the middle of an answer."""

    status: int = 200

    def __call__(self, asked: Asked) -> Sent:
        whole = Say("a long text " * 50)(asked)
        return Sent(whole.data, self.status, cut=len(whole.data) // 2)


@dataclass(frozen=True)
class Trickle:
    """Answer a byte at a time."""

    pause: float = 0.02

    def __call__(self, asked: Asked) -> Sent:
        return Sent(Say("a long text " * 50)(asked).data, pause=self.pause)


@dataclass
class Provider:
    """What the server was asked, and what it will do next."""

    address: str
    requests: list[Asked] = field(default_factory=list)
    """In the order in which they came."""
    behaviours: list[Behaviour] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def base_url(self, provider: str) -> str:
        """Return what the client of a provider is given as its address."""
        return self.address + PREFIXES[provider]

    def note(self, asked: Asked) -> Behaviour:
        """Note a request, and return what to do."""
        with self._lock:
            self.requests.append(asked)
            if len(self.behaviours) > 1:
                return self.behaviours.pop(0)
            return self.behaviours[0] if self.behaviours else Say()


@contextmanager
def provider_server(*behaviours: Behaviour) -> Iterator[Provider]:
    """Yield what a server is asked, for as long as it runs."""
    stopped = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            """Keep quiet."""

        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            headers = {name.lower(): value for name, value in self.headers.items()}
            body = json.loads(self.rfile.read(length) or b"null")
            asked = Asked(self.path, headers, body, monotonic())
            sent = provider.note(asked)(asked)
            stopped.wait(sent.after)
            self._send(sent)

        def _send(self, sent: Sent) -> None:
            self.send_response(sent.status)
            for name, value in sent.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(sent.data)))
            self.end_headers()
            size = 1 if sent.pause else len(sent.data)
            for start in range(0, len(sent.data[: sent.cut]), size):
                self.wfile.write(sent.data[start : start + size][: sent.cut])
                stopped.wait(sent.pause)
            if sent.cut is not None:
                self.close_connection = True

    class Server(ThreadingHTTPServer):
        # Of more than that, at once, the system would turn some away.
        request_queue_size = 256

        def handle_error(self, request: object, client_address: object) -> None:
            """Keep quiet about clients that did not wait."""

    server = Server(("127.0.0.1", 0), Handler)
    provider = Provider(
        f"http://127.0.0.1:{server.server_port}", behaviours=list(behaviours)
    )
    thread = threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True
    )
    thread.start()
    try:
        yield provider
    finally:
        stopped.set()
        server.shutdown()
        server.server_close()
        thread.join()


def nobody() -> str:
    """Return an address at which nothing listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{taken.getsockname()[1]}"


def chat_completion(
    text: str | None, reason: str, usage: tuple[int, int] | None
) -> dict[str, Any]:
    """Return an answer of OpenAI's chat, or of AI21's."""
    message = {"role": "assistant", "content": text}
    return {
        "id": "chat-1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "message": message, "finish_reason": reason}],
        **_usage(usage),
    }


def completion(
    text: str | None, reason: str, usage: tuple[int, int] | None
) -> dict[str, Any]:
    """Return an answer of OpenAI's older API."""
    return {
        "id": "text-1",
        "object": "text_completion",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "text": text or "", "finish_reason": reason}],
        **_usage(usage),
    }


def cohere_answer(
    text: str | None, reason: str, usage: tuple[int, int] | None
) -> dict[str, Any]:
    """Return an answer of Cohere's chat."""
    content = [] if text is None else [{"type": "text", "text": text}]
    answer: dict[str, Any] = {
        "id": "chat-1",
        "finish_reason": COHERE_REASONS.get(reason, reason),
        "message": {"role": "assistant", "content": content},
    }
    if usage is not None:
        asked, written = usage
        answer["usage"] = {
            "billed_units": {"input_tokens": asked, "output_tokens": written},
            "tokens": {"input_tokens": asked + 60, "output_tokens": written + 2},
        }
    return answer


def _usage(usage: tuple[int, int] | None) -> dict[str, Any]:
    if usage is None:
        return {}
    asked, written = usage
    counted = {
        "prompt_tokens": asked,
        "completion_tokens": written,
        "total_tokens": asked + written,
    }
    return {"usage": counted}
