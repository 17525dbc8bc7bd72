"""Layouts, stages and widths: against brute force, torch's own operators and the published tables."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from open_checkpoints import convert_raw
from random_donors import TINY, random_donor

from converters import CONVERTERS
from efn_compose import convert
from efn_compose.arch import VARIANTS, arch_spec, inventory
from efn_compose.checkpoints.containers.raw import RawCheckpoint, RawTensor
from efn_compose.checkpoints.dialects.dialect import Request
from efn_compose.checkpoints.dialects.layouts import LAYOUTS
from efn_compose.checkpoints.dialects.spec_reading import (
    BlockShape,
    name_spec,
    spec_from_stages,
    split_stages,
)
from efn_compose.errors import AmbiguousCheckpointError, ConversionError


def blocks_of(spec):
    return [
        [
            BlockShape(
                block.kind,
                block.kernel,
                block.in_channels,
                block.mid_channels,
                block.out_channels,
                block.se_channels,
                block.has_expand,
            )
            for block in spec.stage_blocks(stage)
        ]
        for stage in range(1, spec.stage_count + 1)
    ]


def canonical_of(layout, foreign):
    """Return a foreign array in canonical layout, filled in as reading a checkpoint does."""
    found = np.empty(layout.canonical_shape(foreign.shape), foreign.dtype)
    layout.foreign_view(found)[...] = foreign
    return found


@pytest.mark.parametrize("name", LAYOUTS)
def test_layouts_invert(name):
    layout = LAYOUTS[name]
    rng = np.random.default_rng(0)
    shape = [2, 3, 4, 5][: layout.rank or 2]
    for axis in layout.squeeze:
        shape[axis] = 1
    foreign = rng.normal(size=shape)
    np.testing.assert_array_equal(layout.to_foreign(canonical_of(layout, foreign)), foreign)


def test_layouts_compute_what_torch_computes():
    """A convolution, a depthwise one and a dense layer written out by hand on unequal axes."""
    import torch

    rng = np.random.default_rng(0)
    image = rng.normal(size=(1, 3, 6, 7))
    kernel, depth, dense = (rng.normal(size=s) for s in ((4, 3, 2, 5), (3, 1, 2, 5), (4, 3)))
    ours = canonical_of(LAYOUTS["torch_conv"], kernel)
    by_hand = sum(
        np.einsum("nihw,io->nohw", image[:, :, y : y + 5, x : x + 3], ours[y, x])
        for y in range(2)
        for x in range(5)
    )
    theirs = torch.nn.functional.conv2d(torch.from_numpy(image), torch.from_numpy(kernel))
    np.testing.assert_allclose(by_hand, theirs.numpy())
    ours = canonical_of(LAYOUTS["torch_depthwise"], depth)
    by_hand = sum(
        image[:, :, y : y + 5, x : x + 3] * ours[y, x, :, 0][:, None, None]
        for y in range(2)
        for x in range(5)
    )
    theirs = torch.nn.functional.conv2d(torch.from_numpy(image), torch.from_numpy(depth), groups=3)
    np.testing.assert_allclose(by_hand, theirs.numpy())
    vector = image[:, :, 0, 0]
    theirs = torch.nn.functional.linear(torch.from_numpy(vector), torch.from_numpy(dense))
    np.testing.assert_allclose(vector @ canonical_of(LAYOUTS["torch_dense"], dense), theirs.numpy())


@pytest.mark.parametrize("variant", [*VARIANTS, "b-w0.3-d0.7", "v2-b-w1.3-d2"])
def test_every_network_is_known_by_its_widths(variant):
    spec = arch_spec(variant)
    read = name_spec(spec_from_stages(spec.stem_channels, blocks_of(spec), spec.top_channels))
    assert read.same_tensors_as(spec) and read.family == spec.family
    if variant in VARIANTS:
        assert read.variant == variant


@pytest.mark.parametrize("variant", VARIANTS)
def test_stages_are_found_in_numbered_through_blocks(variant):
    stages = blocks_of(arch_spec(variant))
    assert split_stages([b for stage in stages for b in stage], Request(), "x") == stages


def test_widths_of_no_table_are_kept():
    stages = blocks_of(arch_spec("b0"))
    stages[1][1] = dataclasses.replace(stages[1][1], mid_channels=67)
    spec = name_spec(spec_from_stages(32, stages, 1280))
    assert spec.variant == "custom" and spec.family == "b"
    assert spec.blocks[2].mid_channels == 67


def test_stages_that_cannot_be_told_apart_are_asked_for():
    spec = arch_spec("v2-b-w0.1-d0.3")
    blocks = [block for stage in blocks_of(spec) for block in stage]
    with pytest.raises(AmbiguousCheckpointError, match="--arch"):
        split_stages(blocks, Request(), "x.pth")
    assert split_stages(blocks, Request(arch=spec.variant), "x.pth") == blocks_of(spec)
    with pytest.raises(AmbiguousCheckpointError, match="3 stages"):
        spec_from_stages(32, blocks_of(arch_spec("b0"))[:3], 0)


def random_raw(dtype="float32"):
    """Return a torchvision checkpoint of random values in a stored type."""
    from efn_compose.checkpoints.containers.values import numpy_dtype

    spec, rng = arch_spec("b-w0.1-d0.3"), np.random.default_rng(0)
    shapes = {tensor.name: tensor.shape for tensor in inventory(spec, 5)}
    tensors = {}
    for row in CONVERTERS["torchvision"].rows(spec, 5, None):
        values = rng.uniform(0.1, 1, shapes[row.canonical])
        array = LAYOUTS[row.layout].to_foreign(values).astype(numpy_dtype(dtype))
        tensors[row.foreign] = RawTensor(row.foreign, array.shape, dtype, lambda array=array: array)
    return RawCheckpoint(Path(__file__), "torch-zip", tensors)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_other_types_become_float32_and_are_reported(dtype):
    request = Request(arch="efficientnet_b0")
    exact = convert_raw(random_raw(), CONVERTERS["torchvision"], request).donor
    conversion = convert_raw(random_raw(dtype), CONVERTERS["torchvision"], request)
    step = {"float16": 2**-10, "bfloat16": 2**-7, "float64": 2**-23}[dtype]
    for name, values in conversion.donor.tensors.items():
        assert values.dtype == np.float32
        np.testing.assert_allclose(values, exact.tensors[name], rtol=step)
    assert dict(conversion.report.mapping.dtypes) == {dtype: len(exact.tensors)}


def test_a_square_kernel_of_the_wrong_order_is_not_mistaken():
    """Where shapes cannot tell, the name table's layout decides; a changed one changes values."""
    raw = random_raw()
    right = convert_raw(raw, CONVERTERS["torchvision"], Request(arch="efficientnet_b0")).donor
    kernel = right.tensors["stage3_block1_depthwise_conv/depthwise_kernel"]
    stored = raw.tensors["features.3.0.block.1.0.weight"].load()
    np.testing.assert_array_equal(kernel[1, 3, :, 0], stored[:, 0, 1, 3])


def test_names_that_no_library_uses_are_said_to_be_unknown():
    from converters.reading.recognition import chosen_dialect

    raw = random_raw()
    renamed = {f"x.{name}": tensor for name, tensor in raw.tensors.items()}
    with pytest.raises(ConversionError, match="no dialect recognises"):
        chosen_dialect(dataclasses.replace(raw, tensors=renamed), None)


def test_a_weight_file_of_ours_needs_no_conversion(tmp_path):
    random_donor(TINY).save(tmp_path / "ours.h5")
    with pytest.raises(ConversionError, match=r"ours\.h5: .* needs no conversion"):
        convert(tmp_path / "ours.h5")
