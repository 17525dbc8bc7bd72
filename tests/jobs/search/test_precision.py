"""A run has one precision: that of the device it began on, wherever it goes on."""

import json

import pytest

from efn_compose.errors import RunError
from efn_compose.jobs.search.precision import DEVICE_FILE, begun_precision, keep_precision
from efn_compose.store import RunFolder
from efn_compose.train.engine.options import DeviceOptions

AUTO = DeviceOptions()


@pytest.fixture
def folder(tmp_path):
    with RunFolder.create(tmp_path / "run", "", {}) as made:
        yield made


@pytest.mark.parametrize(
    ("first", "then", "precision"),
    [("gpu", "cpu", "mixed_float16"), ("cpu", "gpu", "float32"), ("tpu", "cpu", "mixed_bfloat16")],
)
def test_the_first_device_decides(folder, first, then, precision):
    assert begun_precision(folder, AUTO) == AUTO
    keep_precision(folder, AUTO, first)
    assert begun_precision(folder, AUTO).precision == precision
    keep_precision(folder, begun_precision(folder, AUTO), then)
    assert json.loads((folder.path / DEVICE_FILE).read_text())["device"] == first


def test_what_the_configuration_names_needs_no_file(folder):
    named = DeviceOptions("mixed_bfloat16")
    keep_precision(folder, named, "cpu")
    assert begun_precision(folder, named) == named
    assert not (folder.path / DEVICE_FILE).exists()


def test_a_device_without_the_precision_is_refused_by_name(folder):
    keep_precision(folder, AUTO, "gpu")
    with pytest.raises(RunError, match=r"computes in mixed_float16, and a TPU does not.*=cpu"):
        keep_precision(folder, begun_precision(folder, AUTO), "tpu")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"precision": "auto"}', '{"precision": []}'])
def test_a_damaged_file_is_named(folder, text):
    folder.write_text(DEVICE_FILE, text)
    with pytest.raises(RunError, match=r"device.json: damaged.*float32, mixed_float16"):
        begun_precision(folder, AUTO)
