"""The lineage test separates relatives from strangers without data."""

import numpy as np
import pytest
from random_donors import photo_like, random_donor

from efn_compose.donors.alignment.align import align
from efn_compose.donors.lineage import (
    ALIGNED_KEY,
    LINEAGE_KEY,
    lineage_cosine,
    lineages,
    nearest_to_all,
    require_one_lineage,
    share_basis,
)
from efn_compose.errors import IncompatibleDonorsError
from efn_compose.nesting import nest, shrink
from efn_compose.statistics.absorb import absorb_statistics

IMAGES = photo_like(24, 32, seed=9)


def sibling_of(donor, name, noise=0.3, seed=0):
    rng = np.random.default_rng(seed)
    tensors = {
        key: (values + noise * values.std() * rng.normal(size=values.shape)).astype(np.float32)
        if key.endswith("kernel")
        else values
        for key, values in donor.tensors.items()
    }
    return donor.replace(name=name, tensors=tensors)


def test_cosine_is_what_the_noise_makes_it():
    donor = random_donor("lite-w0.5-d0.3")
    assert lineage_cosine(donor, donor) == pytest.approx(1)
    noisy = lineage_cosine(donor, sibling_of(donor, "noisy", noise=1.0))
    assert noisy == pytest.approx(1 / np.sqrt(2), abs=0.03)
    assert abs(lineage_cosine(donor, random_donor("lite-w0.5-d0.3", seed=1))) < 0.05


def test_signs_moved_into_gamma_do_not_matter():
    donor = random_donor()
    tensors = dict(donor.tensors)
    for name in [name for name in tensors if name.endswith("_project_conv/kernel")]:
        norm = name.replace("conv/kernel", "bn")
        for key in (name, f"{norm}/gamma", f"{norm}/moving_mean"):
            tensors[key] = -tensors[key]
    assert lineage_cosine(donor, donor.replace(tensors=tensors)) == pytest.approx(1)


def test_donors_are_sorted_into_lineages():
    a, b = random_donor(seed=0), random_donor(seed=1)
    donors = [a, b, sibling_of(a, "a2"), sibling_of(b, "b2", seed=2), random_donor(seed=2)]
    assert lineages(donors) == [(0, 2), (1, 3), (4,)]


def test_identity_blocks_of_nested_donors_do_not_count():
    donor = random_donor("lite-w0.25-d0.9")
    tensors = dict(donor.tensors)
    for role in ("gamma", "beta"):
        name = f"stage3_block2_project_bn/{role}"
        tensors[name] = np.zeros_like(tensors[name])
    rng = np.random.default_rng(0)
    name = "stage3_block2_project_conv/kernel"
    tensors[name] = rng.normal(size=tensors[name].shape).astype(np.float32)
    assert lineage_cosine(donor, donor.replace(tensors=tensors)) == pytest.approx(1)


@pytest.mark.slow
def test_alignment_does_not_hide_the_lineage():
    a, b = random_donor(seed=0), random_donor(seed=1)
    aligned = align([a, b], IMAGES).donors
    assert lineages(aligned) == [(0,), (1,)]
    with pytest.raises(IncompatibleDonorsError) as caught:
        require_one_lineage(aligned, "A uniform soup")
    assert "A uniform soup" in str(caught.value) and "'nano1'" in str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize("reference", [0, 1])
def test_absorbing_keeps_the_basis_that_donors_were_aligned_to(reference):
    tuned = sibling_of(random_donor(seed=0), "tuned")
    donors = [random_donor(seed=0), tuned, random_donor(seed=1)]
    aligned = align(donors, IMAGES, reference=reference).donors
    absorbed = [absorb_statistics(donor, IMAGES) for donor in aligned]
    assert share_basis(aligned) and share_basis(absorbed)
    assert not share_basis([absorbed[2], random_donor(seed=2)])
    assert not share_basis([absorbed[0], absorbed[2], random_donor(seed=2)])


def test_other_networks_are_refused():
    with pytest.raises(IncompatibleDonorsError, match="one network"):
        lineage_cosine(random_donor(), random_donor("lite-w0.35-d0.3"))


@pytest.mark.parametrize("place", range(4))
def test_the_ancestor_is_nearest_to_all_whatever_its_place_and_the_length_of_the_training(place):
    ancestor = random_donor()
    noises = (0.05, 0.3, 1.0)
    donors = [sibling_of(ancestor, f"n{n}", noise, seed=n) for n, noise in enumerate(noises)]
    donors.insert(place, ancestor)
    assert nearest_to_all(donors) == place


def test_the_ancestor_of_two_is_the_first():
    donor = random_donor()
    assert nearest_to_all([sibling_of(donor, "tuned"), donor]) == 0


def test_a_recorded_lineage_holds_where_channels_keep_their_places_and_nowhere_else():
    """What two networks made of one donor have in common, their filters say."""
    donor = random_donor().replace(provenance={LINEAGE_KEY: "a", ALIGNED_KEY: {"to": "other"}})
    kept = [nest(donor, "lite-w0.5-d0.3", seed=seed) for seed in (1, 2)]
    assert lineages(kept) == [(0, 1)]
    assert [one.provenance[ALIGNED_KEY] for one in kept] == [{"to": "other"}] * 2
    scattered = [
        nest(donor, "lite-w0.5-d0.3", positions="random", seed=seed, fill="zero") for seed in (1, 2)
    ]
    assert abs(lineage_cosine(*scattered)) < 0.2
    assert lineages(scattered) == [(0,), (1,)]
    cut = [shrink(donor, "lite-w0.2-d0.3", images=images) for images in (IMAGES, 255 - IMAGES)]
    for one in (*scattered, *cut):
        assert not {LINEAGE_KEY, ALIGNED_KEY} & set(one.provenance)
