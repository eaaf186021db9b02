"""Tokenizers with their chat templates, without the models that they belong to."""

from pathlib import Path
from typing import Any

from xturing.core.errors import ModelError
from xturing.models import template
from xturing.models.family import SpecialTokens
from xturing.models.hub import locate_config, locate_family_config
from xturing.models.opening import from_folder
from xturing.models.variant import Variant


def open_tokenizer(reference: str, weights: str | None = None) -> Any:
    """Return the tokenizer that a folder's or a named model has once it is opened.

    No weights are read or fetched.

    Raises:
        UnknownNameError: there is no such model.
        ModelError: it has no tokenizer.
        DownloadError: it is not here and cannot be fetched.
    """
    path = Path(reference).expanduser()
    trusted = False
    if path.is_dir() or reference.startswith((".", "/", "~")):
        opening = from_folder(path.absolute(), None, is_verified=False)
        variant, chat_template = opening.variant, opening.chat_template
        folder = opening.tokenizer or opening.location.folder
        trusted = opening.trust_remote_code
    else:
        variant = Variant.parse(reference)
        chat_template = variant.family.chat_template
        folder = (
            locate_config(weights, with_tokenizer=True)
            if weights
            else locate_family_config(variant.family, with_tokenizer=True)
        )
    try:
        return load_tokenizer(
            folder, chat_template, variant.family.tokens, trust_remote_code=trusted
        )
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(f"{folder} holds no tokenizer: {error}") from error


def load_tokenizer(
    folder: Path,
    chat_template: str,
    tokens: SpecialTokens | None,
    *,
    trust_remote_code: bool,
) -> Any:
    """Return a folder's tokenizer, with the chat template if it has none itself."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(
        folder, local_files_only=True, trust_remote_code=trust_remote_code
    )
    if tokens is not None:
        tokenizer.eos_token, tokenizer.pad_token = tokens.eos, tokens.pad
    if tokenizer.chat_template is None:
        template.install(tokenizer, chat_template)
    return tokenizer
