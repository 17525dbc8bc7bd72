"""Parameter counts, widths and repeats against the published tables."""

import pytest

from efn_compose.arch import VARIANTS, arch_spec, inventory, parameter_count, scaled_spec
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
}


@pytest.mark.parametrize("variant", PUBLISHED)
def test_counts_and_shape_are_the_published_ones(variant):
    parameters, stem, top, blocks, repeats = PUBLISHED[variant]
    spec = arch_spec(variant)
    assert parameter_count(spec, classes=1000) == parameters
    assert (spec.stem_channels, spec.top_channels, len(spec.blocks)) == (stem, top, blocks)
    assert spec.stage_repeats == repeats


@pytest.mark.parametrize("variant", ROUNDED)
def test_counts_published_in_millions(variant):
    count = parameter_count(arch_spec(variant), classes=1000)
    assert count == pytest.approx(ROUNDED[variant], rel=5e-4)


@pytest.mark.parametrize("variant", WIDTHS)
def test_stage_widths_are_the_published_ones(variant):
    assert arch_spec(variant).stage_channels == WIDTHS[variant]


def test_every_variant_of_the_table_is_checked():
    assert set(PUBLISHED) | set(ROUNDED) == set(VARIANTS)


def test_rival_coefficients_of_1500_million():
    assert parameter_count(scaled_spec("b", 6.0, 9.0), classes=1000) == 1_501_614_736


@pytest.mark.parametrize("variant", ["b1", "lite2", "v2-b1", "v2-s", "v2-xl", "em", "l3"])
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
    [("b9", "Did you mean"), ("efficientnet-v3", "Known:"), ("b-w0-d1", "positive")],
)
def test_unknown_names_are_refused_with_a_hint(name, hint):
    with pytest.raises(ConfigError, match=hint):
        arch_spec(name)
