"""A scripted engine, and servers around it on a loopback port.

    engine = ScriptedEngine({"capital of France": "It is Paris."})
    with serving(engine) as server:
        client = server.client()
        ...

The engine answers the first text of its script that is in the prompt, a token at a time
from its own thread; any other prompt gets `ANYTHING`.
"""

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import numpy as np
import tiny
from openai import OpenAI

from xturing.core.errors import BusyError, EngineError, SettingsError
from xturing.models.inference.engine import Capabilities, Load, Tell
from xturing.models.inference.requests import Finish, Piece, Request, Token
from xturing.models.settings import GenerationConfig
from xturing.server import ServerSettings, create_app
from xturing.server.serving import DrainingServer, address, bind

ANYTHING = "the quick brown fox"
FAILURE = "fail now"
"""A prompt with this is answered by an error."""
SECRET = "/secret/place"
"""What that error says."""
TOOLS = (
    "{% if tools %}{{ '<|im_start|>system\n' }}{% for tool in tools %}"
    "{{ tool.function.name }}{% endfor %}{{ '<|im_end|>\n' }}{% endif %}" + tiny.CHATML
)
"""A chat template that writes tools."""


@dataclass
class ScriptedHandle:
    cancelled: threading.Event = field(default_factory=threading.Event)

    def cancel(self) -> None:
        self.cancelled.set()


class ScriptedEngine:
    """An engine that says what it is told to say."""

    name = "scripted"

    def __init__(
        self,
        script: Mapping[str, str] | None = None,
        *,
        pause: float = 0.0,
        max_running: int = 16,
        max_waiting: int = 64,
        context_length: int | None = 512,
        chat_template: str | None = tiny.CHATML,
        adapters: Sequence[str] = (),
        capabilities: Capabilities | None = None,
    ) -> None:
        self.script = dict(script or {})
        self.pause = pause
        self.capabilities = capabilities or Capabilities(json_schema=True)
        self.tokenizer: Any = tiny.tokenizer(chat_template)
        self.context_length = context_length
        self.adapters = list(adapters)
        self.requests: list[Request] = []
        self.handles: list[ScriptedHandle] = []
        self.is_closed = False
        self._most = max_running + max_waiting
        self._places = threading.Semaphore(max_running)
        self._running = 0
        self._taken = 0
        self._lock = threading.Lock()

    def submit(self, request: Request, tell: Tell) -> ScriptedHandle:
        decoding = request.decoding
        if decoding.penalty_alpha and not self.capabilities.contrastive_search:
            raise SettingsError("This engine has no contrastive search.")
        with self._lock:
            if self._taken >= self._most:
                raise BusyError("too many requests wait")
            self._taken += 1
            self.requests.append(request)
            handle = ScriptedHandle()
            self.handles.append(handle)
        arguments = (request, tell, handle)
        threading.Thread(target=self._answer, args=arguments, daemon=True).start()
        return handle

    def score(self, rows: Sequence[Sequence[int]]) -> list[np.ndarray]:
        return [np.full(len(row) - 1, -0.5, np.float32) for row in rows]

    def load(self) -> Load:
        with self._lock:
            running = self._running
            return Load(running=running, waiting=self._taken - running, cached_tokens=0)

    def close(self, *, drain: bool = False) -> None:
        self.is_closed = True

    def answer_to(self, prompt: Sequence[int]) -> str:
        text = self.tokenizer.decode(prompt)
        found = [answer for words, answer in self.script.items() if words in text]
        return found[0] if found else ANYTHING

    def _answer(self, request: Request, tell: Tell, handle: ScriptedHandle) -> None:
        with self._places:
            with self._lock:
                self._running += 1
            pieces = list(self._pieces(request))
            last = self._tell_all(request, tell, handle, pieces)
            with self._lock:
                self._running -= 1
                self._taken -= 1
        tell(last)

    def _tell_all(
        self,
        request: Request,
        tell: Tell,
        handle: ScriptedHandle,
        pieces: list[Piece],
    ) -> Any:
        """Tell all but the last event, and return that."""
        if FAILURE in self.tokenizer.decode(request.prompt):
            return EngineError(f"{SECRET} is on fire")
        for piece in pieces:
            handle.cancelled.wait(self.pause)
            if handle.cancelled.is_set():
                return Piece("", finish=Finish("cancelled"))
            if request.deadline is not None and time.monotonic() > request.deadline:
                return Piece("", finish=Finish("deadline"))
            if piece.finish is not None:
                return piece
            tell(piece)
        raise AssertionError("the last piece has a finish")

    def _pieces(self, request: Request) -> Iterator[Piece]:
        decoding = request.decoding
        answer = self.answer_to(request.prompt)
        ids = self.tokenizer(answer)["input_ids"] + [self.tokenizer.eos_token_id]
        finish = Finish("stop")
        if len(ids) > decoding.max_new_tokens:
            ids, finish = ids[: decoding.max_new_tokens], Finish("length")
        cuts = [(answer.find(stop), stop) for stop in decoding.stop if stop in answer]
        if cuts:
            end, stop = min(cuts)
            answer, finish = answer[:end], Finish("stop", stop)
        shown = 0
        for number, id_ in enumerate(ids, start=1):
            whole = self.tokenizer.decode(ids[:number], skip_special_tokens=True)
            text = answer[shown : max(len(whole), shown)]
            shown += len(text)
            is_last = number == len(ids) or (bool(cuts) and shown >= len(answer))
            token = Token(id_)
            if decoding.logprobs is not None:
                others = [(id_, -0.25), (0, float("-inf"))][: decoding.logprobs]
                token = Token(id_, -0.25, tuple(others))
            yield Piece(text, (token,), finish if is_last else None)
            if is_last:
                return


class Model:
    """What a server asks of a model."""

    def __init__(self, **generation: Any) -> None:
        self.config = GenerationConfig(**generation)

    def generation_config(self) -> GenerationConfig:
        return self.config


def app_for(engine: ScriptedEngine, model: Model | None = None, **settings: Any) -> Any:
    """Return the application around an engine, whose base model is called tuned."""
    return create_app(
        engine,
        ServerSettings(**settings),
        model_name="tuned",
        model=model or Model(),
    )


@dataclass(frozen=True)
class Running:
    """A server that answers."""

    url: str
    server: DrainingServer
    app: Any

    def client(self, api_key: str = "any", **options: Any) -> OpenAI:
        """Return OpenAI's client for it, which tries everything once."""
        settings = {"max_retries": 0, "timeout": 20, **options}
        return OpenAI(base_url=f"{self.url}/v1", api_key=api_key, **settings)

    def http(self) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=20)


@contextmanager
def serving(
    engine: ScriptedEngine, model: Model | None = None, **settings: Any
) -> Iterator[Running]:
    """Yield a server on a free port, and drain it."""
    app = app_for(engine, model, **settings)
    listener = bind(ServerSettings(port=0))
    started = threading.Event()
    server = DrainingServer(app, ServerSettings(port=0), started.set)
    url = address(listener)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        if not started.wait(20):
            raise AssertionError("the server did not start")
        yield Running(url, server, app)
    finally:
        for handle in engine.handles:
            handle.cancel()
        server.drain()
        thread.join(20)
