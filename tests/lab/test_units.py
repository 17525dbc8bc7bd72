"""Mixtures of units within blocks, and their control."""

import numpy as np
import pytest
from lab.units import drop_units, hosted
from random_donors import NANO_VARIANTS, photo_like, random_donor

from efn_compose.arch import channel_groups
from efn_compose.compose import compose
from efn_compose.compose.space import expanded_groups
from efn_compose.compose.units import take_units
from efn_compose.errors import ComposeError
from efn_compose.models.stepwise import StepwiseNetwork

IMAGES = photo_like(4, 33, seed=1000)


@pytest.mark.parametrize("variant", NANO_VARIANTS)
def test_dropping_leaves_exactly_the_hosts_part_of_every_block(variant):
    one, other = (random_donor(variant, seed=seed) for seed in (0, 1))
    groups = channel_groups(one.spec)
    units = {
        group: take_units(0, 1, 0.5, rule="random", size=groups[group].size, seed=0)
        for group in expanded_groups(one.spec).values()
    }
    donor_map = hosted(one, units)
    mixed = compose(one.spec, [one.tensors, other.tensors], donor_map)
    dropped = drop_units(mixed, donor_map, keep=0)
    group, units = next(iter(donor_map.units.items()))
    name = f"{group.removesuffix('_expanded')}_project_conv/kernel"
    host_part = one.tensors[name] * (units == 0)[:, None]
    np.testing.assert_array_equal(dropped[name], host_part)
    seen = {}
    network = StepwiseNetwork(one.spec, one.conventions, dropped)
    inputs = one.preprocess(IMAGES)
    network.run(inputs, before=lambda layer, x: seen.setdefault(layer, x.numpy()))
    for group, units in donor_map.units.items():
        features = seen[f"{group.removesuffix('_expanded')}_project_conv"]
        assert not features[..., units == 1].any() and features[..., units == 0].any()


def test_wrong_units_are_listed():
    one = random_donor("lite-w0.25-d0.3", seed=0)
    with pytest.raises(ComposeError) as caught:
        hosted(one, {"stage9": np.zeros(3), "stage2_block1_expanded": np.zeros(3)})
    assert "stage9: no such group" in str(caught.value) and "3 units" in str(caught.value)
