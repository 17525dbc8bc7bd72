"""Images of a submission are decoded as long as there is time, in memory and into the cache."""

from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from efn_compose.data import load_table
from efn_compose.data.decoding import decode
from efn_compose.data.decoding.decode import resize_images
from efn_compose.data.holding import Holding
from efn_compose.jobs.ensembles import asked
from efn_compose.jobs.ensembles.asked import Asker, OutOfTimeError

COUNT, SIZE, IN_TIME = 120, 8, 30


@pytest.mark.parametrize("place", ["memory", "cache"])
def test_nothing_more_is_decoded_when_the_time_is_up(place, tmp_path, monkeypatch):
    monkeypatch.setenv("EFN_COMPOSE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(asked, "Holding", lambda copies: Holding(place))
    (tmp_path / "photos").mkdir()
    for number in range(COUNT):
        Image.new("RGB", (9, 9), (number, 0, 1)).save(tmp_path / "photos" / f"{number:03}.png")
    table = load_table(f"folder:{tmp_path / 'photos'}", needs_labels=False)
    asker = Asker(tmp_path, table, None, SimpleNamespace(members=()))
    decoded = []
    original = decode.decode_file
    monkeypatch.setattr(decode, "decode_file", lambda *words: decoded.append(1) or original(*words))
    looks = iter([False] * IN_TIME)
    with pytest.raises(OutOfTimeError):
        asker.at(SIZE, lambda: next(looks, True))
    assert len(decoded) == IN_TIME
    found = asker.at(SIZE).images[:]
    assert len(decoded) == COUNT + (IN_TIME if place == "memory" else 0)
    assert np.array_equal(found, resize_images(table.images, np.arange(COUNT), SIZE))
    assert len(asker.at(SIZE, lambda: True)) == COUNT
