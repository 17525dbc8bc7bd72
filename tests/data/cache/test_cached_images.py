"""Images from the cache against the same images decoded in memory."""

import os
import pickle
import sys
import zlib

import numpy as np
import pytest
from PIL import Image

from efn_compose.data import load_table
from efn_compose.data.cache import fill
from efn_compose.data.cache.images import cached_images
from efn_compose.data.cache.place import clear_cache, list_cache, make_room
from efn_compose.data.cache.write_out import begin_writing
from efn_compose.data.decoding import decode
from efn_compose.data.decoding.decode import ImageFiles, resize_images
from efn_compose.data.decoding.unreadable import skip_unreadable
from efn_compose.data.holding import Holding
from efn_compose.data.table import ImageTable
from efn_compose.errors import CacheWarning, ConfigError, DataError

COUNT, SIZE = 24, 12


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("EFN_COMPOSE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def photos(tmp_path):
    """Return image files of several sizes and kinds."""
    rng = np.random.default_rng(0)
    paths = []
    for number in range(COUNT):
        pixels = rng.integers(0, 256, (9 + number, 20, 3), np.uint8)
        suffix = ("png", "jpg", "webp")[number % 3]
        paths.append(tmp_path / "photos" / f"{number:02}.{suffix}")
        paths[-1].parent.mkdir(exist_ok=True)
        Image.fromarray(pixels).save(paths[-1])
    return ImageFiles(paths)


def damage(path, offset, content=b"x"):
    with open(path, "r+b") as file:
        file.seek(offset)
        file.write(content)


def the_file(cache):
    (path,) = cache.glob("*.images")
    return path


@pytest.mark.parametrize(
    "key",
    [3, -1, np.int64(5), slice(2, 9, 3), np.array([4, 4, 0]), np.arange(10) % 2 == 0,
     (slice(1, 4), slice(None), slice(None, None, -1))],
    ids=str,
)  # fmt: skip
def test_it_is_the_array_of_the_decoded_images(photos, key):
    numbers = np.array([7, 3, 3, 20, 0, 1, 2, 11, 23, 5])
    truth = resize_images(photos, numbers, SIZE)
    found = cached_images(photos, numbers, SIZE)
    assert (found.shape, found.dtype, found.nbytes) == (truth.shape, truth.dtype, truth.nbytes)
    assert np.array_equal(found[key], truth[key])
    assert np.array_equal(np.asarray(found), truth)
    assert found.checksums.tolist() == [zlib.crc32(image.tobytes()) for image in truth]
    taken = np.array([9, 0])
    assert np.array_equal(found.taken(taken)[:], truth[taken])


def test_the_second_time_nothing_is_decoded(photos, monkeypatch):
    first = cached_images(photos, np.arange(COUNT), SIZE)[:]
    monkeypatch.setattr(decode, "decode_file", lambda *arguments: 1 / 0)
    again = cached_images(photos, np.arange(COUNT)[::-1], SIZE)
    assert np.array_equal(again[:], first[::-1])
    with pytest.raises(ZeroDivisionError):
        cached_images(photos, np.arange(COUNT), SIZE + 1)


def test_a_changed_source_is_another_file(photos, cache):
    cached_images(photos, np.arange(3), SIZE)
    Image.new("RGB", (5, 5), (9, 9, 9)).save(photos.paths[1])
    assert (cached_images(photos, np.arange(3), SIZE)[1] == 9).all()
    assert len(list(cache.glob("*.images"))) == 2


def test_a_source_that_changes_while_it_is_read_is_refused(photos, cache, monkeypatch):
    read = decode.decode_file

    def read_and_change(path, size):
        os.utime(photos.paths[0], ns=(1, size))
        return read(path, size)

    monkeypatch.setattr(decode, "decode_file", read_and_change)
    with pytest.raises(DataError, match="changed while they were read"):
        cached_images(photos, np.arange(3), SIZE)
    assert list(cache.iterdir()) == []


def test_images_of_memory_are_known_by_their_pixels(cache):
    digits = load_table("digits").images
    numbers = np.array([5, 2])
    found = cached_images(digits, numbers, SIZE)
    assert np.array_equal(found[:], resize_images(digits, numbers, SIZE))
    other = np.array(digits)
    other[2] += 1
    cached_images(other, numbers, SIZE)
    assert len(list(cache.glob("*.images"))) == 2


@pytest.mark.parametrize(
    ("hurt", "words"),
    [
        (lambda path: os.truncate(path, path.stat().st_size - 1), "bytes instead of"),
        (lambda path: os.truncate(path, 100), "no file of this cache"),
        (lambda path: path.write_bytes(b"\x89PNG" * 9000), "no file of this cache"),
        (lambda path: damage(path, 8, b"\7\0\0\0"), "it has version 7, this program writes 1"),
        (lambda path: damage(path, 40), "header is damaged"),
        (lambda path: damage(path, 4096 + 4, b"\0"), "images are missing"),
    ],
)
def test_a_file_that_is_not_whole_is_said_and_filled_anew(photos, cache, hurt, words):
    truth = cached_images(photos, np.arange(5), SIZE)[:]
    hurt(the_file(cache))
    with pytest.warns(CacheWarning, match=words):
        assert np.array_equal(cached_images(photos, np.arange(5), SIZE)[:], truth)
    assert np.array_equal(cached_images(photos, np.arange(5), SIZE)[:], truth)


def test_a_flipped_bit_is_an_error_and_no_result(photos, cache):
    cached_images(photos, np.arange(5), SIZE)
    damage(the_file(cache), the_file(cache).stat().st_size - SIZE * SIZE * 3)
    found = cached_images(photos, np.arange(5), SIZE)
    found[:4]
    with pytest.raises(DataError, match=r"image 4 is damaged. Remove the file"):
        found[4]


def test_a_file_cut_off_while_it_is_read_is_an_error(photos, cache):
    found = cached_images(photos, np.arange(5), SIZE)
    os.truncate(the_file(cache), 5000)
    with pytest.raises(DataError, match="is damaged"):
        found[:]


def test_pickled_it_travels_without_pixels_and_is_filled_where_it_arrives(
    photos, cache, tmp_path, monkeypatch
):
    found = cached_images(photos, np.arange(COUNT), SIZE)
    parcel, truth = pickle.dumps(found), found[:]
    assert len(parcel) < truth.nbytes / 2
    del found
    assert np.array_equal(pickle.loads(parcel)[:], truth)
    # Another machine: neither file nor folder are there.
    os.rename(tmp_path / "cache", tmp_path / "gone")
    monkeypatch.setenv("EFN_COMPOSE_CACHE", str(tmp_path / "node"))
    assert np.array_equal(pickle.loads(parcel)[:], truth)
    # A machine that does not see the images.
    clear_cache(tmp_path / "node")
    clear_cache(cache)
    os.rename(tmp_path / "photos", tmp_path / "elsewhere")
    with pytest.raises(DataError, match="Let all machines see the same folder under the same path"):
        pickle.loads(parcel)[0]


def test_all_images_that_cannot_be_decoded_are_listed(photos, cache):
    for number in (1, 4):
        photos.paths[number].write_bytes(b"no image")
    with pytest.raises(DataError, match="2 of 6 images cannot be decoded") as caught:
        cached_images(photos, np.arange(6), SIZE)
    assert "01.jpg" in str(caught.value) and "04.jpg" in str(caught.value)
    assert not list(cache.glob("*.images"))


def test_images_left_out_by_choice_are_decoded_once_and_listed_each_time(
    photos, cache, monkeypatch
):
    table = ImageTable(photos, np.arange(COUNT) % 2, ("a", "b"), "photos")
    for number in (1, 4):
        photos.paths[number].write_bytes(b"no image")
    truth = resize_images(photos, np.array([2, 5, 0]), SIZE)
    decoded, read = [], decode.decode_file
    monkeypatch.setattr(
        decode, "decode_file", lambda *arguments: decoded.append(1) or read(*arguments)
    )
    for again in (COUNT, 0):
        decoded.clear()
        kept, left_out = skip_unreadable(table, at_most=0.2, size=SIZE, holding=Holding("cache"))
        assert [image.image for image in left_out] == [1, 4]
        assert all("not an image that Pillow knows" in image.reason for image in left_out)
        found = Holding("cache").hold(kept.images, np.array([1, 3, 0]), SIZE)
        assert np.array_equal(found[:], truth)
        assert len(decoded) == again + 2  # these for their reasons
    assert kept.image_name(1).endswith("02.webp")
    assert len(list(cache.glob("*.images"))) == 1
    with pytest.raises(DataError, match="2 of 24 images cannot be decoded"):
        cached_images(photos, np.arange(COUNT), SIZE)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux has the call")
def test_the_disk_is_at_work_while_a_file_is_filled(photos, cache, monkeypatch):
    begun = []

    def begin(file, offset, length):
        begun.append((offset, offset + length))
        assert begin_writing(file, offset, length)

    monkeypatch.setattr(fill, "begin_writing", begin)
    monkeypatch.setattr(fill, "PART_BYTES", 4 * SIZE * SIZE * 3)
    cached_images(photos, np.arange(COUNT), SIZE)
    # Behind the header and the table, all images once and most of them twice.
    ends = [4096 * 2 + count * SIZE * SIZE * 3 for count in range(0, COUNT + 1, 4)]
    assert sorted(begun) == list(zip([ends[0], *ends[:-2]], ends[1:], strict=True))


def test_what_was_worked_out_is_kept_beside_the_file(photos):
    found = cached_images(photos, np.arange(5), SIZE)
    assert found.note("sum", lambda: "7") == "7"
    again = cached_images(photos, np.arange(5), SIZE)
    assert again.note("sum", lambda: 1 / 0) == "7"
    with pytest.raises(ZeroDivisionError):
        again.note("another", lambda: 1 / 0)


def test_listing_and_clearing(photos, cache):
    assert list_cache() == []
    used = cached_images(photos, np.arange(5), SIZE, source="folder:photos")
    cached_images(photos, np.arange(4), SIZE).note("a", lambda: "b")
    foreign = cache / "x.images"
    foreign.write_bytes(b"foreign")
    entries = {entry.path.name: entry for entry in list_cache()}
    assert len(entries) == 3
    assert entries["x.images"].problem == "it is no file of this cache"
    assert sorted(e.header.count for e in entries.values() if e.header) == [4, 5]
    assert [e.header.source for e in entries.values() if e.is_in_use] == ["folder:photos"]
    removed, kept = clear_cache()
    assert len(removed) == 2 and [entry.header.count for entry in kept] == [5]
    assert used[0].shape == (SIZE, SIZE, 3)
    del used
    clear_cache()
    assert list(cache.iterdir()) == []


def test_what_was_used_longest_ago_makes_room(photos, cache, monkeypatch):
    for place, count in enumerate((3, 4, 5)):
        cached_images(photos, np.arange(count), SIZE)
        (new,) = [e.path for e in list_cache() if e.header.count == count]
        os.utime(new, (place, place))
    taken = {entry.header.count: entry.file_bytes for entry in list_cache()}
    monkeypatch.setenv("EFN_COMPOSE_CACHE_GB", str((sum(taken.values()) + 100) / 1e9))
    make_room(cache, 100 + taken[3])
    assert sorted(entry.header.count for entry in list_cache()) == [4, 5]
    kept = cached_images(photos, np.arange(5), SIZE)
    with pytest.raises(DataError, match=r"EFN_COMPOSE_CACHE=FOLDER, or lower data\.size"):
        make_room(cache, sum(taken.values()))
    assert len(kept) == 5
    with pytest.raises(DataError, match=r"Raise EFN_COMPOSE_CACHE_GB, or lower data\.size"):
        make_room(cache, 10**9)
    monkeypatch.setenv("EFN_COMPOSE_CACHE_GB", "many")
    with pytest.raises(ConfigError, match="gigabytes above 0"):
        make_room(cache, 1)
