"""The losses of masks: another library's where definitions agree, brute force where they do not."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

from efn_compose.train.objectives.mask_losses import MASK_LOSSES

pytestmark = pytest.mark.slow


def example(classes, seed=0, ignored=0.0, count=3):
    """Return random logits and masks in which every class occurs."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(count, 5, 6, classes)).astype(np.float32) * 2
    masks = rng.integers(0, classes, (count, 5, 6)).astype(np.uint8)
    masks[0, 0, :classes] = np.arange(classes)
    masks[rng.random(masks.shape) < ignored] = 255
    return logits, masks


def ours(name, logits, masks):
    """Return a loss as the mean over images."""
    return float(MASK_LOSSES[name](tf.constant(logits), tf.constant(masks))) / len(logits)


@pytest.mark.parity
@pytest.mark.parametrize("classes", [2, 4])
def test_losses_are_those_of_segmentation_models_pytorch_where_definitions_agree(classes):
    from converters.oracles.torch_models import declare_torchvision_operators

    declare_torchvision_operators()
    import torch
    from segmentation_models_pytorch import losses

    logits, masks = example(classes)
    theirs = torch.from_numpy(logits.transpose(0, 3, 1, 2).copy())
    wanted = torch.from_numpy(masks.astype(np.int64))
    # Their smoothing counts on both halves of Dice, as ours does.
    expected = {
        "cross_entropy": torch.nn.functional.cross_entropy(theirs, wanted),
        "dice": losses.DiceLoss("multiclass", smooth=1.0)(theirs, wanted),
        "tversky": losses.TverskyLoss("multiclass", smooth=1.0, alpha=0.3, beta=0.7)(
            theirs, wanted
        ),
    }
    if classes == 2:
        margin = theirs[:, 1] - theirs[:, 0]
        expected["lovasz"] = losses.LovaszLoss("binary", per_image=False)(margin, wanted)
    else:
        expected["lovasz"] = losses.LovaszLoss("multiclass", per_image=False)(theirs, wanted)
    for name, value in expected.items():
        assert ours(name, logits, masks) == pytest.approx(float(value), rel=1e-5), name
    # Definitions differ: of classes that are nowhere they take 0 into the mean, we leave them out; their
    # focal loss is a sigmoid per class, ours weighs the softmax.
    masks[masks == 1] = 0
    absent = losses.DiceLoss("multiclass", smooth=1.0)(theirs, torch.from_numpy(masks.astype(int)))
    share = len(np.unique(masks)) / classes
    assert ours("dice", logits, masks) == pytest.approx(float(absent) / share, rel=1e-5)


def test_focal_loss_is_its_formula():
    logits, masks = example(3, ignored=0.2)
    shares = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    means = []
    for share, mask in zip(shares, masks, strict=True):
        p = [share[y, x, mask[y, x]] for y, x in np.argwhere(mask != 255)]
        means.append(np.mean([-((1 - one) ** 2) * np.log(one) for one in p]))
    assert ours("focal", logits, masks) == pytest.approx(np.mean(means), rel=1e-5)


def test_lovasz_of_hard_answers_is_one_minus_iou():
    """The extension agrees with the set function on its corners (Berman et al. 2018, eq. 8)."""
    for bits in itertools.islice(itertools.product((0, 1), repeat=8), 0, 256, 5):
        true, found = np.array(bits[:4], np.uint8), np.array(bits[4:])
        if not true.any():
            continue
        logits = np.where(np.eye(3)[found + 1], 40.0, -40.0).astype(np.float32)
        masks = (true + 1).astype(np.uint8)
        scores = []
        for number in np.unique(masks):
            mine, theirs = found + 1 == number, masks == number
            scores.append(1 - (mine & theirs).sum() / (mine | theirs).sum())
        value = ours("lovasz", logits[None, None], masks[None, None])
        assert value == pytest.approx(np.mean(scores), abs=1e-6)


@pytest.mark.parametrize("name", MASK_LOSSES)
def test_gradients_are_those_of_finite_differences(name):
    logits, masks = example(3 if name != "lovasz" else 2, seed=4, ignored=0.1, count=2)
    variable = tf.Variable(logits)
    with tf.GradientTape() as tape:
        loss = MASK_LOSSES[name](variable, tf.constant(masks))
    gradient = tape.gradient(loss, variable).numpy()
    rng = np.random.default_rng(0)
    step = 2e-3
    for _ in range(6):
        direction = rng.normal(size=logits.shape).astype(np.float32)
        direction /= np.linalg.norm(direction)
        high, low = (
            float(
                MASK_LOSSES[name](tf.constant(logits + sign * step * direction), tf.constant(masks))
            )
            for sign in (1, -1)
        )
        slope = float((gradient * direction).sum())
        assert (high - low) / (2 * step) == pytest.approx(slope, abs=5e-3 * max(1, abs(slope)))


@pytest.mark.parametrize("name", MASK_LOSSES)
def test_ignored_pixels_change_nothing(name):
    logits, masks = example(3, ignored=0.3)
    other = logits.copy()
    other[masks == 255] = np.random.default_rng(9).normal(size=((masks == 255).sum(), 3)) * 50
    assert ours(name, other, masks) == pytest.approx(ours(name, logits, masks), rel=1e-6)
    nothing = np.full_like(masks, 255)
    assert ours(name, logits, nothing) == 0


@pytest.mark.parametrize("name", MASK_LOSSES)
def test_a_better_answer_has_a_smaller_loss(name):
    _, masks = example(3)
    right = np.eye(3, dtype=np.float32)[masks]
    assert (
        ours(name, 6 * right, masks) < ours(name, 0 * right, masks) < ours(name, -6 * right, masks)
    )
