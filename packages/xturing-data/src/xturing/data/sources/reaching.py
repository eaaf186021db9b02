"""Whether the Hugging Face hub answers, so that nobody waits for one that does not."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

PATIENCE_SECONDS = 4
"""How long the hub may take to answer at all."""


def answers(endpoint: str) -> bool:
    """Tell whether anyone answers at an address, whatever is answered."""
    try:
        # The address is the user's own setting or the library's.
        asked = Request(endpoint, method="HEAD")  # noqa: S310
        with urlopen(asked, timeout=PATIENCE_SECONDS):  # noqa: S310
            return True
    except HTTPError:
        return True
    except URLError as error:
        # A certificate that this library does not trust, the hub's own may.
        return isinstance(error.reason, ssl.SSLError)
    except (OSError, ValueError):
        return False


@contextmanager
def offline() -> Iterator[None]:
    """Have the `datasets` library look at what it fetched before, and no further."""
    from datasets import config

    before = config.HF_HUB_OFFLINE
    config.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        config.HF_HUB_OFFLINE = before
