"""Parameter counts, widths and repeats against the published tables."""

import dataclasses

import pytest

from efn_compose.arch import (
    BASES,
    VARIANTS,
    arch_spec,
    base_of,
    inventory,
    parameter_count,
    scaled_spec,
)
from efn_compose.checkpoints.dialects.spec_reading import name_spec
from efn_compose.errors import ConfigError

#: Trainable parameters with 1000 classes, stem, top, number of blocks, repeats per stage.
PUBLISHED = {
    "b0": (5_288_548, 32, 1280, 16, (1, 2, 2, 3, 3, 4, 1)),
    "b1": (7_794_184, 32, 1280, 23, (2, 3, 3, 4, 4, 5, 2)),
    "b2": (9_109_994, 32, 1408, 23, (2, 3, 3, 4, 4, 5, 2)),
    "b3": (12_233_232, 40, 1536, 26, (2, 3, 3, 5, 5, 6, 2)),
    "b4": (19_341_616, 48, 1792, 32, (2, 4, 4, 6, 6, 8, 2)),
    "b5": (30_389_784, 48, 2048, 39, (3, 5, 5, 7, 7, 9, 3)),
    "b6": (43_040_704, 56, 2304, 45, (3, 6, 6, 8, 8, 11, 3)),
    "b7": (66_347_960, 64, 2560, 55, (4, 7, 7, 10, 10, 13, 4)),
    "b8": (87_413_142, 72, 2816, 61, (4, 8, 8, 11, 11, 15, 4)),
    "l2": (480_309_308, 136, 5504, 88, (6, 11, 11, 16, 16, 22, 6)),
    "l3": (1_501_041_134, 184, 7424, 152, (10, 19, 19, 28, 28, 38, 10)),
    "lite0": (4_652_008, 32, 1280, 16, (1, 2, 2, 3, 3, 4, 1)),
    "lite1": (5_416_680, 32, 1280, 21, (1, 3, 3, 4, 4, 5, 1)),
    "lite2": (6_092_072, 32, 1280, 21, (1, 3, 3, 4, 4, 5, 1)),
    "lite3": (8_197_096, 32, 1280, 24, (1, 3, 3, 5, 5, 6, 1)),
    "lite4": (13_006_568, 32, 1280, 30, (1, 4, 4, 6, 6, 8, 1)),
    "es": (5_438_392, 32, 1280, 18, (1, 2, 4, 5, 4, 2)),
    "em": (6_899_496, 32, 1280, 24, (2, 3, 5, 6, 5, 3)),
    "el": (10_589_712, 40, 1536, 27, (2, 3, 6, 7, 6, 3)),
    "v2-b0": (7_139_704, 32, 1280, 21, (1, 2, 2, 3, 5, 8)),
    "v2-b1": (8_141_052, 32, 1280, 27, (2, 3, 3, 4, 6, 9)),
    "v2-b2": (10_096_086, 32, 1408, 28, (2, 3, 3, 4, 6, 10)),
    "v2-b3": (14_358_406, 40, 1536, 32, (2, 3, 3, 5, 7, 12)),
    "v2-s": (21_458_488, 24, 1280, 40, (2, 4, 4, 6, 9, 15)),
    "v2-m": (54_139_356, 24, 1280, 57, (3, 5, 5, 7, 14, 18, 5)),
    "v2-l": (118_515_272, 32, 1280, 79, (4, 7, 7, 10, 19, 25, 7)),
    "v2-xl": (208_119_808, 32, 1280, 100, (4, 8, 8, 16, 24, 32, 8)),
    "tinynet-a": (6_187_972, 32, 1280, 19, (1, 2, 2, 4, 4, 5, 1)),
    "tinynet-b": (3_730_562, 32, 1280, 16, (1, 2, 2, 3, 3, 4, 1)),
    "tinynet-c": (2_457_234, 32, 1280, 15, (1, 2, 2, 3, 3, 3, 1)),
    "tinynet-d": (2_338_446, 32, 1280, 11, (1, 1, 1, 2, 2, 3, 1)),
    "tinynet-e": (2_042_972, 32, 1280, 10, (1, 1, 1, 2, 2, 2, 1)),
    "mnasnet-a1": (3_887_038, 32, 1280, 16, (1, 2, 3, 4, 2, 3, 1)),
    "mnasnet-b1": (4_383_312, 32, 1280, 17, (1, 3, 3, 3, 2, 4, 1)),
    "mnasnet-small": (2_030_264, 8, 1280, 15, (1, 1, 2, 4, 3, 3, 1)),
}
#: Published networks that are bases at other widths: torchvision's and timm's counts.
PUBLISHED_SCALED = {
    "mnasnet-b1-w0.5-d1": 2_218_512,
    "mnasnet-b1-w0.75-d1": 3_170_208,
    "mnasnet-b1-w1.3-d1": 6_282_256,
    "mnasnet-b1-w1.4-d1": 7_115_728,
    "mnasnet-a1-w0.5-d1": 2_082_006,
    "mnasnet-a1-w0.75-d1": 2_912_278,
    "mnasnet-a1-w1.4-d1": 6_105_992,
}
#: Published to four digits only.
ROUNDED = {"l0": 140.8e6, "l1": 272.6e6}
WIDTHS = {
    "b2": (16, 24, 48, 88, 120, 208, 352),
    "b3": (24, 32, 48, 96, 136, 232, 384),
    "b4": (24, 32, 56, 112, 160, 272, 448),
    "b5": (24, 40, 64, 128, 176, 304, 512),
    "b6": (32, 40, 72, 144, 200, 344, 576),
    "b7": (32, 48, 80, 160, 224, 384, 640),
    "b8": (32, 56, 88, 176, 248, 424, 704),
    "l2": (72, 104, 176, 344, 480, 824, 1376),
    "l3": (96, 136, 232, 464, 648, 1112, 1856),
    "v2-b2": (16, 32, 56, 104, 120, 208),
    "v2-b3": (16, 40, 56, 112, 136, 232),
    "el": (32, 40, 56, 112, 176, 232),
    "tinynet-b": (16, 24, 32, 64, 88, 144, 240),
    "tinynet-e": (8, 16, 24, 40, 56, 96, 160),
    "mnasnet-b1-w1.3-d1": (24, 32, 56, 104, 128, 248, 416),
}


@pytest.mark.parametrize("variant", PUBLISHED)
def test_counts_and_shape_are_the_published_ones(variant):
    parameters, stem, top, blocks, repeats = PUBLISHED[variant]
    spec = arch_spec(variant)
    assert parameter_count(spec, classes=1000) == parameters
    assert (spec.stem_channels, spec.top_channels, len(spec.blocks)) == (stem, top, blocks)
    assert spec.stage_repeats == repeats


@pytest.mark.parametrize("variant", PUBLISHED_SCALED)
def test_counts_of_published_networks_at_other_coefficients(variant):
    assert parameter_count(arch_spec(variant), classes=1000) == PUBLISHED_SCALED[variant]


#: timm's name for a network, where the network has the name of a base at other coefficients.
TIMM_SCALED = {
    "mnasnet-b1-w0.5-d1": "mnasnet_050",
    "mnasnet-b1-w1.4-d1": "mnasnet_140",
    "mnasnet-a1-w0.75-d1": "semnasnet_075",
    "mnasnet-a1": "semnasnet_100",
    "mnasnet-b1": "mnasnet_100",
    "mnasnet-small": "mnasnet_small",
    **{f"tinynet-{letter}": f"tinynet_{letter}" for letter in "abcde"},
    "em": "efficientnet_em",
    "v2-b3": "tf_efficientnetv2_b3",
}


@pytest.mark.parity
@pytest.mark.parametrize("variant", TIMM_SCALED)
def test_networks_are_those_that_timm_builds(variant):
    """Every shape, every skip, every stride."""
    from converters.oracles.torch_models import declare_torchvision_operators

    declare_torchvision_operators()
    import timm

    model = timm.create_model(TIMM_SCALED[variant])
    spec = arch_spec(variant)
    assert sum(p.numel() for p in model.parameters()) == parameter_count(spec, classes=1000)
    built = [block for stage in model.blocks for block in stage]
    skips = [block.has_skip for block in built]
    assert [block.has_skip for block in spec.blocks] == skips
    strides = [
        max(layer.stride[0] for layer in block.modules() if hasattr(layer, "stride"))
        for block in built
    ]
    assert [block.stride for block in spec.blocks] == strides


@pytest.mark.parametrize("variant", ROUNDED)
def test_counts_published_in_millions(variant):
    count = parameter_count(arch_spec(variant), classes=1000)
    assert count == pytest.approx(ROUNDED[variant], rel=5e-4)


@pytest.mark.parametrize("variant", WIDTHS)
def test_stage_widths_are_the_published_ones(variant):
    assert arch_spec(variant).stage_channels == WIDTHS[variant]


def test_every_variant_of_the_table_is_checked():
    assert set(PUBLISHED) | set(PUBLISHED_SCALED) | set(ROUNDED) == set(VARIANTS)


def test_rival_coefficients_of_1500_million():
    assert parameter_count(scaled_spec("b", 6.0, 9.0), classes=1000) == 1_501_614_736


@pytest.mark.parametrize(
    "variant", ["b1", "lite2", "v2-b1", "v2-s", "v2-xl", "em", "l3", "mnasnet-a1", "mnasnet-small"]
)
def test_tensor_names_are_unique_and_axes_agree_with_shapes(variant):
    tensors = inventory(arch_spec(variant), 1000)
    assert len({tensor.name for tensor in tensors}) == len(tensors)
    sizes = {}
    for tensor in tensors:
        assert len(tensor.shape) == len(tensor.axes)
        for length, axis in zip(tensor.shape, tensor.axes, strict=True):
            if axis.group is not None:
                assert sizes.setdefault(axis.group, length) == length, tensor.name


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("b9", "Did you mean"),
        ("efficientnet-v3", "Known:"),
        ("b-w0-d1", "positive"),
        ("v2-w0.5-d1", "bases b, lite, edge, v2-b, v2-s"),
        ("tinynet-a-w0.5-d1", "tinynet"),
    ],
)
def test_unknown_names_are_refused_with_a_hint(name, hint):
    with pytest.raises(ConfigError, match=hint):
        arch_spec(name)


@pytest.mark.parametrize("base", BASES)
def test_every_base_takes_coefficients_and_is_found_again(base):
    """A name is a network, and the widths and repeats of the network lead to a name for it."""
    spec = arch_spec(f"{base}-w0.5-d0.6")
    assert base_of(spec) == base
    assert spec.family == BASES[base].family
    found = name_spec(dataclasses.replace(spec, variant="custom"))
    assert found.same_tensors_as(spec) and found.variant != "custom"
    assert arch_spec(found.variant).same_tensors_as(spec)
    assert parameter_count(spec) < parameter_count(arch_spec(f"{base}-w1-d1"))


def test_coefficients_of_one_are_the_published_network():
    for base in ("v2-s", "v2-xl", "mnasnet-a1", "mnasnet-b1", "mnasnet-small"):
        assert arch_spec(f"{base}-w1.0-d1.0").same_tensors_as(arch_spec(base))


@pytest.mark.parametrize(("width", "depth"), [(0.25, 0.4), (0.5, 1.3), (1.3, 0.6)])
@pytest.mark.parity
def test_tinynet_and_v2_scale_as_timm_scales_them(width, depth):
    from converters.oracles.torch_models import declare_torchvision_operators

    declare_torchvision_operators()
    from timm.models import efficientnet as families

    for base, build, option in (
        ("tinynet", families._gen_tinynet, "model_width"),
        ("v2-s", families._gen_efficientnetv2_s, "channel_multiplier"),
    ):
        name = "tinynet_a" if base == "tinynet" else "efficientnetv2_s"
        model = build(name, **{option: width, "depth_multiplier": depth}, num_classes=3)
        spec = arch_spec(f"{base}-w{width:g}-d{depth:g}")
        assert sum(p.numel() for p in model.parameters()) == parameter_count(spec, classes=3)
