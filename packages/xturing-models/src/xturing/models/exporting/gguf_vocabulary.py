"""A byte-level tokenizer in the terms of a GGUF file.

Such a file does not say how words are split: it names one of the ways that llama.cpp
has built in. So a tokenizer is written only if its own way is one of them. Vocabularies
of sentencepiece are not written: theirs has scores in place of an order of merges, and
the one cannot be told from the other with certainty.
"""

import json
from collections.abc import Mapping
from itertools import product
from typing import Any, NoReturn

from xturing.core.errors import ModelError
from xturing.models.template import stop_ids

LLAMA3_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN2_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
SPLITS: Mapping[tuple[str, ...], str] = {
    ("words",): "gpt-2",
    ("digits", "words"): "smollm",
    (LLAMA3_SPLIT, "bytes"): "llama-bpe",
    (QWEN2_SPLIT, "bytes"): "qwen2",
}
"""llama.cpp's names of the ways to split texts, by the steps that each takes."""
TAKES_WHOLE_WORDS = ("llama-bpe",)
"""Those with which a word that is in the vocabulary is never put together."""
NORMAL, CONTROL, USER_DEFINED, UNUSED = 1, 3, 4, 5
"""GGUF's kinds of tokens."""
ADVICE = "Export it as safetensors, which llama.cpp's own converter reads."


def write_vocabulary(writer: Any, tokenizer: Any, size: int) -> None:
    """Add a tokenizer to a GGUF file of a model with so many embeddings.

    Raises:
        ModelError: the file could not express it.
    """
    state = _state(tokenizer)
    tokens, kinds = _tokens(tokenizer, size)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(split_name(tokenizer))
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges([_merge(each) for each in state["model"]["merges"]])
    _write_special(writer, tokenizer)
    if tokenizer.chat_template is not None:
        writer.add_chat_template(tokenizer.chat_template)


def split_name(tokenizer: Any) -> str:
    """Return what llama.cpp calls the way in which a tokenizer splits texts.

    Raises:
        ModelError: llama.cpp has no such way, or it is not known here.
    """
    state = _state(tokenizer)
    model = state["model"]
    if model["type"] != "BPE" or model.get("byte_fallback"):
        _refuse(f"its vocabulary is of sentencepiece's kind ({model['type']})")
    normalizer = state.get("normalizer")
    # Composed characters are what nearly all texts have anyway.
    if normalizer is not None and normalizer["type"] != "NFC":
        _refuse(f"it changes texts before it splits them ({normalizer['type']})")
    steps = _steps(state.get("pre_tokenizer"))
    name = SPLITS.get(steps)
    if name is None:
        _refuse(f"llama.cpp's name of how it splits texts is not known: {steps}")
    if bool(model.get("ignore_merges")) != (name in TAKES_WHOLE_WORDS):
        _refuse(f"it does not put words together as '{name}' does there")
    return name


def adds_start(tokenizer: Any) -> bool:
    """Tell whether a tokenizer puts its start token before every text.

    Raises:
        ModelError: it puts other tokens there too.
    """
    return _added(tokenizer)[0]


def _write_special(writer: Any, tokenizer: Any) -> None:
    named = {
        writer.add_bos_token_id: tokenizer.bos_token_id,
        writer.add_eos_token_id: tokenizer.eos_token_id,
        writer.add_unk_token_id: tokenizer.unk_token_id,
        writer.add_pad_token_id: tokenizer.pad_token_id,
    }
    turn_ends = [id_ for id_ in stop_ids(tokenizer) if id_ != tokenizer.eos_token_id]
    if turn_ends:
        named[writer.add_eot_token_id] = turn_ends[0]
    for add, id_ in named.items():
        if id_ is not None:
            add(id_)
    start, end = _added(tokenizer)
    writer.add_add_bos_token(start)
    writer.add_add_eos_token(end)
    writer.add_add_space_prefix(False)


def _added(tokenizer: Any) -> tuple[bool, bool]:
    """Return whether a start and an end token are put around texts."""
    bare = tokenizer("x", add_special_tokens=False)["input_ids"]
    ids = tokenizer("x")["input_ids"]
    around = {
        (start, end): [
            *[tokenizer.bos_token_id] * start,
            *bare,
            *[tokenizer.eos_token_id] * end,
        ]
        for start, end in product((False, True), repeat=2)
    }
    found = next((added for added, text in around.items() if text == ids), None)
    if found is None:
        _refuse("it puts more around a text than a start and an end token")
    return found


def _tokens(tokenizer: Any, size: int) -> tuple[list[str], list[int]]:
    """Return the tokens in the order of their ids, and of which kind each is."""
    vocabulary = {id_: token for token, id_ in tokenizer.get_vocab().items()}
    added = tokenizer.added_tokens_decoder
    if max(vocabulary) >= size:
        _refuse(f"it has {max(vocabulary) + 1} tokens, but the model embeds {size}")
    tokens, kinds = [], []
    for id_ in range(size):
        tokens.append(vocabulary.get(id_, f"[PAD{id_}]"))
        if id_ not in vocabulary:
            kinds.append(UNUSED)
        elif id_ not in added:
            kinds.append(NORMAL)
        else:
            kinds.append(CONTROL if added[id_].special else USER_DEFINED)
    return tokens, kinds


def _steps(step: Mapping[str, Any] | None) -> tuple[str, ...]:
    """Return what a pre-tokenizer does, one word or regular expression for a step."""
    kind = step["type"] if step is not None else None
    if step is None or kind is None:
        return ("nothing",)
    if kind == "Sequence":
        parts = [_steps(each) for each in step["pretokenizers"]]
        return tuple(name for names in parts for name in names)
    if kind == "ByteLevel" and not step["add_prefix_space"]:
        return ("words",) if step.get("use_regex", True) else ("bytes",)
    if kind == "Digits" and step["individual_digits"]:
        return ("digits",)
    if kind == "Split" and step["behavior"] == "Isolated" and not step["invert"]:
        return (str(step["pattern"].get("Regex")),)
    return (kind,)


def _state(tokenizer: Any) -> dict[str, Any]:
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        _refuse("it is written in Python, and does not say how it works")
    return json.loads(backend.to_str())


def _merge(pair: str | list[str]) -> str:
    # Earlier tokenizer files have a pair as one string.
    return pair if isinstance(pair, str) else " ".join(pair)


def _refuse(reason: str) -> NoReturn:
    raise ModelError(
        f"The tokenizer cannot be written to a GGUF file: {reason}. {ADVICE}"
    )
