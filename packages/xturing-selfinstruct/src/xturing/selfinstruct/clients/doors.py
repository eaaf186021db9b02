"""The classes that stood for one model each in xTuring 0.1.

The models are gone. Each class asks one that took its place, and says so.
"""

import warnings

from xturing.selfinstruct.clients.ai21 import AI21
from xturing.selfinstruct.clients.cohere import Cohere
from xturing.selfinstruct.clients.openai import OpenAI
from xturing.selfinstruct.clients.service import Service

OPENAI_MODEL = "gpt-4.1-mini"
COHERE_MODEL = "command-r-08-2024"
AI21_MODEL = "jamba-mini"


class _OpenAIDoor(OpenAI):
    gone: str

    def __init__(
        self,
        api_key: str | None = None,
        organization: str | None = None,
        request_batch_size: int = 10,
    ) -> None:
        _tell_of(type(self), self.gone, f"openai:{OPENAI_MODEL}")
        super().__init__(OPENAI_MODEL, api_key=api_key, organization=organization)
        self.request_batch_size = request_batch_size


class Davinci(_OpenAIDoor):
    """The successor of OpenAI's davinci."""

    gone = "davinci"


class ChatGPT(_OpenAIDoor):
    """The successor of OpenAI's gpt-3.5-turbo."""

    gone = "gpt-3.5-turbo"


class Medium(Cohere):
    """The successor of Cohere's medium."""

    def __init__(self, api_key: str | None = None, request_batch_size: int = 1) -> None:
        _tell_of(Medium, "medium", f"cohere:{COHERE_MODEL}")
        super().__init__(COHERE_MODEL, api_key=api_key)
        self.request_batch_size = request_batch_size


class J2Grande(AI21):
    """The successor of AI21's j2-grande."""

    def __init__(self, api_key: str | None = None, request_batch_size: int = 1) -> None:
        _tell_of(J2Grande, "j2-grande", f"ai21:{AI21_MODEL}")
        super().__init__(AI21_MODEL, api_key=api_key)
        self.request_batch_size = request_batch_size


def _tell_of(door: type[Service], gone: str, engine: str) -> None:
    maker, model = door.title, engine.partition(":")[2]
    warnings.warn(
        f"{door.__name__} stood for {gone}, which is no longer served; it asks {model} "
        f"now. Write {maker}('{model}'), or the engine {engine}, in its place.",
        DeprecationWarning,
        stacklevel=3,
    )
