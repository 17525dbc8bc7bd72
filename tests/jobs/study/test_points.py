"""Designs of a study, and what its networks start from."""

import itertools

import numpy as np
import pytest
from random_donors import photo_like, random_donor

from efn_compose.arch import arch_spec
from efn_compose.errors import ConfigError, NestingError
from efn_compose.jobs.study.options import StudyOptions
from efn_compose.jobs.study.points import Axis, choose_points
from efn_compose.jobs.study.starts import (
    CUT_IMAGES,
    check_start,
    donor_start,
    random_start,
    spread_numbers,
    target_spec,
)


def two_levels(count):
    return [Axis("fixed", (1,)), *(Axis(f"axis{n}", (0, 1)) for n in range(count))]


@pytest.mark.parametrize("count", [1, 3, 5, 8])
def test_a_fraction_tells_main_effects_from_each_other_and_from_pairs(count):
    points = np.array(choose_points(two_levels(count), StudyOptions(design="fraction"), 0))
    signs = 1 - 2 * points[:, 1:]
    assert (points[:, 0] == 0).all() and len({tuple(row) for row in points}) == len(points)
    assert len(points) <= max(2, 4 * count)
    assert (signs.T @ signs == len(points) * np.eye(count)).all()
    for one, other in itertools.combinations(range(count), 2):
        assert (signs.T @ (signs[:, one] * signs[:, other]) == 0).all()


def test_a_sample_has_no_combination_twice_and_hangs_on_the_seed_alone():
    axes = [Axis("a", tuple(range(7))), Axis("b", tuple(range(5)))]
    options = StudyOptions(design="sample", points=20)
    first = choose_points(axes, options, 1)
    assert len(set(first)) == 20 and all(a < 7 and b < 5 for a, b in first)
    assert first == choose_points(axes, options, 1) != choose_points(axes, options, 2)
    everything = choose_points(axes, StudyOptions(design="sample", points=35), 1)
    assert everything == choose_points(axes, StudyOptions(), 1)


def test_every_design_has_each_combination_on_every_data_set():
    """Three data sets are no axis of a fraction: they cross it."""
    axes = [*two_levels(5), Axis("data", ("a", "b", "c"))]
    for options in (StudyOptions(design="fraction"), StudyOptions(design="sample", points=7)):
        alone = choose_points(axes[:-1], options, 3)
        assert choose_points(axes, options, 3) == [(*row, n) for row in alone for n in range(3)]
    everything = choose_points(axes, StudyOptions(), 0)
    assert everything == list(itertools.product([0], *[range(2)] * 5, range(3)))


@pytest.mark.parametrize(
    ("options", "count", "words"),
    [
        (StudyOptions(points=3), 2, "belongs to"),
        (StudyOptions(design="sample", points=5), 2, "1 to 4"),
        (StudyOptions(design="fraction", points=6), 4, "8 or 16"),
        (StudyOptions(design="fraction"), 0, "an axis of two levels"),
    ],
)
def test_impossible_designs_are_refused(options, count, words):
    with pytest.raises(ConfigError, match=words):
        choose_points(two_levels(count), options, 0)


@pytest.mark.slow
def test_a_network_starts_from_the_donor_cut_and_nested():
    donor = random_donor("lite-w0.5-d0.4", classes=None)
    images = photo_like(16, 32)
    # Narrower and deeper at once: cut to what both have, then nested.
    spec = target_spec(donor, None, 0.25, 0.8)
    assert spec.same_tensors_as(arch_spec("lite-w0.25-d0.8"))
    check_start(donor, spec)
    found = donor_start(donor, spec, images)
    assert found.spec.same_tensors_as(spec)
    assert [step["step"] for step in found.provenance["steps"]] == ["shrink", "nest"]
    assert donor_start(donor, donor.spec, images) is donor
    assert target_spec(donor, None, 0.5, None) == donor.spec
    with pytest.raises(NestingError):
        check_start(donor, arch_spec("v2-s-w0.25-d0.4"))


def test_a_cut_looks_at_few_images_from_the_first_to_the_last():
    numbers = np.arange(5, 2005, 2)
    found = spread_numbers(numbers, CUT_IMAGES)
    gaps = np.diff(np.searchsorted(numbers, found))
    assert len(found) == 64 and (found[0], found[-1]) == (5, 2003) and np.isin(found, numbers).all()
    # A thousand images with 63 gaps: 15.9 each.
    assert set(gaps.tolist()) == {15, 16}
    assert np.array_equal(spread_numbers(numbers[:7], CUT_IMAGES), numbers[:7])


def test_random_weights_hang_on_their_seed():
    donor = random_donor("b-w0.5-d0.4", classes=None)
    first, again, other = (random_start(donor, donor.spec, seed) for seed in (1, 1, 2))
    assert first.fingerprint == again.fingerprint != other.fingerprint
    assert first.tensors.keys() == donor.tensors.keys()
