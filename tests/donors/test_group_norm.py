"""GroupNorm in place of BatchNorm: timm's network, the function it starts with, and who refuses it."""

import dataclasses
from functools import partial

import numpy as np
import pytest
from random_donors import LITE, TINY, photo_like, random_donor

from efn_compose.analysis.weights.description import describe_weight_file
from efn_compose.analysis.weights.weight_plots import plot_weights
from efn_compose.arch import DecoderSpec, arch_spec, inventory
from efn_compose.donors import Donor, load_donor
from efn_compose.donors.group_norm import with_group_norm
from efn_compose.donors.harmonise import harmonise
from efn_compose.donors.unet import attached, joined
from efn_compose.errors import ConfigError
from efn_compose.models.stepwise import StepwiseNetwork
from efn_compose.nesting import nest, shrink
from efn_compose.nesting.running.forward import NumpyNetwork
from efn_compose.nesting.running.weight_source import WeightSource
from efn_compose.numerics.standardised import standardised_kernel
from efn_compose.statistics.absorb import absorb_statistics


@pytest.fixture(scope="module")
def batch_donor():
    return random_donor(LITE, classes=3)


@pytest.fixture(scope="module")
def grouped(batch_donor):
    return with_group_norm(batch_donor)


def with_groups(spec):
    return dataclasses.replace(spec, normalisation="group")


def test_channels_that_make_no_whole_groups_are_refused_by_name():
    with pytest.raises(ConfigError, match="stage2_block1_project_bn: 12 channels"):
        with_group_norm(random_donor(TINY))


@pytest.mark.parity
@pytest.mark.slow
def test_the_network_is_timms_with_group_norm():
    from converters.oracles.torch_models import declare_torchvision_operators

    declare_torchvision_operators()
    import timm
    import torch
    from timm.layers import GroupNormAct

    norm = partial(GroupNormAct, group_size=8, eps=1e-3)
    theirs = timm.create_model("efficientnet_lite0", norm_layer=norm, num_classes=5).eval()
    tensors = {}
    specs = inventory(with_groups(arch_spec("lite0")), 5)
    rng = np.random.default_rng(1)
    for tensor, (name, parameter) in zip(specs, theirs.named_parameters(), strict=True):
        values = parameter.detach()
        if "gamma" in tensor.name or "beta" in tensor.name:
            values += torch.tensor(rng.normal(size=values.shape) * 0.3)
        order = {"depthwise_kernel": (2, 3, 0, 1), "kernel": (2, 3, 1, 0)}.get(tensor.role, (0,))
        order = (1, 0) if values.ndim == 2 else order
        assert tuple(values.numpy().transpose(order).shape) == tensor.shape, name
        tensors[tensor.name] = values.numpy().transpose(order)
    rules = dataclasses.replace(random_donor(LITE).conventions, padding="symmetric")
    donor = Donor("ours", with_groups(arch_spec("lite0")), rules, tensors)
    inputs = donor.preprocess(photo_like(3, side=48))
    with torch.inference_mode():
        expected = theirs(torch.tensor(inputs.transpose(0, 3, 1, 2))).numpy()
    found = np.asarray(StepwiseNetwork.of(donor).run(inputs))
    assert expected.std() > 1e-3
    np.testing.assert_allclose(found, expected, atol=1e-3 * expected.std())


@pytest.mark.parity
@pytest.mark.slow
def test_standardised_kernels_are_timms():
    """At length 1, that is: BiT's layer has the standard deviation 1, NFNet's has ours."""
    from converters.oracles.torch_models import declare_torchvision_operators

    declare_torchvision_operators()
    import torch
    from timm.layers import StdConv2d
    from timm.layers.std_conv import ScaledStdConv2d

    kernel = np.random.default_rng(3).normal(2, 5, (3, 3, 8, 4)).astype(np.float32)
    ours = torch.tensor(standardised_kernel(kernel).transpose(3, 2, 0, 1))
    image = torch.randn(2, 8, 9, 9)
    for make, factor in ((StdConv2d, np.sqrt(72)), (partial(ScaledStdConv2d, gamma=1), 1)):
        layer = make(8, 4, 3, padding=0, bias=False)
        layer.weight.data = torch.tensor(kernel.transpose(3, 2, 0, 1))
        expected = layer(image).detach().numpy()
        found = factor * torch.nn.functional.conv2d(image, ours).numpy()
        np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.slow
def test_three_readers_of_the_walk_agree(grouped):
    inputs = grouped.preprocess(photo_like(3, side=33))
    source = WeightSource(
        "grouped", grouped.spec, grouped.conventions, 3, grouped.tensors.__getitem__
    )
    expected = NumpyNetwork(source).run(inputs)
    for found in (StepwiseNetwork.of(grouped).run(inputs), grouped.build()(inputs)):
        np.testing.assert_allclose(np.asarray(found), expected, atol=1e-3 * expected.std())


@pytest.mark.slow
@pytest.mark.parametrize("is_fixed", [False, True])
def test_on_an_image_of_the_stored_statistics_the_function_stays(batch_donor, is_fixed):
    image = photo_like(1, seed=4)
    own = absorb_statistics(batch_donor, np.repeat(image, 2, axis=0), "all")
    layers = {t.layer for t in inventory(own.spec) if t.role == "kernel"} if is_fixed else ()
    found = with_group_norm(own, layers)
    for layer in layers:
        name = f"{layer}/kernel"
        assert found.tensors[name] is own.tensors[name]
    inputs = own.preprocess(image)
    expected = np.asarray(StepwiseNetwork.of(own).run(inputs))
    np.testing.assert_allclose(StepwiseNetwork.of(found).run(inputs), expected, atol=2e-3)
    # Of other images GroupNorm takes other statistics.
    other = own.preprocess(photo_like(1, seed=5))
    assert (
        np.abs(StepwiseNetwork.of(found).run(other) - StepwiseNetwork.of(own).run(other)).max()
        > 0.1
    )


@pytest.mark.slow
def test_a_decoder_comes_along(batch_donor):
    image = photo_like(1, seed=4)
    unet = joined(attached(batch_donor, DecoderSpec("mirror", outputs=2), seed=1))
    own = absorb_statistics(unet, np.repeat(image, 2, axis=0), "all")
    found = with_group_norm(own)
    assert found.part_names == ("backbone", "head", "decoder")
    inputs = own.preprocess(image)
    expected = np.asarray(StepwiseNetwork.of(own).run(inputs))
    masks = StepwiseNetwork.of(joined(found)).run(inputs)
    assert expected.std() > 0.05
    np.testing.assert_allclose(masks, expected, atol=2e-2 * expected.std())


def test_every_published_network_has_whole_groups():
    for name in ("b0", "b1", "b4", "lite2", "el", "v2-b2", "v2-s", "tinynet-b", "mnasnet-small"):
        tensors = inventory(with_groups(arch_spec(name)), 10)
        assert not any(t.role.startswith("moving") for t in tensors)
    # 12 channels make no whole groups.
    odd = dataclasses.replace(arch_spec("lite0"), stem_channels=12)
    with pytest.raises(ConfigError, match="stem_bn: 12 channels"):
        inventory(with_groups(odd))


def test_files_hold_them_and_older_versions_are_told_by_the_number(grouped, tmp_path):
    grouped.save(tmp_path / "grouped.h5")
    found = load_donor(tmp_path / "grouped.h5")
    assert found.fingerprint == grouped.fingerprint and found.spec == grouped.spec
    assert '"schema_version": 3' in grouped.header.to_json()
    assert with_group_norm(found) is found


@pytest.mark.slow
def test_they_are_described_and_drawn_without_statistics(grouped, batch_donor, tmp_path):
    grouped.save(tmp_path / "grouped.h5")
    assert describe_weight_file(tmp_path / "grouped.h5")["normalisation"] == "group"
    # A line for each of two donors, and where one stores no statistics, for the other.
    lines = {
        axes.get_title(loc="left") or axes.get_title(): len(axes.lines)
        for axes in plot_weights(batch_donor, grouped).axes
    }
    assert lines["BatchNorm moving mean"] == 1
    assert lines["scale of the normalisation (gamma)"] == 2


REFUSING = {
    "making donors comparable": lambda donor: harmonise([donor]),
    "changing a network's size": lambda donor: nest(donor, "lite-w0.25-d0.5"),
    "absorbing": lambda donor: absorb_statistics(donor, photo_like(2)),
    "cutting": lambda donor: shrink(donor, "lite-w0.25-d0.2"),
}


@pytest.mark.parametrize("doing", REFUSING)
def test_what_needs_batch_norm_says_so(grouped, doing):
    with pytest.raises(ConfigError, match="has GroupNorm, and"):
        REFUSING[doing](grouped)


def test_exports_and_live_models_refuse_them(grouped, tmp_path):
    from converters.writing.export import export
    from efn_compose.seeding import seed

    for to in ("timm", "keras-applications"):
        with pytest.raises(ConfigError, match=f"a file for {to} needs BatchNorm"):
            export(grouped, to=to, path=tmp_path / "out.h5")
    with pytest.raises(ConfigError, match="seeding a model of a library needs BatchNorm"):
        seed(None, grouped)
