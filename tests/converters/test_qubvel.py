"""qubvel/efficientnet, against the library itself."""

import numpy as np
import pytest
from keras_oracles import forget_names, log_softmax_error, pixels, randomise

from converters import convert
from converters.qubvel import DIALECT
from efn_compose.arch import arch_spec
from efn_compose.errors import ConversionError

library = pytest.importorskip("efficientnet")
pytestmark = pytest.mark.parity
SIDE, VARIANT = 64, "b-w0.1-d0.3"


@pytest.fixture(scope="module")
def model():
    from efficientnet import inject_tfkeras_modules
    from efficientnet.model import EfficientNet

    build = inject_tfkeras_modules(EfficientNet)
    network = build(0.1, 0.3, SIDE, weights=None, input_shape=(SIDE, SIDE, 3), classes=7)
    # The library's input is scaled by the caller.
    randomise(network, scaled(pixels(seed=1, count=8)))
    return network


def scaled(images: np.ndarray) -> np.ndarray:
    return ((images / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]).astype(np.float32)


@pytest.mark.parametrize("file", ["net.weights.h5", "net.h5", "net.keras"])
def test_every_container_gives_the_librarys_probabilities(model, tmp_path, file):
    (model.save_weights if "weights" in file else model.save)(tmp_path / file)
    conversion = convert(tmp_path / file)
    donor = conversion.donor
    assert conversion.report.dialect == "qubvel"
    assert (donor.spec, donor.classes) == (arch_spec(VARIANT), 7)
    logits = donor.build(input_shape=(SIDE, SIDE, 3))(donor.preprocess(pixels()), training=False)
    probabilities = np.asarray(model(scaled(pixels()), training=False), np.float64)
    # The library ends in a softmax: logits are known up to a constant per image.
    assert log_softmax_error(logits, np.log(probabilities)) < 1e-4


def test_files_without_layer_names_are_named_by_order(model, tmp_path):
    model.save_weights(tmp_path / "named.weights.h5")
    model.save_weights(tmp_path / "numbered.weights.h5")
    forget_names(tmp_path / "numbered.weights.h5")
    named, numbered = (convert(tmp_path / f"{n}.weights.h5") for n in ("named", "numbered"))
    assert any("named by their order" in note for note in numbered.report.notes)
    for name, values in named.donor.tensors.items():
        np.testing.assert_array_equal(numbered.donor.tensors[name], values)


def test_numbered_layers_in_another_order_are_refused(model, tmp_path):
    import h5py

    path = tmp_path / "numbered.weights.h5"
    model.save_weights(path)
    forget_names(path)
    with h5py.File(path, "a") as file:
        file["layers"].move("conv2d_3", "conv2d_99")
    with pytest.raises(ConversionError):
        convert(path)


def test_a_network_with_normalization_is_not_this_librarys():
    from keras_applications_networks import synthetic

    assert not DIALECT.recognise(synthetic([0.05, 0.05, 0.05]))
