"""Images are known again wherever they lie, and others are not taken for them."""

import io
import shutil
import tarfile

import numpy as np
import pytest
from PIL import Image

from efn_compose.data.identity import image_marks
from efn_compose.data.sources import load_table

COUNT = 12


@pytest.fixture
def photos(tmp_path):
    """A folder of bitmaps: all files are equally long."""
    rng = np.random.default_rng(1)
    for number in range(COUNT):
        place = tmp_path / "photos" / "ab"[number % 2]
        place.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 256, (60, 60, 3), np.uint8)
        Image.fromarray(pixels).save(place / f"{number // 2}.bmp")
    return tmp_path / "photos"


def marks(source, **more):
    return image_marks(load_table(source, **more).images)


def test_files_are_known_by_their_bytes(photos, tmp_path):
    found = marks(f"folder:{photos}")
    assert len(set(found.tolist())) == COUNT and found.dtype == np.uint64
    lines = ["image,label"]
    for number, file in enumerate(sorted(photos.rglob("*.bmp"), reverse=True)):
        shutil.copyfile(file, tmp_path / f"other{number}.bmp")
        lines.append(f"other{number}.bmp,{file.parent.name}")
    (tmp_path / "list.csv").write_text("\n".join(lines))
    again = marks(f"csv:{tmp_path / 'list.csv'}")
    assert sorted(again.tolist()) == sorted(found.tolist()) and again[0] != found[0]
    # Other pixels in one band are another image of the same length, wherever the band lies.
    for top in (0, 20, 50):
        with Image.open(tmp_path / "other0.bmp") as image:
            pixels = np.array(image)
        pixels[top : top + 10] ^= 255
        Image.fromarray(pixels).save(tmp_path / "other0.bmp")
        changed = marks(f"csv:{tmp_path / 'list.csv'}")
        assert (changed != again).tolist() == [True] + [False] * (COUNT - 1)


def test_files_are_known_in_a_tar_archive_too(photos, tmp_path):
    with tarfile.open(tmp_path / "shard.tar", "w") as archive:
        for number, file in enumerate(sorted(photos.rglob("*.bmp"))):
            archive.add(file, f"{number:04}.bmp")
            label = str("ab".index(file.parent.name)).encode()
            entry = tarfile.TarInfo(f"{number:04}.cls")
            entry.size = len(label)
            archive.addfile(entry, io.BytesIO(label))
    assert set(marks(f"tar:{tmp_path / 'shard.tar'}").tolist()) == set(
        marks(f"folder:{photos}").tolist()
    )


def test_arrays_are_known_by_their_pixels(tmp_path):
    images = np.random.default_rng(2).integers(0, 256, (COUNT, 8, 8, 3), np.uint8)
    images[3] = images[1]
    np.savez(tmp_path / "a.npz", images=images, labels=np.arange(COUNT) % 2)
    np.savez(tmp_path / "b.npz", images=images[::-1], labels=np.arange(COUNT) % 2)
    first, second = marks(f"npz:{tmp_path / 'a.npz'}"), marks(f"npz:{tmp_path / 'b.npz'}")
    assert np.array_equal(first, second[::-1])
    assert len(set(first.tolist())) == COUNT - 1 and first[3] == first[1]


def test_rows_of_a_parquet_file_are_known_in_a_copy_of_it(photos, tmp_path):
    import pyarrow as pa
    from pyarrow import parquet

    files = sorted(photos.rglob("*.bmp"))
    columns = {
        "image": [file.read_bytes() for file in files],
        "label": [int(file.parent.name == "b") for file in files],
    }
    parquet.write_table(pa.table(columns), tmp_path / "a.parquet", row_group_size=5)
    (tmp_path / "elsewhere").mkdir()
    shutil.copyfile(tmp_path / "a.parquet", tmp_path / "elsewhere" / "b.parquet")
    first, second = (
        marks(f"parquet:{tmp_path / name}") for name in ("a.parquet", "elsewhere/b.parquet")
    )
    assert np.array_equal(first, second) and len(set(first.tolist())) == COUNT
