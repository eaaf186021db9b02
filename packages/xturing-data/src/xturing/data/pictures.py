"""Pictures with captions, ready for a model that draws.

A picture is decoded once before it is used, so that a broken one is named at the start
and not met in the middle of a run. Needs Pillow, the extra `pictures`.
"""

import csv
import struct
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from xturing.core.errors import DataError
from xturing.core.extras import require
from xturing.core.files import read_jsonl
from xturing.data.fields import Row, filled, string, wrong
from xturing.data.wording import listed

if TYPE_CHECKING:
    from PIL.Image import Image

METADATA = ("metadata.jsonl", "metadata.csv")
FORMATS = ("BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP")
"""What is opened; Pillow would hand others, such as EPS, to programs of their own."""
SHOWN = 20
"""Most wrong rows that an error lists; the others are counted."""

# What Pillow raises on broken files: each of its decoders has errors of its own.
BROKEN = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    EOFError,
    LookupError,
    ArithmeticError,
    MemoryError,
    struct.error,
)


@dataclass(frozen=True)
class _Picture:
    """A caption, and what gives the file or the bytes of its picture."""

    opener: Callable[[], Path | BytesIO]
    text: str
    place: str


_Rows = Iterator[tuple[str, Row]]
_Reader = Callable[[Row, str], _Picture]


class Text2ImageDataset:
    """Pictures and their captions.

    `source` is a folder of pictures with a metadata.jsonl or metadata.csv of
    `file_name` and `text`; or a folder that `datasets` saved, a `datasets.Dataset` or
    a `DatasetDict` with a train split, of the columns `image` and `text`.

    Raises:
        DataError: a row is wrong, or its picture is missing, broken, too large or
            outside the folder; the message names all such rows at once.
    """

    config_name = "text2image_dataset"

    def __init__(self, source: object) -> None:
        require("PIL", package="xturing-data", extra="pictures")
        self.origin, rows, read = _open(source)
        self._pictures: list[_Picture] = []
        problems: list[str] = []
        for place, row in rows:
            try:
                picture = read(row, place)
                _decoded(picture)
            except DataError as error:
                problems.append(str(error))
            else:
                self._pictures.append(picture)
        if problems:
            more = len(problems) - SHOWN
            rest = [f"and {more} more"] if more > 0 else []
            raise DataError("\n".join([*problems[:SHOWN], *rest]))
        if not self._pictures:
            raise DataError(f"{self.origin} holds no rows.")

    def __len__(self) -> int:
        return len(self._pictures)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"image": self.image(index), "text": self.caption(index)}

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (self[index] for index in range(len(self)))

    def place(self, index: int) -> str:
        """Return the file and line, or the row, that a picture came from."""
        return self._pictures[index].place

    def caption(self, index: int) -> str:
        """Return what a picture shows."""
        return self._pictures[index].text

    def image(self, index: int) -> "Image":
        """Return a picture in RGB, upright, on white where it is transparent."""
        return _decoded(self._pictures[index])

    def tensor(self, index: int, size: int) -> NDArray[np.float32]:
        """Return a picture of shape (3, size, size), from -1 for black to 1 for white.

        It is scaled until its shorter side fits, and cropped around its middle.
        """
        from PIL import Image, ImageOps

        square = ImageOps.fit(
            self.image(index), (size, size), method=Image.Resampling.BICUBIC
        )
        pixels = np.asarray(square, dtype=np.float32).transpose(2, 0, 1)
        return np.ascontiguousarray(pixels / np.float32(127.5) - np.float32(1))


def _open(source: object) -> tuple[str, _Rows, _Reader]:
    if not isinstance(source, str | Path):
        return "the dataset", _dataset_rows(source, "the dataset"), _of_cell
    folder = Path(source).expanduser()
    if not folder.is_dir():
        raise DataError(f"There is no folder {folder}.")
    for name in METADATA:
        if (folder / name).is_file():
            rows = _metadata_rows(folder / name)
            return str(folder), rows, partial(_of_file, folder.resolve())
    from datasets import load_from_disk

    try:
        dataset = load_from_disk(str(folder))
    except FileNotFoundError as error:
        raise DataError(
            f"{folder} has no {' or '.join(METADATA)} with the 'file_name' and 'text' "
            "of each picture. Write one beside the pictures."
        ) from error
    return str(folder), _dataset_rows(dataset, str(folder)), _of_cell


def _metadata_rows(path: Path) -> _Rows:
    if path.suffix == ".jsonl":
        for number, row in read_jsonl(path):
            if not isinstance(row, dict):
                raise DataError(
                    f"{path}, line {number} is no object with named fields."
                )
            yield f"{path}, line {number}", row
        return
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            for row in reader:
                yield f"{path}, line {reader.line_num}", row
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} is no CSV file in UTF-8: {error}.") from error


def _of_file(root: Path, row: Row, place: str) -> _Picture:
    name = filled(string(row, "file_name", place), "file_name", place)
    text = filled(string(row, "text", place), "text", place)
    try:
        path = (root / name).resolve()
        is_file = path.is_file()
    except (OSError, ValueError, RuntimeError) as error:
        raise wrong(name, "file_name", "the name of a file", place) from error
    if not path.is_relative_to(root):
        raise DataError(
            f"{place}, field 'file_name': '{name}' is outside the folder {root}. Put "
            "the picture into the folder."
        )
    if not is_file:
        raise DataError(f"{place}, field 'file_name': there is no file {path}.")
    return _Picture(partial(Path, path), text, place)


def _dataset_rows(given: Any, origin: str) -> _Rows:
    from datasets import Dataset, DatasetDict, Image

    if isinstance(given, DatasetDict) and "train" in given:
        given = given["train"]
    features = getattr(given, "features", None)
    if not isinstance(given, Dataset) or not isinstance(features, dict):
        raise DataError(
            f"{origin} is {type(given).__name__}. Give a folder of pictures with their "
            "metadata, or a datasets.Dataset of the columns 'image' and 'text'."
        )
    if not isinstance(features.get("image"), Image) or "text" not in features:
        raise DataError(
            f"{origin} has the columns {listed(features)}. Pictures need a column "
            "'image' of the feature datasets.Image and a column 'text'."
        )
    held = given.cast_column("image", Image(decode=False))
    for index, text in enumerate(held["text"]):
        row = {"image": partial(_cell, held, index), "text": text}
        yield f"{origin}, row {index + 1}", row


def _of_cell(row: Row, place: str) -> _Picture:
    return _Picture(
        row["image"], filled(string(row, "text", place), "text", place), place
    )


def _cell(held: Any, index: int) -> Path | BytesIO:
    cell = held[index]["image"]
    if cell is None:
        raise ValueError("there is no picture")
    return BytesIO(cell["bytes"]) if cell["bytes"] is not None else Path(cell["path"])


def _decoded(picture: _Picture) -> "Image":
    from PIL import Image, ImageOps

    large = Image.DecompressionBombWarning, Image.DecompressionBombError
    try:
        with warnings.catch_warnings():
            # Oddities in what surrounds the pixels do no harm; sheer size does.
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(picture.opener(), formats=FORMATS) as image:
                return _in_rgb(ImageOps.exif_transpose(image))
    except large as error:
        raise DataError(
            f"{picture.place}: the picture has more than {Image.MAX_IMAGE_PIXELS} "
            "pixels, so decoding it could fill the memory. Make it smaller."
        ) from error
    except BROKEN as error:
        raise DataError(
            f"{picture.place}: this is no picture that can be decoded ({error}). "
            f"Replace it by a whole one of {', '.join(FORMATS)}, or leave the row out."
        ) from error


def _in_rgb(image: "Image") -> "Image":
    from PIL import Image

    if image.mode == "I;16":
        # Pillow would cut its values off at 255.
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if image.mode in ("I", "F"):
        raise ValueError(f"its pixels are of the mode {image.mode}, of unknown range")
    if not image.has_transparency_data:
        return image.convert("RGB")
    clear = image.convert("RGBA")
    white = Image.new("RGBA", clear.size, "white")
    return Image.alpha_composite(white, clear).convert("RGB")
