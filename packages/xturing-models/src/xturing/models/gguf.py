"""GGUF files as ordinary Hugging Face folders: converted once, then kept.

transformers reads GGUF in half a minute and marks the model as one that must not be
saved. The weights are dense by then, so the marks are dropped and the folder saved.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from xturing.core.errors import DownloadError, ModelError
from xturing.core.events import Notice, tell
from xturing.core.files import cache_folder, new_folder, sha256, write_json
from xturing.models.quiet import without_progress_bars

SOURCE = "converted_from.json"


def converted(find: Callable[[], Path], name: str, digest: str) -> Path:
    """Return the folder that a GGUF file with this SHA-256 was converted into.

    `find` is asked for the file only when there is no such folder yet.

    Raises:
        DownloadError: the file has another checksum.
        ModelError: it cannot be read.
    """
    from filelock import FileLock

    folder = cache_folder() / "models" / f"{Path(name).stem}-{digest[:16]}"
    if (folder / SOURCE).is_file():
        return folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"):
        if not (folder / SOURCE).is_file():
            _convert(find(), folder, digest)
    return folder


def _convert(file: Path, folder: Path, digest: str) -> None:
    found = sha256(file)
    if found != digest:
        raise DownloadError(
            f"{file} has the checksum {found}, not {digest}: it is damaged or another "
            "version. Delete it and fetch it again."
        )
    tell(Notice(text=f"Converting {file.name} (once, about half a minute)"))
    with new_folder(folder, overwrite=True) as draft:
        with without_progress_bars(), _silent_reader():
            model, tokenizer = _read(file)
            model.save_pretrained(draft)
            tokenizer.save_pretrained(draft)
        write_json(draft / SOURCE, {"file": file.name, "sha256": digest})


@contextmanager
def _silent_reader() -> Iterator[None]:
    """Keep the GGUF reader's own bar, which heeds no switch, off the terminal."""
    reader = import_module("transformers.modeling_gguf_pytorch_utils")
    bar = reader.tqdm
    vars(reader)["tqdm"] = partial(bar, disable=True)
    try:
        yield
    finally:
        vars(reader)["tqdm"] = bar


def _read(file: Path) -> tuple[Any, Any]:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    options = {"gguf_file": file.name, "local_files_only": True}
    try:
        tokenizer = AutoTokenizer.from_pretrained(file.parent, **options)
        model: Any = AutoModelForCausalLM.from_pretrained(
            file.parent, dtype=torch.float32, **options
        )
    except (ValueError, KeyError, OSError) as error:
        raise ModelError(f"{file} cannot be read as a GGUF model: {error}") from error
    model.hf_quantizer = None
    for mark in ("is_quantized", "quantization_method"):
        model.__dict__.pop(mark, None)
    del model.config.quantization_config
    model.config.architectures = [type(model).__name__]
    return model, tokenizer
