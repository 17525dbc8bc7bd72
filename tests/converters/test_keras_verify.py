"""`--verify` on the Keras side: right conversions pass far below the gates, planted mistakes fail."""

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest
from keras_applications_networks import V1, V2, V2_S, build
from keras_oracles import pixels, randomise

from converters import convert
from converters.oracles import NoOracleError, oracle_for
from converters.reading.conversion import Conversion
from converters.reading.verification import structural_check, verify
from efn_compose.arch import PREPROCESSINGS

pytestmark = pytest.mark.parity
SIZES = ((64, 64), (65, 65), (48, 65))
#: Even and odd, square and not: for networks whose padding follows the same rule as V1's.
TWO_SIZES = ((64, 64), (49, 65))


def conversion_of(variant: str, path) -> Conversion:
    model = build("keras", variant)
    randomise(model, pixels(seed=1, count=8))
    model.save(path)
    return convert(path)


@pytest.fixture(scope="module")
def v1(tmp_path_factory) -> Conversion:
    return conversion_of(V1, tmp_path_factory.mktemp("v1") / "net.keras")


@pytest.fixture(scope="module")
def reference(v1):
    oracle = oracle_for("keras_applications", v1.donor, v1.raw)
    images = v1.donor.preprocess(pixels()).astype(np.float64)
    return oracle, images, oracle.run(images, "float64"), oracle.preprocess(pixels())


def test_v1_agrees_in_float64_at_every_size_and_in_scaling(v1):
    found = verify(v1, sizes=SIZES)
    assert found.passed
    assert [check.dtype for check in found.checks].count("float64") == 3
    assert max(check.error for check in found.checks if check.dtype == "float64") < 1e-12
    assert found.preprocessing_error < 1e-5


@pytest.mark.parametrize("variant", [V2, V2_S])
def test_v2_agrees_in_float64_at_every_size(tmp_path, variant):
    found = verify(conversion_of(variant, tmp_path / "net.keras"), sizes=TWO_SIZES)
    assert found.passed
    assert max(check.error for check in found.checks if check.dtype == "float64") < 1e-12


def test_qubvel_agrees_in_float64(tmp_path):
    pytest.importorskip("efficientnet.tfkeras")
    from efficientnet import inject_tfkeras_modules
    from efficientnet.model import EfficientNet

    model = inject_tfkeras_modules(EfficientNet)(
        0.1, 0.3, 64, weights=None, input_shape=(64, 64, 3), classes=7
    )
    randomise(model, pixels(seed=1, count=8) / 64 - 2)
    model.save_weights(tmp_path / "net.weights.h5")
    found = verify(convert(tmp_path / "net.weights.h5"), sizes=TWO_SIZES)
    assert found.passed
    assert found.library.startswith("efficientnet ")
    assert len(found.checks) == 3


def _tensor(name: str, change: Callable[[np.ndarray], np.ndarray]):
    def plant(conversion: Conversion) -> Conversion:
        donor = conversion.donor
        tensors = {**donor.tensors, name: np.ascontiguousarray(change(donor.tensors[name]))}
        return dataclasses.replace(conversion, donor=donor.replace(tensors=tensors))

    return plant


def _rule(**fields: object):
    def plant(conversion: Conversion) -> Conversion:
        donor = conversion.donor
        rules = dataclasses.replace(donor.conventions, **fields)
        return dataclasses.replace(conversion, donor=donor.replace(conventions=rules))

    return plant


def _swapped(one: str, other: str):
    def plant(conversion: Conversion) -> Conversion:
        donor = conversion.donor
        tensors = dict(donor.tensors)
        tensors[one], tensors[other] = tensors[other], tensors[one]
        return dataclasses.replace(conversion, donor=donor.replace(tensors=tensors))

    return plant


@pytest.mark.parametrize(
    "plant",
    [
        _rule(padding="symmetric"),
        _rule(bn_epsilon=1e-5),
        _rule(activation="relu6"),
        _rule(preprocessing=PREPROCESSINGS["lite"]),
        _swapped("stage2_block1_expand_bn/gamma", "stage2_block1_expand_bn/beta"),
        _tensor("stage3_block1_depthwise_conv/depthwise_kernel", lambda a: a.transpose(1, 0, 2, 3)),
        _tensor("stem_conv/kernel", lambda a: a[:, :, ::-1]),
        _tensor("top_bn/gamma", lambda a: a.astype(np.float16).astype(np.float32)),
    ],
    ids=["padding", "epsilon", "activation", "scaling", "gamma-beta", "H-W", "BGR", "half"],
)
def test_planted_mistakes_do_not_pass(v1, reference, plant):
    oracle, images, logits, scaled = reference
    donor = plant(v1).donor
    # The oracle's answers do not depend on the donor: computed once.
    frozen = dataclasses.replace(oracle, run=lambda *_: logits)
    wrong_model = structural_check(donor, frozen, images).error > 1e-6
    error = np.abs(donor.preprocess(pixels()) - scaled).max()
    assert wrong_model or error > 1e-2
    assert structural_check(v1.donor, frozen, images).passed


def test_a_headless_file_and_a_foreign_network_have_no_oracle(v1):
    with pytest.raises(NoOracleError, match="no classifier"):
        oracle_for("keras_applications", v1.donor.without_head(), v1.raw)
    custom = dataclasses.replace(v1.donor.spec, variant="custom")
    with pytest.raises(NoOracleError, match="custom"):
        oracle_for("keras_applications", v1.donor.replace(spec=custom), v1.raw)
