"""ONNX graphs that torch exported, against the torch networks themselves."""

import warnings
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest
from keras_oracles import relative_error

from converters import convert
from converters.onnx import DIALECT
from efn_compose.arch import arch_spec
from efn_compose.checkpoints.dialects.dialect import Request
from efn_compose.errors import AmbiguousCheckpointError, ConversionError

onnx = pytest.importorskip("onnx")
torch = pytest.importorskip("torch")
pytestmark = [
    pytest.mark.parity,
    pytest.mark.skipif(find_spec("timm") is None, reason="timm is not installed"),
]
SIDE = 64
V1, LITE, V2 = "b-w0.1-d0.3", "lite-w0.25-d0.3", "v2-b-w0.1-d0.3"


def network(variant: str, name: str) -> Any:
    """Return a nano network of timm with random weights and settled statistics."""
    from lab.random_checkpoints import random_network

    from converters.oracles.torch_models import Wanted

    epsilon = 1e-3 if name.startswith("tf_") else 1e-5
    return random_network(
        "timm", Wanted(arch_spec(variant), name=name, classes=7, bn_epsilon=epsilon)
    )


def inputs(side: int = SIDE) -> np.ndarray:
    return np.random.default_rng(3).normal(size=(2, side, side, 3)).astype(np.float32)


def logits_of(model: Any, images: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return model(torch.from_numpy(images.transpose(0, 3, 1, 2).copy())).numpy()


def export(model: Any, path: Any, dynamo: bool, side: int = SIDE) -> None:
    example = (torch.zeros(2, 3, side, side),)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if dynamo:
            pytest.importorskip("onnxscript")
            torch.onnx.export(model, example, path, dynamo=True, external_data=False, verbose=False)
        else:
            torch.onnx.export(model, example, path, dynamo=False, opset_version=17)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("variant", "name", "dynamo", "padding", "activation"),
    [
        (V1, "efficientnet_b0", False, "symmetric", "swish"),
        (V1, "tf_efficientnet_b0", False, "same", "swish"),
        (LITE, "efficientnet_lite0", False, "symmetric", "relu6"),
        (V2, "tf_efficientnetv2_b0", True, "same", "swish"),
    ],
)
def test_the_graph_gives_the_exported_networks_logits(
    tmp_path, variant, name, dynamo, padding, activation
):
    model = network(variant, name)
    export(model, tmp_path / "m.onnx", dynamo)
    conversion = convert(tmp_path / "m.onnx", arch=variant)
    donor = conversion.donor
    assert (donor.spec, donor.classes) == (arch_spec(variant), 7)
    assert (donor.conventions.padding, donor.conventions.activation) == (padding, activation)
    assert "folded in" in conversion.report.mapping.folded[0]
    ours = donor.build(input_shape=(SIDE, SIDE, 3))(inputs(), training=False)
    assert relative_error(ours, logits_of(model, inputs())) < 1e-4


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Return a symmetric V1 network and the onnx model of it."""
    path = tmp_path_factory.mktemp("onnx") / "m.onnx"
    model = network(V1, "efficientnet_b0")
    export(model, path, dynamo=False)
    return model, path


@pytest.mark.slow
def test_batchnorms_that_were_not_folded_are_taken_as_they_are(exported, tmp_path):
    model, path = exported
    proto = onnx.load(path)
    unfold(proto, epsilon=2e-4)
    onnx.save(proto, tmp_path / "unfolded.onnx")
    conversion = convert(tmp_path / "unfolded.onnx", arch=V1)
    donor = conversion.donor
    assert donor.conventions.bn_epsilon == pytest.approx(2e-4)
    assert not np.allclose(donor.tensors["stem_bn/moving_variance"], 1)
    ours = donor.build(input_shape=(SIDE, SIDE, 3))(inputs(), training=False)
    assert relative_error(ours, logits_of(model, inputs())) < 1e-4


def unfold(proto: Any, epsilon: float) -> None:
    """Put a BatchNorm with statistics of its own behind the stem; the function stays."""
    rng = np.random.default_rng(0)
    stored = {tensor.name: tensor for tensor in proto.graph.initializer}
    number, conv = next((n, x) for n, x in enumerate(proto.graph.node) if x.op_type == "Conv")
    bias = onnx.numpy_helper.to_array(stored[conv.input[2]])
    mean, variance = rng.normal(size=bias.shape), rng.uniform(0.5, 2, bias.shape)
    # The convolution keeps half of the bias, so that a BatchNorm behind a bias is covered.
    values = {
        "half": bias / 2,
        "scale": np.sqrt(variance + epsilon),
        "shift": bias / 2 + mean,
        "mean": mean,
        "variance": variance,
    }
    proto.graph.initializer.extend(
        onnx.numpy_helper.from_array(np.float32(array), name) for name, array in values.items()
    )
    conv.input[2] = "half"
    after = conv.output[0]
    conv.output[0] = "before_norm"
    norm = onnx.helper.make_node(
        "BatchNormalization",
        ["before_norm", "scale", "shift", "mean", "variance"],
        [after],
        epsilon=epsilon,
    )
    proto.graph.node.insert(number + 1, norm)


def test_the_input_scaling_must_be_said(exported):
    _, path = exported
    with pytest.raises(AmbiguousCheckpointError, match="how pixels are scaled"):
        raw = DIALECT.prepare(_read(path), Request(arch=V1)).raw
        DIALECT.resolve(raw, DIALECT.spec_from(raw, Request()), Request())
    raw = DIALECT.prepare(_read(path), Request(arch=V1)).raw
    spec = DIALECT.spec_from(raw, Request())
    for arch, mean in (
        ("tf_efficientnet_b0.ap_in1k", 127.5),
        ("efficientnet_b0.ra_in1k", 0.485 * 255),
    ):
        scaling = DIALECT.resolve(raw, spec, Request(arch=arch)).conventions.preprocessing
        assert scaling.mean[0] == pytest.approx(mean)


def _read(path: Any) -> Any:
    from efn_compose.checkpoints.containers.containers import read_checkpoint

    return read_checkpoint(path)


def test_an_all_odd_export_cannot_show_its_padding(tmp_path):
    model = network(V1, "efficientnet_b0")
    export(model, tmp_path / "m.onnx", dynamo=False, side=65)
    with pytest.raises(AmbiguousCheckpointError, match="even size"):
        convert(tmp_path / "m.onnx", arch=V1)


def _other_activation(proto: Any) -> None:
    node = next(node for node in proto.graph.node if node.op_type == "Sigmoid")
    node.op_type = "HardSwish"
    product = next(x for x in proto.graph.node if node.output[0] in x.input)
    product.op_type = "Identity"
    del product.input[:]
    product.input.append(node.output[0])


def _other_padding(proto: Any) -> None:
    conv = next(node for node in proto.graph.node if node.op_type == "Conv")
    pads = next(attribute for attribute in conv.attribute if attribute.name == "pads")
    pads.ints[:] = [1, 1, 0, 0]


def _missing_skip(proto: Any) -> None:
    add = next(node for node in proto.graph.node if node.op_type == "Add")
    add.op_type = "Identity"
    del add.input[1:]


def _other_stride(proto: Any) -> None:
    convs = [node for node in proto.graph.node if node.op_type == "Conv"]
    conv = [c for c in convs if any(a.name == "strides" and a.ints[0] == 2 for a in c.attribute)][
        -1
    ]
    next(a for a in conv.attribute if a.name == "strides").ints[:] = [1, 1]


def _scaling_inside(proto: Any) -> None:
    name = proto.graph.input[0].name
    conv = next(node for node in proto.graph.node if node.op_type == "Conv")
    mean = onnx.numpy_helper.from_array(np.float32(127.5), "mean")
    proto.graph.initializer.append(mean)
    proto.graph.node.insert(0, onnx.helper.make_node("Sub", [name, "mean"], ["centred"]))
    conv.input[0] = "centred"


def _second_classifier(proto: Any) -> None:
    gemm = next(node for node in proto.graph.node if node.op_type == "Gemm")
    proto.graph.node.append(onnx.helper.make_node("Gemm", list(gemm.input), ["again"], transB=1))


def _stray_weights(proto: Any) -> None:
    proto.graph.initializer.append(
        onnx.numpy_helper.from_array(np.zeros((40, 40), np.float32), "stray")
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_other_activation, "HardSwish"),
        (_other_padding, "paddings"),
        (_missing_skip, "skips"),
        (_other_stride, "strides"),
        (_scaling_inside, "Sub node stands before"),
        (_second_classifier, "2 dense layers"),
        (_stray_weights, "stray"),
    ],
)
def test_graphs_that_compute_something_else_are_refused(exported, tmp_path, change, message):
    proto = onnx.load(exported[1])
    change(proto)
    (tmp_path / "m.onnx").write_bytes(proto.SerializeToString())
    with pytest.raises(ConversionError, match=message):
        convert(tmp_path / "m.onnx", arch=V1)
