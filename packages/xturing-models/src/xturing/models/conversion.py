"""Other forms of weights as Hugging Face folders: converted once, then kept."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from xturing.core.errors import DownloadError
from xturing.core.events import Notice, tell
from xturing.core.files import cache_folder, new_folder, sha256, write_json
from xturing.models.quiet import without_progress_bars

SOURCE = "converted_from.json"

Reader = Callable[[Path], tuple[Any, Any]]
"""Returns the model and the tokenizer that a file leads to."""


def converted(find: Callable[[], Path], name: str, digest: str, read: Reader) -> Path:
    """Return the folder that a weight file with this SHA-256 was converted into.

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
            _convert(find(), folder, digest, read)
    return folder


def _convert(file: Path, folder: Path, digest: str, read: Reader) -> None:
    found = sha256(file)
    if found != digest:
        raise DownloadError(
            f"{file} has the checksum {found}, not {digest}: it is damaged or another "
            "version. Delete it and fetch it again."
        )
    tell(Notice(text=f"Converting {file.name} (once, about half a minute)"))
    with new_folder(folder, overwrite=True) as draft:
        with without_progress_bars():
            model, tokenizer = read(file)
            model.save_pretrained(draft)
            tokenizer.save_pretrained(draft)
        write_json(draft / SOURCE, {"file": file.name, "sha256": digest})
