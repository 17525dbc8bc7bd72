"""Machines that fill their caches together, without a cluster: each is an object with a folder."""

import numpy as np
import pytest
from PIL import Image

from efn_compose.data.cache.fill import cache_key
from efn_compose.data.cache.images import cached_images
from efn_compose.data.cache.layout import Header
from efn_compose.data.cache.node import NodeCache
from efn_compose.data.cache.order import FillOrder
from efn_compose.data.decoding.decode import ImageFiles, resize_images

COUNT, SIZE = 12, 8
EVERY = np.arange(COUNT)


@pytest.fixture
def order(tmp_path):
    rng = np.random.default_rng(0)
    for number in EVERY:
        pixels = rng.integers(0, 256, (9, 20, 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number:02}.png")
    (tmp_path / "03.png").write_bytes(b"no image")
    files = ImageFiles(sorted(tmp_path.glob("*.png")))
    header = Header(cache_key(files, EVERY, SIZE), COUNT, SIZE, "photos")
    return FillOrder(files, EVERY, header, tmp_path / "cache0")


@pytest.fixture
def node(order, tmp_path, monkeypatch):
    def make(number):
        monkeypatch.setenv("EFN_COMPOSE_CACHE", str(tmp_path / f"cache{number}"))
        return NodeCache(order, number == 0)

    return make


def decoded(order):
    return resize_images(order.images, np.delete(EVERY, 3), SIZE)


def test_each_decodes_a_share_and_has_all(order, node, tmp_path):
    nodes = [node(number) for number in range(2)]
    assert [one.begin().missing.tolist() for one in nodes] == [EVERY.tolist()] * 2
    for one, share in zip(nodes, np.split(EVERY, 2), strict=True):
        pixels, failures = one.decode(share)
        assert [place for place, _ in failures] == [3] * (3 in share)
        for other in nodes:
            other.keep(share, pixels, failures)
    for number, one in enumerate(nodes):
        one.finish()
        folder = tmp_path / f"cache{number}"
        found = cached_images(order.images, EVERY, SIZE, folder=folder, tolerates=True)
        assert np.array_equal(found[np.delete(EVERY, 3)], decoded(order))
        assert [place for place, _ in found.unreadable()] == [3]


def test_a_file_in_which_images_are_missing_is_left_for_another_time(order, node, tmp_path):
    first = node(0)
    first.begin()
    first.keep(EVERY[:5], *first.decode(EVERY[:5]))
    first.finish()
    assert [path.suffix for path in (tmp_path / "cache0").iterdir()] == [".partial"]
    # Those that could not be decoded are tried again.
    assert node(0).begin().missing.tolist() == [3, *range(5, COUNT)]


def test_one_that_is_being_filled_or_is_whole_wants_nothing(order, node):
    first, second = node(0), node(0)
    assert first.begin().standing == "filling"
    busy = second.begin()
    assert (busy.standing, len(busy.missing)) == ("busy", 0)
    first.keep(EVERY, *first.decode(EVERY))
    first.finish()
    whole = node(0)
    # It does not see the images any more, and gives what it has.
    for path in order.images.paths:
        path.unlink()
    state = whole.begin()
    assert (state.standing, state.sees_source, len(state.missing)) == ("whole", False, 0)
    pixels, failures = whole.decode(EVERY)
    assert [place for place, _ in failures] == [3]
    assert "03.png could not be decoded when" in failures[0][1]
    assert pixels[4:].any(axis=(1, 2, 3)).all()
