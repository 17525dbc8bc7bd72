"""Networks that are asked one after another answer as they do alone, whatever sat there before."""

import numpy as np
import pytest
from random_donors import first_stages, photo_like, random_donor

from efn_compose.arch import HEAD_LAYER
from efn_compose.donors.group_norm import with_group_norm
from efn_compose.jobs.predictions.networks import Network
from efn_compose.jobs.predictions.panel import Panel
from efn_compose.statistics.standardise import with_standardised_kernels
from efn_compose.train.options import TrainOptions

SPEC = first_stages("b-w0.25-d0.25", 2)
IMAGES = photo_like(5)


def asked(donor, normalisation):
    """Return a network that was trained with a normalisation."""
    head = {
        name: values for name, values in donor.tensors.items() if name.startswith(f"{HEAD_LAYER}/")
    }
    shapes = {name: values.shape for name, values in head.items()}
    train = TrainOptions(normalisation=normalisation)
    return Network(
        normalisation, donor.spec, donor.conventions, shapes, lambda: (donor, head), 32, None, train
    )


@pytest.mark.slow
@pytest.mark.parametrize("kinds", [("standardised", "group"), ("group", "standardised")])
def test_a_network_does_not_get_the_standardised_kernels_of_another_one(kinds):
    plain = with_group_norm(random_donor(SPEC, 1, name="plain", classes=3))
    donors = {"group": plain, "standardised": with_standardised_kernels(plain)}
    panel = Panel([asked(donors[kind], kind) for kind in kinds])
    answers, _ = panel.ask({32: IMAGES}, np.arange(len(IMAGES)))
    for kind, answer in zip(kinds, answers, strict=True):
        # Plain layers of Keras, with the weights that the file holds.
        logits = donors[kind].build()(donors[kind].preprocess(IMAGES), training=False)
        wanted = np.exp(logits - np.max(logits, axis=1, keepdims=True))
        wanted /= wanted.sum(axis=1, keepdims=True)
        np.testing.assert_allclose(answer, wanted, atol=2e-6)
