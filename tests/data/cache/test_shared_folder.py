"""Two users who share a cache folder: what the other one may read is read, and all else is said plainly."""

import os
import shutil
import tempfile
import traceback
from pathlib import Path

import numpy as np
import pytest

from efn_compose.data.cache.images import cached_images
from efn_compose.data.cache.place import clear_cache, list_cache
from efn_compose.data.pixels import once_if_cached
from efn_compose.errors import DataError

pytestmark = pytest.mark.skipif(os.getuid() != 0, reason="only root can be two users")

EVERY = np.arange(3)
IMAGES = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), np.uint8)
NOBODY = 65534


@pytest.fixture
def cache():
    # Not below pytest's folder, which others may not enter.
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


def as_another_user(work):
    """Return what a function returns in a process of another user."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        try:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            said = str(work())
        except BaseException:
            said = traceback.format_exc()
        os.write(writer, said.encode())
        os._exit(0)
    os.close(writer)
    with open(reader) as file:
        said = file.read()
    os.waitpid(child, 0)
    return said


def read(folder):
    """Return whether the images come out right, or what is said instead."""
    try:
        found = cached_images(IMAGES, EVERY, 16, folder=folder)
        once_if_cached([found], "what?", lambda: "that")
        return found[:].tolist() == WANTED
    except DataError as error:
        return error


WANTED: list = []


@pytest.fixture(autouse=True)
def wanted(tmp_path):
    WANTED[:] = cached_images(IMAGES, EVERY, 16, folder=tmp_path)[:].tolist()


def test_what_another_user_filled_is_read(cache):
    assert read(cache) is True
    assert as_another_user(lambda: read(cache)) == "True"


def test_what_another_user_keeps_to_themselves_is_named_with_its_owner(cache):
    assert read(cache) is True
    (file,) = cache.glob("*.images")
    file.chmod(0o600)
    said = as_another_user(lambda: read(cache))
    assert f"{file}: it belongs to user root, and you may not read it." in said
    assert "EFN_COMPOSE_CACHE=FOLDER" in said and "Traceback" not in said


@pytest.mark.filterwarnings("ignore::efn_compose.errors.CacheWarning")
def test_a_damaged_file_of_another_user_is_named_with_its_owner(cache):
    assert read(cache) is True
    (file,) = cache.glob("*.images")
    file.write_bytes(b"nothing")
    said = as_another_user(lambda: read(cache))
    assert "it belongs to user root, and you may not replace it." in said


def test_an_unfinished_file_of_another_user_is_named_with_its_owner(cache):
    assert read(cache) is True
    (file,) = cache.glob("*.images")
    file.rename(file.with_suffix(".partial"))
    cache.chmod(0o777)
    said = as_another_user(lambda: read(cache))
    assert "it belongs to user root, and you may not go on with it." in said


def test_a_folder_of_another_user_is_said_to_be_not_writable(cache):
    said = as_another_user(lambda: read(cache))
    assert f"{cache}: the cache of decoded images cannot be written there" in said
    assert "EFN_COMPOSE_CACHE=FOLDER" in said


def test_clearing_leaves_files_of_another_user(cache):
    assert read(cache) is True
    assert as_another_user(lambda: [len(part) for part in clear_cache(cache)]) == "[0, 1]"
    assert len(list_cache(cache)) == 1
    assert [len(part) for part in clear_cache(cache)] == [1, 0]
