"""The channel-group table: permuting or rotating a group changes no output."""

import numpy as np
import pytest
from float64_networks import float64_donor, logits_of, random_images, relative_difference
from random_donors import two_repeats

from efn_compose.arch import arch_spec, channel_groups

#: V1 with stage-1 repeats, V1 whose stem and stage 1 are one stream, Lite, V2-Bx with
#: stage-1 repeats, V2 whose stem is stage 1's stream, EdgeTPU with and without a second
#: stage-1 block (which adds no input), V2-S, MnasNet with gates in some stages, and the one
#: whose stages 4 and 5 are one stream.
NETWORKS = (
    two_repeats("b-w0.3-d1.1"),
    two_repeats("b-w0.1-d1.1"),
    "lite-w0.25-d0.3",
    two_repeats("v2-b-w0.4-d1.1"),
    two_repeats("v2-b-w0.2-d1.1"),
    "edge-w0.3-d0.3",
    two_repeats("edge-w0.3-d1.1"),
    "v2-s-w0.25-d0.4",
    "mnasnet-a1-w0.3-d0.5",
    "mnasnet-small-w1-d0.5",
)
TOLERANCE = 1e-9


@pytest.fixture(scope="module", params=NETWORKS)
def network(request):
    """A random donor, its input and its logits."""
    donor, images = float64_donor(request.param, side=32), random_images(side=32)
    return donor, images, logits_of(donor, images)


def _permuted(donor, group, order):
    """Return a donor with one group's channels in another order."""
    tensors = dict(donor.tensors)
    for member in channel_groups(donor.spec, donor.classes)[group].members:
        name = member.tensor.name
        tensors[name] = np.take(tensors[name], order, axis=member.axis)
    return donor.replace(tensors=tensors)


@pytest.mark.slow
def test_permuting_any_group_leaves_logits_unchanged(network):
    donor, images, expected = network
    rng = np.random.default_rng(0)
    for name, group in channel_groups(donor.spec, donor.classes).items():
        permuted = _permuted(donor, name, rng.permutation(group.size))
        assert relative_difference(logits_of(permuted, images), expected) < TOLERANCE, name


@pytest.mark.slow
def test_permuting_all_but_one_member_changes_logits(network):
    """Every member of every group counts: leaving one out breaks the network."""
    donor, images, expected = network
    for name, group in channel_groups(donor.spec, donor.classes).items():
        order = np.roll(np.arange(group.size), 1)
        permuted = _permuted(donor, name, order)
        left_out = group.members[-1]
        values = permuted.tensors[left_out.tensor.name]
        tensors = dict(permuted.tensors)
        tensors[left_out.tensor.name] = np.take(values, np.argsort(order), axis=left_out.axis)
        broken = permuted.replace(tensors=tensors)
        assert relative_difference(logits_of(broken, images), expected) > 1e-6, name


def test_rotating_linear_streams_leaves_logits_unchanged(network):
    """Any invertible matrix will do: producers times Q, consumers times its inverse."""
    donor, images, expected = network
    rng = np.random.default_rng(1)
    epsilon = donor.conventions.bn_epsilon
    groups = channel_groups(donor.spec, donor.classes)
    rotated = 0
    for name, group in groups.items():
        if not group.is_linear:
            continue
        rotated += 1
        matrix = rng.normal(size=(group.size, group.size)) + 2 * np.eye(group.size)
        tensors = dict(donor.tensors)
        for member in group.members:
            tensor = member.tensor
            if member.use == "in":
                kernel = np.moveaxis(tensors[tensor.name], member.axis, -1)
                kernel = kernel @ np.linalg.inv(matrix).T
                tensors[tensor.name] = np.moveaxis(kernel, -1, member.axis)
            elif member.use == "out":
                norm = tensor.layer.removesuffix("_conv") + "_bn"
                gamma, beta, mean, variance = (
                    tensors[f"{norm}/{role}"]
                    for role in ("gamma", "beta", "moving_mean", "moving_variance")
                )
                scale = gamma / np.sqrt(variance + epsilon)
                # Folded: y = (u - mean) * scale + beta, then y Q.
                tensors[tensor.name] = (tensors[tensor.name] * scale) @ matrix
                tensors[f"{norm}/gamma"] = np.full(group.size, np.sqrt(1 + epsilon))
                tensors[f"{norm}/beta"] = (beta - mean * scale) @ matrix
                tensors[f"{norm}/moving_mean"] = np.zeros(group.size)
                tensors[f"{norm}/moving_variance"] = np.ones(group.size)
        result = logits_of(donor.replace(tensors=tensors), images)
        assert relative_difference(result, expected) < 1e-8, name
    assert rotated >= 3


def test_streams_that_meet_a_nonlinearity_are_not_called_linear():
    groups = channel_groups(arch_spec("b1"))
    assert not groups["stage1"].is_linear
    assert all(groups[f"stage{n}"].is_linear for n in range(2, 8))
    assert channel_groups(arch_spec("b0"))["stage1"].is_linear
    assert not channel_groups(arch_spec("v2-b0"))["stage1"].is_linear
    assert not channel_groups(arch_spec("v2-s"))["stem"].is_linear


def test_counts_of_b0s_groups():
    groups = channel_groups(arch_spec("b0"), classes=1000)
    sizes = dict.fromkeys(("stem", "stream", "expanded", "se", "top"), 0)
    for group in groups.values():
        sizes[group.kind] += group.size
    assert len(groups) == 40
    assert sizes["expanded"] == 8928
    assert sizes["stem"] + sizes["stream"] + sizes["top"] == 2096
    assert sizes["se"] == 380


@pytest.mark.parametrize("variant", ["v2-s", "v2-m", "v2-l", "v2-xl"])
def test_stem_and_stage_1_are_one_stream_where_the_first_block_has_a_skip(variant):
    groups = channel_groups(arch_spec(variant))
    assert "stage1" not in groups
    twice = [
        member.tensor.name
        for member in groups["stem"].members
        if member.tensor.name == "stage1_block1_project_conv/kernel"
    ]
    assert len(twice) == 2


@pytest.mark.parametrize(
    "variant", ["b8", "l2", "l3", "lite4", "v2-b3", "es", "tinynet-a", "mnasnet-a1", "mnasnet-b1"]
)
def test_no_skip_crosses_a_stage_border_in_published_networks(variant):
    for block in arch_spec(variant).blocks:
        assert block.has_skip == (block.repeat > 1)
