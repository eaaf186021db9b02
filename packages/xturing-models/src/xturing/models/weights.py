"""Weight files, and which of them cannot be read.

A pickle is read as tensors and nothing else, so that it cannot run code.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from xturing.core.errors import ModelError

if TYPE_CHECKING:
    from torch import Tensor

MODEL = ("model*.safetensors", "pytorch_model*.bin")
ADAPTER = ("adapter_model.safetensors", "adapter_model.bin")


def refuse_broken(folder: Path, kinds: tuple[str, str]) -> None:
    """Raise `ModelError` if a weight file of the folder is cut short or damaged.

    `kinds` are file patterns; those after the first that is there are not looked at.
    """
    for kind in kinds:
        files = sorted(folder.glob(kind))
        for file in files:
            if file.suffix == ".bin":
                read_pickle(file)
            else:
                _refuse_broken_safetensors(file)
        if files:
            return


def read_pickle(file: Path) -> "dict[str, Tensor]":
    """Return the tensors that `torch.save` wrote, left on disk until they are used.

    Raises:
        ModelError: the file is damaged, or holds anything but tensors.
    """
    import struct
    from pickle import UnpicklingError
    from zipfile import is_zipfile

    import torch

    is_zip = is_zipfile(file)
    try:
        state = torch.load(file, map_location="cpu", weights_only=True, mmap=is_zip)
    except UnpicklingError as error:
        if is_zip or "GLOBAL" in str(error):
            raise _not_only_tensors(file) from error
        raise _broken(file, "it is no file of torch.save") from error
    except (
        RuntimeError,
        EOFError,
        OSError,
        ValueError,
        LookupError,
        AssertionError,
        struct.error,
    ) as error:
        raise _broken(file, str(error).partition("\n")[0]) from error
    if not isinstance(state, dict) or not all(
        isinstance(value, torch.Tensor) for value in state.values()
    ):
        raise _not_only_tensors(file)
    return dict(state)


def _refuse_broken_safetensors(file: Path) -> None:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, "pt"):
            pass
    except (SafetensorError, OSError) as error:
        raise _broken(file, str(error)) from error


def _broken(file: Path, reason: str) -> ModelError:
    return ModelError(
        f"{file} is damaged or cut short ({reason or 'it is empty'}). Copy or fetch it "
        "again, or save the model once more."
    )


def _not_only_tensors(file: Path) -> ModelError:
    return ModelError(
        f"{file} holds more than tensors, and a pickle that does can run code, so it "
        "was not opened. Save the tensors alone, best as safetensors, with the program "
        "that wrote it."
    )
