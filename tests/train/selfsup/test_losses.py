"""Losses against the papers' formulas in plain float64, against lightly, and against differences."""

import numpy as np
import pytest
import tensorflow as tf

from efn_compose.train.selfsup.losses import cosine_loss, simclr_loss, vicreg_loss


def plain_vicreg(a, b, weights=(25.0, 25.0, 1.0)):
    """VICReg as its paper writes it, one dimension and one pair of dimensions at a time."""
    n, d = a.shape
    distance = sum(float(np.mean((a[i] - b[i]) ** 2)) for i in range(n)) / n
    spread = covariance = 0.0
    for z in (a, b):
        mean = [sum(z[:, j]) / n for j in range(d)]
        variance = [sum((z[i, j] - mean[j]) ** 2 for i in range(n)) / (n - 1) for j in range(d)]
        spread += sum(max(0.0, 1 - np.sqrt(v + 1e-4)) for v in variance) / d / 2
        for j in range(d):
            for k in range(d):
                if j != k:
                    c = sum((z[i, j] - mean[j]) * (z[i, k] - mean[k]) for i in range(n)) / (n - 1)
                    covariance += c**2 / d
    return weights[0] * distance + weights[1] * spread + weights[2] * covariance


def plain_simclr(a, b, temperature):
    """The normalised temperature-scaled cross-entropy, view by view."""
    z = [v / np.sqrt(v @ v) for v in (*a, *b)]
    n, total = len(a), 0.0
    for i in range(2 * n):
        others = [np.exp(z[i] @ z[j] / temperature) for j in range(2 * n) if j != i]
        total -= np.log(np.exp(z[i] @ z[(i + n) % (2 * n)] / temperature) / sum(others))
    return total / (2 * n)


def plain_cosine(a, b):
    return -np.mean([p @ q / np.sqrt(p @ p) / np.sqrt(q @ q) for p, q in zip(a, b, strict=True)])


CASES = {
    "vicreg": (vicreg_loss, plain_vicreg),
    "simclr": (
        lambda a, b: simclr_loss(a, b, temperature=0.2),
        lambda a, b: plain_simclr(a, b, 0.2),
    ),
    "cosine": (cosine_loss, plain_cosine),
}


def outputs(seed, count=7, dimensions=5, scale=1.0):
    rng = np.random.default_rng(seed)
    first = rng.normal(size=(count, dimensions)) * scale
    return first, first * 0.5 + rng.normal(size=first.shape) * scale


@pytest.mark.parametrize("name", CASES)
def test_a_loss_is_the_papers_formula(name):
    loss, plain = CASES[name]
    for seed, scale in enumerate((0.1, 1.0, 6.0)):
        a, b = outputs(seed, scale=scale)
        np.testing.assert_allclose(loss(tf.constant(a), tf.constant(b)), plain(a, b), rtol=1e-12)
        single = loss(tf.constant(a, tf.float32), tf.constant(b, tf.float32))
        np.testing.assert_allclose(single, plain(a, b), rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("name", CASES)
def test_a_gradient_is_the_limit_of_differences(name):
    loss, plain = CASES[name]
    a, b = outputs(3)
    with tf.GradientTape() as tape:
        values = [tf.constant(a), tf.constant(b)]
        tape.watch(values)
        found = loss(*values)
    for side, gradient in enumerate(tape.gradient(found, values)):
        for place in ((0, 0), (3, 2), (6, 4)):
            moved = []
            for step in (1e-5, -1e-5):
                pair = [a.copy(), b.copy()]
                pair[side][place] += step
                moved.append(plain(*pair))
            np.testing.assert_allclose(
                gradient[place], (moved[0] - moved[1]) / 2e-5, rtol=1e-6, atol=1e-9
            )


@pytest.mark.parametrize("name", CASES)
def test_the_order_of_a_batch_changes_nothing(name):
    loss, _ = CASES[name]
    a, b = outputs(4, count=16, dimensions=12)
    order = np.random.default_rng(0).permutation(16)
    one, other = (loss(tf.constant(x), tf.constant(y)) for x, y in ((a, b), (a[order], b[order])))
    np.testing.assert_allclose(one, other, rtol=1e-12)


@pytest.mark.slow
@pytest.mark.parity
def test_losses_are_those_of_lightly():
    import torch

    from converters.oracles.torch_models import declare_torchvision_operators

    declare_torchvision_operators()
    from lightly.loss import NegativeCosineSimilarity, NTXentLoss, VICRegLoss

    for seed in range(3):
        a, b = outputs(seed, count=32, dimensions=48)
        pair = torch.tensor(a), torch.tensor(b)
        for loss, oracle in (
            (vicreg_loss, VICRegLoss()),
            (lambda x, y: simclr_loss(x, y, 0.3), NTXentLoss(temperature=0.3)),
            (cosine_loss, NegativeCosineSimilarity()),
        ):
            np.testing.assert_allclose(
                loss(tf.constant(a), tf.constant(b)), oracle(*pair).item(), rtol=1e-6
            )
