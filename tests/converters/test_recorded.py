"""Dialects whose library cannot be installed, against logits that its own code computed."""

import dataclasses

import numpy as np
import pytest
from open_checkpoints import convert_raw
from repository import RECORDED

from converters import convert
from converters.reading.verification import FLOAT32_GATE, FLOAT64_GATE, relative_error
from converters.registry import CONVERTERS
from efn_compose.checkpoints.containers.containers import read_checkpoint
from efn_compose.checkpoints.containers.raw import RawTensor
from efn_compose.checkpoints.dialects.dialect import Request
from efn_compose.errors import ConversionError, UnmappedTensorError

CASES = {
    "nvidia_tiny": ("nvidia", "b-w0.1-d0.4"),
    "nvidia_widese_tiny": ("nvidia", None),
    "kuangliu_tiny": ("kuangliu", None),
}


def error_of(donor, folder):
    from efn_compose.models.stepwise import StepwiseNetwork

    network = StepwiseNetwork.of(donor, "float64")
    with np.load(RECORDED / folder / "reference.npz") as recorded:
        return max(
            relative_error(
                network.run(recorded[f"images_{number}"]).numpy(), recorded[f"logits_{number}"]
            )
            for number in range(2)
        )


@pytest.fixture(scope="module", params=CASES)
def case(request):
    dialect, arch = CASES[request.param]
    conversion = convert(RECORDED / request.param / "model.pth", arch=arch)
    assert conversion.report.dialect == dialect
    return request.param, conversion


def test_logits_equal_those_of_the_original_code(case):
    folder, conversion = case
    assert error_of(conversion.donor, folder) < FLOAT64_GATE


def test_wrong_conventions_fail_the_gate(case):
    folder, conversion = case
    donor = conversion.donor
    for change in (
        {"padding": "same"},
        {"bn_epsilon": 1e-2},
        {"activation": "relu"},
    ):
        conventions = dataclasses.replace(donor.conventions, **change)
        assert error_of(donor.replace(conventions=conventions), folder) > FLOAT32_GATE, change


def test_averaged_weights_are_the_default_and_raw_ones_can_be_had():
    path = RECORDED / "nvidia_tiny" / "model.pth"
    averaged, raw = convert(path).donor, convert(path, ema=False).donor
    assert error_of(averaged, "nvidia_tiny") < FLOAT64_GATE
    # Every raw value is 0.97 of the averaged one in this file.
    np.testing.assert_allclose(
        raw.tensors["stem_conv/kernel"], 0.97 * averaged.tensors["stem_conv/kernel"], rtol=1e-6
    )


def test_wide_squeeze_excite_is_read_from_the_tensors():
    spec = convert(RECORDED / "nvidia_widese_tiny" / "model.pth").donor.spec
    block = spec.blocks[2]
    assert block.has_expand and block.se_channels == block.mid_channels // 4


def test_cifar_network_has_stride_one_and_no_top():
    conversion = convert(RECORDED / "kuangliu_tiny" / "model.pth")
    spec = conversion.donor.spec
    assert (spec.stem_stride, spec.top_channels, spec.feature_channels) == (1, 0, 32)
    unused = [name for name, reason in conversion.report.mapping.ignored if "ratio-1" in reason]
    # The never-used convolution and the parameters and counter of its BatchNorm.
    assert len(unused) == 6 and all(name.startswith("layers.0.") for name in unused)


def test_quantised_files_are_refused_by_name():
    raw = read_checkpoint(RECORDED / "nvidia_tiny" / "model.pth")
    quantiser = RawTensor("stem.conv._input_quantizer._amax", (), "float32", lambda: np.zeros(()))
    raw = dataclasses.replace(raw, tensors={**raw.tensors, quantiser.name: quantiser})
    with pytest.raises(ConversionError, match="quantised"):
        convert_raw(raw, CONVERTERS["nvidia"], Request())


def test_a_negative_variance_is_refused():
    raw = read_checkpoint(RECORDED / "kuangliu_tiny" / "model.pth")
    name = "bn1.running_var"
    values = -raw.tensors[name].load()
    broken = dataclasses.replace(raw.tensors[name], load=lambda: values)
    raw = dataclasses.replace(raw, tensors={**raw.tensors, name: broken})
    with pytest.raises(ConversionError, match=r"bn1\.running_var.*negative variance"):
        convert_raw(raw, CONVERTERS["kuangliu"], Request())


def test_all_missing_and_unknown_tensors_are_listed_at_once():
    raw = read_checkpoint(RECORDED / "kuangliu_tiny" / "model.pth")
    renamed = {
        name.replace("bn2.running_mean", "bn2.mean"): tensor for name, tensor in raw.tensors.items()
    }
    with pytest.raises(UnmappedTensorError) as caught:
        convert_raw(dataclasses.replace(raw, tensors=renamed), CONVERTERS["kuangliu"], Request())
    blocks = sum(name.endswith("bn2.running_mean") for name in raw.tensors)
    assert str(caught.value).count("- missing") == blocks
    assert str(caught.value).count("+ unknown") == blocks
