"""The walk as data: what is read exists, what is dropped is read no more, where features are."""

import weakref

import pytest

from efn_compose.arch import arch_spec, feature_points, follow, walk
from efn_compose.arch.cost import cost

VARIANTS = ("b0", "lite1", "em", "v2-b1", "v2-s", "mnasnet-a1", "mnasnet-small")


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_operation_gets_the_outputs_it_names(variant):
    def perform(operation, *read):
        assert read == operation.reads
        return operation.name

    operations = walk(arch_spec(variant), classes=10)
    assert follow(operations, "image", perform) == "predictions"
    assert len({operation.name for operation in operations}) == len(operations)


@pytest.mark.parametrize("variant", VARIANTS)
def test_channels_and_groups_chain(variant):
    made = {"image": (3, None)}
    for operation in walk(arch_spec(variant), classes=10):
        assert made[operation.reads[0]] == (operation.in_channels, operation.group_in)
        made[operation.name] = (operation.out_channels, operation.group_out)
        if operation.kind == "add":
            assert len({made[name] for name in (*operation.reads, operation.name)}) == 1
    assert made["predictions"] == (10, None)


class _Output:
    """What an operation puts out, to be counted while it lives."""


def test_outputs_are_dropped_when_nothing_reads_them_any_more():
    alive = weakref.WeakSet()
    most = 0

    def perform(operation, *read):
        nonlocal most
        output = _Output()
        alive.add(output)
        most = max(most, len(alive))
        return output

    follow(walk(arch_spec("b0")), _Output(), perform)
    # A block's input for its skip, a gated map, what is read, and what is put out.
    assert most <= 4


#: Multiply-adds at the published size, in millions: tables of Tan and Le 2019, 2021 and of timm.
PUBLISHED_COST = {"b0": (224, 390), "lite0": (224, 407), "v2-b0": (224, 730), "v2-s": (384, 8400),
    "tinynet-a": (192, 339), "tinynet-e": (106, 24), "mnasnet-a1": (224, 312), "mnasnet-b1": (224, 315),
    "mnasnet-small": (224, 65)}  # fmt: skip


@pytest.mark.parametrize("variant", PUBLISHED_COST)
def test_cost_is_the_published_one(variant):
    size, millions = PUBLISHED_COST[variant]
    found = cost(arch_spec(variant), size, 1000).multiply_adds / 1e6
    assert found == pytest.approx(millions, rel=0.06)


#: Our variant, timm's model: its own table of feature maps is the truth.
TIMM_FEATURES = {
    "b0": "efficientnet_b0",
    "b3": "efficientnet_b3",
    "lite4": "efficientnet_lite4",
    "el": "efficientnet_el",
    "v2-b2": "tf_efficientnetv2_b2",
    "v2-s": "efficientnetv2_s",
    "v2-m": "efficientnetv2_m",
    "tinynet-a": "tinynet_a",
    "mnasnet-a1": "semnasnet_100",
    "mnasnet-small": "mnasnet_small",
}


@pytest.mark.parity
@pytest.mark.parametrize("variant", TIMM_FEATURES)
def test_feature_points_are_timms(variant):
    from converters.oracles.torch_models import declare_torchvision_operators

    declare_torchvision_operators()
    import timm

    stated = timm.create_model(TIMM_FEATURES[variant]).feature_info
    spec = arch_spec(variant)
    found = feature_points(spec)
    assert [(point.channels, point.stride) for point in found] == [
        (row["num_chs"], row["reduction"]) for row in stated
    ]
    # timm's stages count from 1 like ours: the last block of that stage.
    assert [point.name for point in found] == [
        list(spec.stage_blocks(row["stage"]))[-1].name for row in stated
    ]


def test_a_stem_that_keeps_the_size_gives_a_point_at_stride_1():
    import dataclasses

    spec = dataclasses.replace(arch_spec("b0"), stem_stride=1)
    assert [point.stride for point in feature_points(spec)] == [1, 2, 4, 8, 16]


@pytest.mark.slow
def test_feature_points_name_what_the_networks_show():
    """The point's name is the eager walk's, its layer is the Keras model's; both put out one map."""
    import keras
    import numpy as np
    from random_donors import photo_like, random_donor

    from efn_compose.models.stepwise import StepwiseNetwork

    donor = random_donor("v2-b-w0.1-d1.1")
    inputs = donor.preprocess(photo_like(2))
    shown = {}
    StepwiseNetwork.of(donor).run(inputs, after=shown.__setitem__)
    model = donor.build(input_shape=(32, 32, 3))
    points = feature_points(donor.spec)
    outputs = keras.Model(model.input, [model.get_layer(p.layer).output for p in points])(inputs)
    for point, output in zip(points, outputs, strict=True):
        side = 32 // point.stride
        assert output.shape == (2, side, side, point.channels)
        np.testing.assert_allclose(shown[point.name], output, atol=1e-4)
