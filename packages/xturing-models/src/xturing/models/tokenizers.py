"""Tokenizers with their chat templates, without the models that they belong to."""

from pathlib import Path
from typing import Any

from xturing.core.errors import ModelError
from xturing.models import template
from xturing.models.family import Family
from xturing.models.hub import locate_config, locate_family_config
from xturing.models.opening import from_folder
from xturing.models.variant import Variant


def open_tokenizer(
    reference: str, weights: str | None = None, chat_template: str | None = None
) -> Any:
    """Return the tokenizer that a folder's or a named model has once it is opened.

    No weights are read or fetched. `chat_template` is that of `BaseModel`.

    Raises:
        UnknownNameError: there is no such model.
        ModelError: it has no tokenizer.
        DownloadError: it is not here and cannot be fetched.
    """
    path = Path(reference).expanduser()
    trusted = False
    if path.is_dir() or reference.startswith((".", "/", "~")):
        opening = from_folder(path.absolute(), None, is_verified=False)
        variant = opening.variant
        folder = opening.tokenizer or opening.location.folder
        trusted = opening.trust_remote_code
    else:
        variant = Variant.parse(reference)
        folder = (
            locate_config(weights, with_tokenizer=True)
            if weights
            else locate_family_config(variant.family, with_tokenizer=True)
        )
    try:
        return load_tokenizer(
            folder, variant.family, chat_template, trust_remote_code=trusted
        )
    except (OSError, ValueError, KeyError) as error:
        raise ModelError(f"{folder} holds no tokenizer: {error}") from error


def load_tokenizer(
    folder: Path,
    family: Family,
    chat_template: str | None = None,
    *,
    trust_remote_code: bool,
) -> Any:
    """Return a folder's tokenizer, with the chat template that was asked for.

    By default it is the tokenizer's own, or the family's if it has none.
    """
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(
        folder, local_files_only=True, trust_remote_code=trust_remote_code
    )
    if family.tokens is not None:
        tokens = family.tokens
        tokenizer.eos_token, tokenizer.pad_token = tokens.eos, tokens.pad
    if chat_template is not None or tokenizer.chat_template is None:
        template.install(tokenizer, chat_template or family.chat_template)
    return tokenizer
