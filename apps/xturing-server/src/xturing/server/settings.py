"""What whoever runs the server decides: where it listens, to whom, and how much."""

import ipaddress
import math
from dataclasses import dataclass, field

from xturing.core.errors import SettingsError


@dataclass(frozen=True, kw_only=True)
class ServerSettings:
    """Where a server listens, whom it answers, and how much it takes on.

    Raises:
        SettingsError: it would be open to others than this machine without a key, or a
            limit is no limit.
    """

    host: str = "127.0.0.1"
    port: int = 5000
    """0: one that is free."""
    api_key: str | None = field(default=None, repr=False)
    """What clients have to send as `Authorization: Bearer …`. None: nothing."""
    no_auth: bool = False
    """Whether to answer other machines without a key."""
    cors_origins: tuple[str, ...] = ()
    """Origins whose pages may call the server from a browser, such as
    http://localhost:3000."""
    max_body_bytes: int = 1_000_000
    max_prompt_tokens: int | None = None
    """Most tokens of a prompt. None: what the model's context holds."""
    max_new_tokens: int = 4096
    """Most tokens of an answer that may be asked for."""
    request_seconds: float = 600.0
    """When a request's answer is cut off, waiting for its turn included."""
    retry_after_seconds: int = 1
    """What clients are told to wait if there is no room for them."""

    def __post_init__(self) -> None:
        self._check_key()
        self._check_limits()

    def _check_key(self) -> None:
        if self.api_key is not None and not _is_key(self.api_key):
            raise SettingsError(
                "The API key is empty, or has characters that no HTTP header can have; "
                "use letters, digits and signs of ASCII without spaces."
            )
        if self.api_key is not None and self.no_auth:
            raise SettingsError(
                "There is an API key and no_auth too. Leave out no_auth to ask for the "
                "key, or the key to ask for none."
            )
        if self.api_key is None and not self.no_auth and not is_loopback(self.host):
            raise SettingsError(
                f"On {self.host} other machines reach the server, and there is no API "
                "key. Give one (--api-key or XTURING_API_KEY), or say that anyone may "
                "use it (--no-auth)."
            )

    def _check_limits(self) -> None:
        limits: dict[str, float | None] = {
            "max_body_bytes": self.max_body_bytes,
            "max_prompt_tokens": self.max_prompt_tokens,
            "max_new_tokens": self.max_new_tokens,
            "request_seconds": self.request_seconds,
            "retry_after_seconds": self.retry_after_seconds,
        }
        for name, value in limits.items():
            if value is not None and not 0 < value < math.inf:
                raise SettingsError(f"{name} is {value}; it is a number above 0.")
        if not 0 <= self.port < 2**16:
            raise SettingsError(
                f"port is {self.port}; it is 1 to 65535, or 0 for one that is free."
            )


def is_loopback(host: str) -> bool:
    """Return whether only this machine reaches what listens there."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _is_key(text: str) -> bool:
    return bool(text) and all("!" <= character <= "~" for character in text)
