"""Fills that end too early: killed, or on a disk that is full."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from efn_compose.data.cache.images import cached_images
from efn_compose.data.decoding import decode
from efn_compose.data.decoding.decode import ImageFiles, resize_images
from efn_compose.errors import DataError

COUNT, SIZE, KILLS = 160, 64, 20

#: Forks a process that fills, and kills it, until so many kills came in time; whatever gets
#: finished in between is compared and removed.
KILLER = """
import os, random, signal, sys, time
from pathlib import Path
import numpy as np
from efn_compose.data.cache.images import cached_images
from efn_compose.data.cache.place import cache_folder, clear_cache
from efn_compose.data.decoding.decode import ImageFiles, resize_images
folder, size, kills, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
files = ImageFiles(sorted(Path(folder).iterdir()))
every = np.arange(len(files))
truth = resize_images(files, every, size)
chance, in_time, finished = random.Random(seed), 0, 0
while in_time < kills:
    child = os.fork()
    if not child:
        cached_images(files, every, size)
        os._exit(0)
    time.sleep(chance.uniform(0.001, 0.05))
    os.kill(child, signal.SIGKILL)
    in_time += os.WIFSIGNALED(os.waitpid(child, 0)[1])
    if list(cache_folder().glob("*.images")):
        finished += 1
        assert np.array_equal(cached_images(files, every, size)[:], truth)
        clear_cache()
assert np.array_equal(cached_images(files, every, size)[:], truth)
assert not list(cache_folder().glob("*.partial"))
print(finished)
"""


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(1)
    for number in range(COUNT):
        pixels = rng.integers(0, 256, (200, 200, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:03}.png", compress_level=1)
    return ImageFiles(sorted(folder.iterdir()))


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("EFN_COMPOSE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def run(code, *words, check=True):
    command = [sys.executable, "-c", code, *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=check, env=os.environ)


@pytest.mark.slow
def test_killed_at_twenty_points_nothing_wrong_is_read(photos, cache, chance):
    said = run(KILLER, photos.paths[0].parent, SIZE, KILLS, chance.randrange(10**9)).stdout
    assert int(said) >= 0
    assert [path.suffix for path in cache.iterdir()] == [".images"]


def test_a_fill_goes_on_with_what_is_missing_or_damaged(photos, cache, monkeypatch):
    truth = resize_images(photos, np.arange(9), SIZE)
    cached_images(photos, np.arange(9), SIZE)
    (path,) = cache.glob("*.images")
    image = SIZE * SIZE * 3
    with open(path, "r+b") as file:
        file.seek(4096 + 2 * 8 + 4)
        file.write(b"\0")  # the third image is not there
        file.seek(-image, os.SEEK_END)
        file.write(b"?")  # a power cut has kept the last one's line, not its pixels
    path.rename(path.with_suffix(".partial"))
    decoded, read = [], decode.decode_file
    monkeypatch.setattr(
        decode, "decode_file", lambda path, size: decoded.append(path) or read(path, size)
    )
    assert np.array_equal(cached_images(photos, np.arange(9), SIZE)[:], truth)
    assert sorted(decoded) == [photos.paths[2], photos.paths[8]]


FULL = """
import resource, signal, sys
from pathlib import Path
import numpy as np
from efn_compose.data.cache.images import cached_images
from efn_compose.data.decoding.decode import ImageFiles
from efn_compose.errors import DataError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
files = ImageFiles(sorted(Path(sys.argv[1]).iterdir()))
try:
    cached_images(files, np.arange(len(files)), 64)
except DataError as error:
    print(error)
"""


def test_a_full_disk_is_one_sentence_and_leaves_nothing(photos, cache):
    said = run(FULL, photos.paths[0].parent).stdout
    assert "The decoded images take 0.00 GB" in said
    assert "EFN_COMPOSE_CACHE=FOLDER, or lower data.size" in said
    assert list(cache.iterdir()) == []


def test_a_disk_that_fills_up_meanwhile_is_the_same_sentence(photos, cache, monkeypatch):
    import errno

    from efn_compose.data.cache import fill

    written, write = [], fill.write_image

    def nearly_full(*arguments):
        if len(written) > 5:
            raise OSError(errno.ENOSPC, "No space left on device")
        written.append(1)
        write(*arguments)

    monkeypatch.setattr(fill, "write_image", nearly_full)
    with pytest.raises(DataError, match="are free for the cache in"):
        cached_images(photos, np.arange(COUNT), SIZE)
    assert list(cache.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_named(photos, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("EFN_COMPOSE_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(DataError, match=r"cannot be written there.*EFN_COMPOSE_CACHE=FOLDER"):
        cached_images(photos, np.arange(3), SIZE)


@pytest.mark.slow
def test_two_at_once_fill_one_file(photos, cache):
    code = (
        "import sys; from pathlib import Path; import numpy as np\n"
        "from efn_compose.data.cache.images import cached_images\n"
        "from efn_compose.data.decoding.decode import ImageFiles\n"
        "files = ImageFiles(sorted(Path(sys.argv[1]).iterdir()))\n"
        "print(int(cached_images(files, np.arange(len(files)), 64)[:].sum(dtype=np.int64)))"
    )
    folder = Path(photos.paths[0].parent)
    sums = []
    threads = [
        threading.Thread(target=lambda: sums.append(int(run(code, folder).stdout)))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    truth = resize_images(photos, np.arange(COUNT), SIZE).sum(dtype=np.int64)
    assert sums == [truth, truth]
    assert [path.suffix for path in cache.iterdir()] == [".images"]
