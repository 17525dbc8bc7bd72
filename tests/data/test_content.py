"""Digests of what images show: other pixels are noticed, other ways to hold the same ones are not."""

import hashlib

import numpy as np
import pytest
from PIL import Image

from efn_compose.data import load_table
from efn_compose.data.cache.images import cached_images
from efn_compose.data.content import content_digests, differing, read_content, write_content
from efn_compose.data.table import ChosenImages
from efn_compose.errors import DataError


def folder_of(root, seed, count=100):
    rng = np.random.default_rng(seed)
    for number in range(count):
        path = root / "ab"[number % 2] / f"{number:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (5, 7, 3), np.uint8)).save(path)
    return load_table(f"folder:{root}").images


def test_a_digest_is_of_size_and_pixels(tmp_path):
    images = folder_of(tmp_path, 0)
    digests = content_digests(images)
    assert len(digests) == 64 and {0, 99} <= set(digests)
    for number, digest in digests.items():
        with Image.open(images.paths[number]) as opened:
            pixels = opened.tobytes()
        assert digest == f"5x7 {hashlib.sha256(pixels).hexdigest()[:16]}"


def test_other_images_of_the_same_names_differ_everywhere(tmp_path):
    ours, theirs = (content_digests(folder_of(tmp_path / str(seed), seed)) for seed in (0, 1))
    assert differing(ours, theirs) == sorted(ours)
    assert differing(ours, ours) == []


def test_the_same_images_held_otherwise_are_the_same(tmp_path, monkeypatch):
    monkeypatch.setenv("EFN_COMPOSE_CACHE", str(tmp_path / "cache"))
    images = folder_of(tmp_path / "photos", 0)
    wanted = content_digests(images)
    every = np.arange(len(images))
    cached = cached_images(images, every, 32)
    for other in (np.stack([images[n] for n in every]), ChosenImages(images, every), cached):
        assert content_digests(other) == wanted
    assert content_digests(ChosenImages(cached, every)) == wanted


def test_images_that_cannot_be_decoded_have_no_digest(tmp_path):
    images = folder_of(tmp_path, 0, count=10)
    images.paths[3].write_bytes(b"no image")
    assert sorted(content_digests(images)) == [0, 1, 2, 4, 5, 6, 7, 8, 9]
    assert content_digests(np.zeros((0, 4, 4, 3), np.uint8)) == {}


def test_digests_come_back_from_a_file_and_none_from_none(tmp_path):
    images = np.arange(96, dtype=np.uint8).reshape(2, 4, 4, 3)
    write_content(images, tmp_path / "content.json")
    assert read_content(tmp_path / "content.json") == content_digests(images)
    assert read_content(tmp_path / "none.json") == {}
    for text in ("[1]", "{", '{"a": "b"}'):
        (tmp_path / "content.json").write_text(text)
        with pytest.raises(DataError, match=r"content\.json: damaged"):
            read_content(tmp_path / "content.json")
