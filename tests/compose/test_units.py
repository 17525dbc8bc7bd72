"""Unit mixtures and their repair against brute force and the networks themselves."""

import numpy as np
import pytest
from random_donors import NANO_VARIANTS, photo_like, random_donor

from efn_compose.arch import channel_groups
from efn_compose.compose import compose
from efn_compose.compose.gather import Selection
from efn_compose.compose.space import DonorMap, expanded_groups, segments
from efn_compose.compose.units import contributions, take_units
from efn_compose.donors.alignment.activations import channel_deviations
from efn_compose.errors import ComposeError
from efn_compose.models.stepwise import StepwiseNetwork
from efn_compose.statistics.repair import RefitTarget, observed_statistics, repair

IMAGES = photo_like(40, 33, seed=1000)
PAIRS = {
    variant: [random_donor(variant, seed=seed, images=IMAGES) for seed in (0, 1)]
    for variant in NANO_VARIANTS
}


def half_mixed(variant, seed=0):
    one = PAIRS[variant][0]
    groups = channel_groups(one.spec)
    units = {
        group: take_units(0, 1, 0.5, rule="random", size=groups[group].size, seed=seed)
        for group in expanded_groups(one.spec).values()
    }
    return DonorMap(dict.fromkeys(segments(one.spec), 0), units)


@pytest.mark.parametrize("variant", NANO_VARIANTS)
def test_a_unit_moves_whole(variant):
    one, other = PAIRS[variant]
    donor_map = half_mixed(variant)
    mixed = compose(one.spec, [one.tensors, other.tensors], donor_map)
    for group, units in donor_map.units.items():
        for member in channel_groups(one.spec)[group].members:
            for number, donor in enumerate((one, other)):
                chosen = np.flatnonzero(units == number)
                np.testing.assert_array_equal(
                    np.take(mixed[member.tensor.name], chosen, member.axis),
                    np.take(donor.tensors[member.tensor.name], chosen, member.axis),
                )


def test_contributions_equal_the_measured_deviation_of_each_unit():
    donor = PAIRS["lite-w0.25-d0.3"][0]
    block, group = "stage3_block1", "stage3_block1_expanded"
    found = contributions(donor, channel_deviations(donor, IMAGES, positions=10**6))[group]
    seen = {}
    network = StepwiseNetwork.of(donor)
    inputs = donor.preprocess(IMAGES)
    network.run(inputs, before=lambda layer, x: seen.setdefault(layer, x.numpy()))
    z = seen[f"{block}_project_conv"]
    kernel = donor.tensors[f"{block}_project_conv/kernel"][0, 0]
    norm = f"{block}_project_bn"
    scale = donor.tensors[f"{norm}/gamma"] / np.sqrt(
        donor.tensors[f"{norm}/moving_variance"] + 1e-3
    )
    # The part of the stream that unit c writes, z_c w_c, deviates by this much.
    parts = np.array(
        [
            np.sqrt((z[..., c, None] * kernel[c] * scale).var(axis=(0, 1, 2)).sum())
            for c in range(len(kernel))
        ]
    )
    np.testing.assert_allclose(found, parts / parts.sum(), rtol=1e-3, atol=1e-6)


def test_units_are_taken_where_the_second_donor_is_ahead():
    host, second = np.array([5.0, 1, 3, 2]), np.array([1.0, 9, 3, 5])
    units = take_units(2, 7, 0.5, host_saliency=host, second_saliency=second)
    assert units.tolist() == [2, 7, 2, 7]
    for fraction in (0, 0.125, 0.25, 0.5, 1):
        random = take_units(0, 1, fraction, rule="random", size=80, seed=3)
        assert np.count_nonzero(random) == round(80 * fraction)
    with pytest.raises(ComposeError, match="fraction"):
        take_units(0, 1, 1.5, rule="random", size=8)
    with pytest.raises(ComposeError, match="needs rule"):
        take_units(0, 1, 0.5)


@pytest.mark.slow
@pytest.mark.parametrize("variant", NANO_VARIANTS)
def test_re_estimated_statistics_are_those_of_the_images(variant):
    one, other = PAIRS[variant]
    inputs = one.preprocess(IMAGES)
    mixed = compose(one.spec, [one.tensors, other.tensors], half_mixed(variant))
    repaired = repair(one.spec, one.conventions, mixed, inputs)
    network = StepwiseNetwork(one.spec, one.conventions, repaired)

    def check(layer, x):
        if layer.endswith("_bn"):
            values = x.numpy().astype(np.float64)
            deviation = values.std(axis=(0, 1, 2))
            error = values.mean(axis=(0, 1, 2)) - repaired[f"{layer}/moving_mean"]
            assert np.abs(error).max() < 1e-3 * deviation.max(), layer
            np.testing.assert_allclose(
                np.sqrt(repaired[f"{layer}/moving_variance"]), deviation,
                rtol=1e-2, atol=1e-3 * deviation.max(),
            )  # fmt: skip

    network.run(inputs, before=check)


@pytest.mark.slow
@pytest.mark.parametrize("variant", NANO_VARIANTS)
def test_matching_changes_nothing_in_a_network_that_was_not_mixed(variant):
    one = PAIRS[variant][0]
    inputs = one.preprocess(photo_like(24, 33, seed=77))
    observed = observed_statistics(one, inputs)
    repaired = repair(one.spec, one.conventions, one.without_head().tensors, inputs, match=observed)
    before = StepwiseNetwork.of(one.without_head()).predict(inputs)
    after = StepwiseNetwork(one.spec, one.conventions, repaired).predict(inputs)
    np.testing.assert_allclose(after, before, atol=2e-3 * before.std())
    estimated = repair(one.spec, one.conventions, one.without_head().tensors, inputs)
    other = StepwiseNetwork(one.spec, one.conventions, estimated).predict(inputs)
    assert np.abs(other - before).max() > 0.1 * before.std()


@pytest.mark.slow
@pytest.mark.parametrize("variant", NANO_VARIANTS)
def test_matched_channels_keep_their_donors_mean_and_spread(variant):
    one, other = PAIRS[variant]
    inputs = one.preprocess(IMAGES)
    donor_map = half_mixed(variant)
    observed = [observed_statistics(donor, inputs) for donor in (one, other)]
    mixed = compose(one.spec, [one.tensors, other.tensors], donor_map)
    match = compose(one.spec, observed, donor_map)
    repaired = repair(one.spec, one.conventions, mixed, inputs, match=match)

    def outputs(donor_tensors):
        seen = {}
        StepwiseNetwork(one.spec, one.conventions, donor_tensors).run(
            inputs, after=lambda point, x: seen.setdefault(point, x.numpy())
        )
        return seen

    seen = outputs(repaired)
    alone = [outputs(donor.without_head().tensors) for donor in (one, other)]
    group, units = next(iter(donor_map.units.items()))
    for norm in ("_depthwise_bn", "_expand_bn"):
        point = group.removesuffix("_expanded") + norm
        if point not in seen:
            continue
        for measure in (np.mean, np.std):
            target = np.where(
                units == 0, *(measure(found[point], axis=(0, 1, 2)) for found in alone)
            )
            found = measure(seen[point], axis=(0, 1, 2))
            assert np.abs(found - target).max() < 1e-2 * np.abs(target).max(), (point, measure)


def test_refit_brings_the_stream_back_to_the_target():
    one, other = PAIRS["lite-w0.25-d0.3"]
    inputs = one.preprocess(IMAGES)
    donor_map = half_mixed("lite-w0.25-d0.3")
    blocks = [group.removesuffix("_expanded") for group in donor_map.units]
    target = RefitTarget.of(one, inputs, blocks)
    mixed = compose(one.spec, [one.tensors, other.tensors], donor_map)
    expected = StepwiseNetwork.of(one.without_head()).predict(inputs)

    def error(tensors):
        found = StepwiseNetwork(one.spec, one.conventions, tensors).predict(inputs)
        return np.square(found - expected).mean() / expected.var()

    plain = error(repair(one.spec, one.conventions, mixed, inputs))
    refitted = error(repair(one.spec, one.conventions, mixed, inputs, refit=target))
    assert refitted < 0.5 * plain
    unmixed = repair(
        one.spec, one.conventions, one.without_head().tensors, inputs,
        refit=target, ridge=1e-9, match=observed_statistics(one, inputs),
    )  # fmt: skip
    assert error(unmixed) < 1e-3


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize(
    ("shape", "axis"), [((3, 3, 4, 10), 3), ((1, 1, 10, 40), 2), ((5, 5, 10, 1), 2), ((10,), 0)]
)
def test_gather_equals_taking_index_by_index(shape, axis, dtype):
    rng = np.random.default_rng(0)
    donors = [rng.normal(size=shape).astype(dtype) for _ in range(4)]
    donors[1].flat[3] = np.nan
    units = rng.integers(0, 4, shape[axis]).astype(np.uint8)
    units[:4] = [0, 1, 2, 3]
    expected = np.stack(
        [np.take(donors[number], c, axis) for c, number in enumerate(units)], axis=axis
    )
    selection, out = Selection(units), np.empty(shape, dtype)
    np.testing.assert_array_equal(selection.gather(donors, axis), expected)
    assert selection.gather(donors, axis, out) is out
    np.testing.assert_array_equal(out, expected)
    np.testing.assert_array_equal(Selection(units * 0 + 2).gather(donors, axis), donors[2])
