"""Errors in the page: one sentence each."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from xturing.core.errors import XTuringError

logger = logging.getLogger(__name__)


@contextmanager
def errors_shown() -> Iterator[None]:
    """Have what goes wrong shown as a sentence, until it is closed.

    Raises:
        gradio.Error: something went wrong; what was not expected is in the log.
    """
    import gradio

    try:
        yield
    except XTuringError as error:
        raise gradio.Error(str(error), duration=None, print_exception=False) from error
    except gradio.Error:
        raise
    except Exception as error:
        logger.exception("a page could not be answered")
        told = f"{type(error).__name__}: {error}. This was not expected; the log of "
        raise gradio.Error(
            f"{told}`xturing ui` tells where it happened.",
            duration=None,
            print_exception=False,
        ) from error
