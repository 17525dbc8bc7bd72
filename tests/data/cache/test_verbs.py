"""Verbs that look at images give the same answers from the cache as from memory."""

import json

import pytest
from PIL import Image
from random_donors import TINY, photo_like, random_donor

from efn_compose.cli import main
from efn_compose.data import holding
from efn_compose.data.cache.place import list_cache

pytestmark = pytest.mark.slow
CHOICE = ("--size", "16", "--image-count", "10")


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    for number, pixels in enumerate(photo_like(14, 20)):
        path = folder / "ab"[number % 2] / f"{number:02}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(pixels).save(path)
    return f"folder:{folder}"


@pytest.fixture(scope="module")
def donors(tmp_path_factory):
    folder = tmp_path_factory.mktemp("donors")
    paths = [str(folder / f"{name}.h5") for name in ("one", "two")]
    for number, path in enumerate(paths):
        random_donor(TINY, number).save(path)
    return paths


@pytest.fixture
def run(monkeypatch, tmp_path, capsys):
    """Return a function that runs a verb in a folder of its own, with little memory or plenty."""
    monkeypatch.setenv("EFN_COMPOSE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(holding, "_SMALL_BYTES", 0)

    def run(words, *, is_cached):
        monkeypatch.setattr(holding, "free_memory", lambda: 1 if is_cached else 10**12)
        folder = tmp_path / str(is_cached)
        folder.mkdir()
        monkeypatch.chdir(folder)
        assert main([*words, "--json"]) == 0
        assert len(list_cache()) == is_cached
        files = {path.name: path.read_bytes() for path in folder.rglob("*.h5")}
        return json.loads(capsys.readouterr().out), files

    return run


def test_rank(run, donors, photos):
    words = ["rank", *donors, "--data", photos, *CHOICE]
    said = [run(words, is_cached=is_cached)[0] for is_cached in (False, True)]
    for record in [*said[0]["donors"], *said[1]["donors"]]:
        del record["images_per_second"]
    assert said[0] == said[1]


@pytest.mark.parametrize(("verb", "files"), [("absorb", 1), ("align", 2)])
def test_written_weights(run, donors, photos, verb, files):
    out = "out.h5" if verb == "absorb" else "out"
    words = [verb, *donors[:files], "--images", photos, *CHOICE, "-o", out]
    memory, cached = (run(words, is_cached=is_cached)[1] for is_cached in (False, True))
    assert len(memory) >= files
    # The names of kept alignments hold the hash of the images, too.
    assert memory == cached
