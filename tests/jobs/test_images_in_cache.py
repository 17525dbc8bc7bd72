"""What trainings and pretrainings read, from memory and from the cache: the same, by the same name."""

import numpy as np
import pytest

from efn_compose.config import load_config
from efn_compose.data.cache.images import CachedImages
from efn_compose.jobs.pretraining import images as of_pretraining
from efn_compose.jobs.pretraining.options import PretrainConfig
from efn_compose.jobs.trainings import images as of_trainings
from efn_compose.jobs.trainings.options import TrainConfig


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("EFN_COMPOSE_CACHE", str(tmp_path))


def both(prepare, kind, overrides):
    """Return what is prepared in memory and from the cache."""
    return [
        prepare(load_config(None, [*overrides, f"executor.images={place}"], kind))
        for place in ("memory", "cache")
    ]


def test_images_of_trainings():
    overrides = [
        "data.source=digits", "data.size=8", "data.images=90", "validation.folds=3",
        "semi.method=mean-teacher", "semi.unlabelled=digits", "semi.unlabelled_images=120",
    ]  # fmt: skip
    held, cached = (
        found.folded for found in both(of_trainings.prepare_images, TrainConfig, overrides)
    )
    assert isinstance(cached.images, CachedImages) and isinstance(cached.unlabelled, CachedImages)
    assert cached.fingerprint == held.fingerprint
    for (ours, numbers), (theirs, others) in ((cached.part(f), held.part(f)) for f in range(3)):
        assert isinstance(ours.train_images, CachedImages)
        assert np.array_equal(numbers, others)
        assert np.array_equal(ours.train_images[:], theirs.train_images)
        assert np.array_equal(ours.validation_images[:], theirs.validation_images)
    assert np.array_equal(cached.unlabelled[:], held.unlabelled)


def test_images_of_a_pretraining():
    overrides = [
        "unlabelled.source=digits", "unlabelled.size=8", "unlabelled.images=80",
        "labelled.source=digits", "labelled.images=100", "unlabelled.overlap=transductive",
    ]  # fmt: skip
    (held, _), (cached, _) = both(of_pretraining.prepare_images, PretrainConfig, overrides)
    assert isinstance(cached.unlabelled, CachedImages)
    assert cached.fingerprint == held.fingerprint and cached.both == held.both > 0
    assert np.array_equal(cached.unlabelled[:], held.unlabelled)
    ours, theirs = cached.labelled.data(3), held.labelled.data(3)
    assert np.array_equal(ours.validation_images[:], theirs.validation_images)
