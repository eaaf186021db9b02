import json
import shutil
from contextlib import suppress

import numpy as np
import pytest
from datasets import Dataset, DatasetDict, Features, Value
from datasets import Image as ImageFeature
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from xturing.core.errors import DataError
from xturing.data import Text2ImageDataset

RED = (255, 0, 0)


def fill(folder, metadata="jsonl", names=("a.png", "b.png")):
    folder.mkdir(exist_ok=True)
    rows = [{"file_name": name, "text": f"picture {name}"} for name in names]
    for row in rows:
        file = folder / row["file_name"]
        file.parent.mkdir(exist_ok=True)
        Image.new("RGB", (6, 4), RED).save(file)
    if metadata == "jsonl":
        text = "".join(json.dumps(row) + "\n" for row in rows)
    else:
        text = "file_name,text\n" + "".join(",".join(r.values()) + "\n" for r in rows)
    (folder / f"metadata.{metadata}").write_text(text)
    return folder


def one(folder, image, name="x.png", **options):
    fill(folder, names=[name])
    image.save(folder / name, **options)
    return Text2ImageDataset(folder)


def features(folder):
    paths = [str(folder / name) for name in ("a.png", "b.png")]
    types = Features({"image": ImageFeature(), "text": Value("string")})
    texts = ["picture a.png", "picture b.png"]
    return Dataset.from_dict({"image": paths, "text": texts}, features=types)


def saved(folder):
    DatasetDict(train=features(folder)).save_to_disk(str(folder / "saved"))
    return folder / "saved"


SOURCES = {
    "jsonl": lambda folder: fill(folder, "jsonl"),
    "csv": lambda folder: str(fill(folder, "csv")),
    "features": lambda folder: features(fill(folder)),
    "splits": lambda folder: DatasetDict(train=features(fill(folder))),
    "saved": lambda folder: saved(fill(folder)),
}


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
def test_every_source_gives_the_same_pictures_and_captions(source, tmp_path):
    dataset = Text2ImageDataset(source(tmp_path / "pictures"))
    assert [row["text"] for row in dataset] == ["picture a.png", "picture b.png"]
    assert all(row["image"].getpixel((0, 0)) == RED for row in dataset)


def test_pictures_may_lie_in_folders_below(tmp_path):
    dataset = Text2ImageDataset(fill(tmp_path / "p", names=["deep/a.png"]))
    assert dataset.place(0).endswith("metadata.jsonl, line 1")


@given(width=st.integers(1, 40), height=st.integers(1, 40), size=st.integers(1, 24))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
def test_a_tensor_is_square_and_between_minus_one_and_one(
    tmp_path, width, height, size
):
    noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    tensor = one(tmp_path / "p", Image.fromarray(noise)).tensor(0, size)
    assert (tensor.shape, tensor.dtype) == ((3, size, size), np.float32)
    assert (np.abs(tensor) <= 1).all()


def test_black_is_minus_one_and_white_is_one(tmp_path):
    assert one(tmp_path / "a", Image.new("L", (3, 5), 0)).tensor(0, 2).max() == -1
    assert one(tmp_path / "b", Image.new("L", (3, 5), 255)).tensor(0, 2).min() == 1


def test_the_middle_is_what_a_crop_keeps(tmp_path):
    wide = Image.new("RGB", (30, 10), "black")
    wide.paste(RED, (10, 0, 20, 10))
    tensor = one(tmp_path / "p", wide).tensor(0, 10)
    assert (tensor[0] == 1).all()


MODES = {
    "grey": Image.new("L", (2, 2), 255),
    "black and white": Image.new("1", (2, 2), 1),
    "grey of 16 bits": Image.fromarray(np.full((2, 2), 65535, np.uint16)),
    "transparent": Image.new("RGBA", (2, 2), (0, 0, 0, 0)),
    "transparent grey": Image.new("LA", (2, 2), (0, 0)),
    "a palette": Image.new("RGB", (2, 2), "white").convert("P"),
}


@pytest.mark.parametrize("image", MODES.values(), ids=MODES)
def test_every_mode_becomes_rgb_on_white(image, tmp_path):
    assert (one(tmp_path / "p", image).tensor(0, 2) == 1).all()


def test_a_palette_with_a_transparent_colour_is_put_on_white(tmp_path):
    image = Image.new("P", (2, 2), 0)
    image.putpalette([0, 0, 0])
    assert (one(tmp_path / "p", image, transparency=0).tensor(0, 2) == 1).all()


def test_a_picture_is_turned_as_its_camera_was_held(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    dataset = one(tmp_path / "p", Image.new("RGB", (8, 4)), "x.jpg", exif=exif)
    assert dataset.image(0).size == (4, 8)


def spoil(folder):
    """Break every row but the first, each in a way of its own."""
    fill(folder, names=[f"{number}.png" for number in range(7)])
    (folder / "1.png").write_bytes(b"no picture")
    whole = (folder / "2.png").read_bytes()
    (folder / "2.png").write_bytes(whole[: len(whole) // 2])
    (folder / "3.png").unlink()
    (folder / "4.png").unlink()
    shutil.copy(folder / "0.png", folder.parent / "outside.png")
    (folder / "4.png").symlink_to(folder.parent / "outside.png")
    lines = (folder / "metadata.jsonl").read_text().splitlines()
    lines[5] = json.dumps({"file_name": "../outside.png", "text": "x"})
    lines[6] = json.dumps({"file_name": "0.png", "text": " "})
    (folder / "metadata.jsonl").write_text("\n".join(lines))
    return folder


def test_all_wrong_rows_are_named_at_once(tmp_path):
    with pytest.raises(DataError) as caught:
        Text2ImageDataset(spoil(tmp_path / "p"))
    problems = str(caught.value).splitlines()
    assert len(problems) == 6
    for line, words in enumerate(
        [
            "no picture that can be decoded",
            "no picture that can be decoded",
            "there is no file",
            "outside the folder",
            "outside the folder",
            "field 'text' is empty",
        ],
        start=2,
    ):
        assert f"line {line}" in problems[line - 2]
        assert words in problems[line - 2]


@pytest.mark.parametrize("name", ["/etc/hostname", "a\0b", "x" * 5000, "", ".", 3])
def test_a_name_that_is_no_file_of_the_folder_is_refused(name, tmp_path):
    folder = fill(tmp_path / "p")
    row = {"file_name": name, "text": "x"}
    (folder / "metadata.jsonl").write_text(json.dumps(row))
    with pytest.raises(DataError, match="line 1, field 'file_name'"):
        Text2ImageDataset(folder)


@pytest.mark.parametrize("factor", [0.9, 0.4])
def test_a_decompression_bomb_is_refused(factor, tmp_path, monkeypatch):
    folder = fill(tmp_path / "p")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", int(6 * 4 * factor))
    with pytest.raises(DataError, match="line 1: the picture has more than"):
        Text2ImageDataset(folder)


def test_a_picture_that_another_program_would_draw_is_refused(tmp_path):
    with pytest.raises(DataError, match="no picture that can be decoded"):
        one(tmp_path / "p", Image.new("RGB", (2, 2)), "x.eps")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP"])
@given(data=st.data())
@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    max_examples=25,
)
def test_spoilt_bytes_give_a_picture_or_a_data_error(kind, data, tmp_path):
    folder = fill(tmp_path / "p", names=["a.png"])
    file = folder / "a.png"
    Image.new("RGB", (6, 4), RED).save(file, kind)
    content = bytearray(file.read_bytes())
    changes = st.tuples(st.integers(0, len(content) - 1), st.integers(0, 255))
    for position, value in data.draw(st.lists(changes, min_size=1, max_size=8)):
        content[position] = value
    file.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    with suppress(DataError):
        Text2ImageDataset(folder)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (3, "is int"),
        ("no-such-folder", "There is no folder"),
        (Dataset.from_dict({"text": ["a"]}), "has the columns 'text'"),
        (DatasetDict(), "is DatasetDict"),
    ],
    ids=["a number", "nothing", "no pictures", "no train split"],
)
def test_what_holds_no_pictures_is_refused(source, message):
    with pytest.raises(DataError, match=message):
        Text2ImageDataset(source)


def test_a_folder_without_metadata_is_told_what_to_write(tmp_path):
    with pytest.raises(DataError, match=r"has no metadata\.jsonl or metadata\.csv"):
        Text2ImageDataset(tmp_path)


def test_metadata_without_rows_is_refused(tmp_path):
    with pytest.raises(DataError, match="holds no rows"):
        Text2ImageDataset(fill(tmp_path / "p", names=[]))
