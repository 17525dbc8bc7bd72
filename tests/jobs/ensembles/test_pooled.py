"""Pooled features as columns: asked once, and not at all when it is late."""

import numpy as np
import pytest
from tiny_recipe import quarters, tiny_donor

from efn_compose.data import load_table
from efn_compose.jobs.ensembles.asked import OutOfTimeError
from efn_compose.jobs.ensembles.stacking.inputs import Further
from efn_compose.jobs.ensembles.stacking.pooled import with_pooled


@pytest.mark.slow
def test_no_network_is_asked_for_features_once_it_is_late(tmp_path):
    images, labels = quarters(6)
    np.savez(tmp_path / "images.npz", images=images, labels=labels)
    table = load_table(f"npz:{tmp_path / 'images.npz'}")
    given = (Further.none(6), Further.none(6))
    bodies = [tiny_donor().without_head()]
    with pytest.raises(OutOfTimeError):
        with_pooled(given, bodies, (table, table), 16, tmp_path / "pooled", lambda: True)
    assert not (tmp_path / "pooled").exists()
    found, _ = with_pooled(given, bodies, (table, table), 16, tmp_path / "pooled")
    # Six rows have five main directions at most; once kept, nothing is asked.
    assert found.numbers.shape == (6, 5)
    again, _ = with_pooled(given, bodies, (table, table), 16, tmp_path / "pooled", lambda: True)
    assert np.array_equal(again.numbers, found.numbers)
