"""leondgarse/keras_efficientnet_v2, against the library itself in a process of its own."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from empty_checkpoints import raw_of
from keras_oracles import relative_error
from repository import SUPPORT

from converters import convert
from converters.keras_efficientnet_v2 import DIALECT
from efn_compose.arch import arch_spec, inventory
from efn_compose.checkpoints.dialects.dialect import Request
from efn_compose.errors import AmbiguousCheckpointError
from efn_compose.nesting.running.forward import NumpyNetwork
from efn_compose.nesting.running.weight_source import WeightSource

pytestmark = pytest.mark.parity
SIDE = 64
NETWORKS = ("v1", "v2", "torch", "scaled")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    if importlib.util.find_spec("keras_efficientnet_v2") is None:
        pytest.skip("keras_efficientnet_v2 is not installed")
    path = tmp_path_factory.mktemp("kev2")
    script = SUPPORT / "keras_efficientnet_v2_oracle.py"
    done = subprocess.run(
        [sys.executable, script, path, *NETWORKS], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return path


@pytest.mark.parametrize("name", ["v1", "v2", "torch"])
@pytest.mark.parametrize("form", ["{}_weights.h5", "{}.h5", "{}.keras"])
def test_every_container_gives_the_librarys_logits(folder, name, form):
    with np.load(folder / f"{name}.npz") as file:
        reference = dict(file)
    conversion = convert(folder / form.format(name))
    donor = conversion.donor
    assert conversion.report.dialect == "keras_efficientnet_v2"
    # Stem and stage 1 of the nano networks are of one width, as in V2-S and not in V2-B0.
    assert donor.spec.family == {"v1": "b", "v2": "v2", "torch": "v2"}[name]
    if form == "{}.keras":
        logits = donor.build(input_shape=(SIDE, SIDE, 3))(reference["inputs"], training=False)
    else:
        logits = NumpyNetwork(WeightSource.of(donor)).run(reference["inputs"])
    error = relative_error(logits, reference["logits"])
    if (name, form) == ("torch", "{}_weights.h5"):
        # A bare weight file cannot say that its network was built in torch mode.
        assert error > 1e-2
    else:
        assert error < 1e-4


def test_scaling_inside_the_model_is_read_from_its_configuration(folder):
    with np.load(folder / "scaled.npz") as file:
        reference = dict(file)
    donor = convert(folder / "scaled.keras").donor
    assert donor.conventions.preprocessing.std == pytest.approx((128.0,) * 3)
    inputs = donor.preprocess(reference["inputs"])
    logits = donor.build(input_shape=(SIDE, SIDE, 3))(inputs, training=False)
    assert relative_error(logits, reference["logits"]) < 1e-4


def shapes_of(variant: str, classes: int = 1000):
    spec = arch_spec(variant)
    shapes = {tensor.name: tensor.shape for tensor in inventory(spec, classes)}
    return raw_of({r.foreign: shapes[r.canonical] for r in DIALECT.rows(spec, classes, None)})


@pytest.mark.parametrize("variant", ["b0", "b7", "l2", "v2-b3", "v2-s", "v2-m", "v2-xl"])
def test_every_published_network_is_recognised_from_shapes(variant):
    assert DIALECT.recognise(shapes_of(variant))
    assert DIALECT.spec_from(shapes_of(variant), Request()) == arch_spec(variant)


def test_v2_base_weights_need_their_tag():
    raw, spec = shapes_of("v2-b0"), arch_spec("v2-b0")
    with pytest.raises(AmbiguousCheckpointError, match="imagenet21k-ft1k"):
        DIALECT.resolve(raw, spec, Request())
    for tag, mean in (("imagenet", 0.485 * 255), ("imagenet21k-ft1k", 128.0)):
        resolved = DIALECT.resolve(raw, spec, Request(arch=f"EfficientNetV2B0.{tag}"))
        assert resolved.conventions.preprocessing.mean[0] == pytest.approx(mean)
    resolved = DIALECT.resolve(shapes_of("v2-b0", 21843), spec, Request())
    assert resolved.conventions.preprocessing.mean[0] == 128.0
