"""Published policies: tables and operations as torchvision and Pillow have them."""

import numpy as np
import pytest
import scipy.stats as stats
import tensorflow as tf

from efn_compose.train.augment import AugmentOptions, augment, augment_with_masks
from efn_compose.train.augment.draws import Draws
from efn_compose.train.augment.policies.drawing import drawn_steps
from efn_compose.train.augment.policies.operations import apply_pixels, space_of
from efn_compose.train.augment.policies.sheet import operation_columns, strongest
from efn_compose.train.augment.policies.tables import AUTOAUGMENT, OPERATIONS, SIGNED, SPACES

#: Our names of torchvision's operations.
NAMES = {
    "Identity": "identity", "ShearX": "shear_x", "ShearY": "shear_y", "TranslateX": "shift_x",
    "TranslateY": "shift_y", "Rotate": "rotate", "Brightness": "brightness",
    "Color": "saturation", "Contrast": "contrast", "Sharpness": "sharpness",
    "Posterize": "posterize", "Solarize": "solarize", "AutoContrast": "autocontrast",
    "Equalize": "equalize", "Invert": "invert",
}  # fmt: skip
CHANGES = [
    ("brightness", 0.4), ("brightness", -0.7), ("saturation", 0.6), ("saturation", -0.9),
    ("contrast", 0.5), ("contrast", -0.5), ("sharpness", 0.9), ("sharpness", -0.9),
    ("posterize", 3), ("posterize", 8), ("solarize", 100), ("solarize", 0), ("autocontrast", 0),
    ("equalize", 0), ("invert", 0), ("identity", 0),
]  # fmt: skip
EXACT = ("posterize", "solarize", "equalize", "invert", "identity")


def pictures() -> np.ndarray:
    rng = np.random.default_rng(1)
    dull = rng.integers(60, 180, (24, 20, 3))
    steps = np.tile(np.arange(20)[None, :, None] * 9 + 30, (24, 1, 3))
    flat = np.full((24, 20, 3), 77)
    return np.stack([dull, steps, flat]).astype(np.uint8)


@pytest.fixture(scope="module")
def torchvision():
    from converters.oracles.torch_models import declare_torchvision_operators

    declare_torchvision_operators()
    import torchvision

    return torchvision


def pillow(image: np.ndarray, name: str, strength: float) -> np.ndarray:
    """Return what Pillow makes of an image."""
    from PIL import Image, ImageEnhance, ImageOps

    picture = Image.fromarray(image)
    enhancers = {
        "brightness": ImageEnhance.Brightness, "saturation": ImageEnhance.Color,
        "contrast": ImageEnhance.Contrast, "sharpness": ImageEnhance.Sharpness,
    }  # fmt: skip
    if name in enhancers:
        return np.asarray(enhancers[name](picture).enhance(1 + strength))
    functions = {
        "posterize": lambda p: ImageOps.posterize(p, int(strength)),
        "solarize": lambda p: ImageOps.solarize(p, int(strength)),
        "autocontrast": ImageOps.autocontrast,
        "equalize": ImageOps.equalize,
        "invert": ImageOps.invert,
        "identity": lambda p: p,
    }
    return np.asarray(functions[name](picture))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "strength"), CHANGES)
def test_values_change_as_pillow_changes_them(name, strength):
    images = pictures()
    number = tf.fill([3], OPERATIONS.index(name))
    found = apply_pixels(tf.cast(images, tf.float32), number, tf.fill([3], float(strength)))
    for image, ours in zip(images, found.numpy(), strict=True):
        theirs = pillow(image, name, strength).astype(float)
        # Pillow rounds down after each of up to three steps; we do not.
        assert np.abs(ours - theirs).max() <= (0.01 if name in EXACT else 1.6)


def test_strengths_in_space_are_degrees_tangents_and_shares_of_the_side():
    def space(name, strength):
        return space_of(tf.constant([OPERATIONS.index(name)]), tf.constant([strength]))[0].numpy()

    assert space("shear_x", 0.3)[0, 1] == pytest.approx(0.3)
    assert space("shear_y", -0.2)[1, 0] == pytest.approx(-0.2)
    # Coordinates reach from -1 to 1: the side is 2.
    assert space("shift_x", 0.25)[0, 2] == pytest.approx(0.5)
    assert space("shift_y", 0.25)[1, 2] == pytest.approx(0.5)
    assert space("rotate", 30.0)[0, 0] == pytest.approx(np.cos(np.pi / 6))
    assert space("posterize", 4.0) == pytest.approx(np.eye(3))


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(AUTOAUGMENT))
def test_tables_of_autoaugment_are_the_published_ones(torchvision, name):
    transforms = torchvision.transforms
    policy = transforms.AutoAugmentPolicy(name.removeprefix("autoaugment_"))
    theirs = transforms.AutoAugment(policy)
    side = 331
    space = theirs._augmentation_space(10, (side, side))
    assert len(AUTOAUGMENT[name]) == len(theirs.policies) == 25
    for ours, steps in zip(AUTOAUGMENT[name], theirs.policies, strict=True):
        for (operation, chance, strength), (other, probability, level) in zip(
            ours, steps, strict=True
        ):
            assert (operation, chance) == (NAMES[other], probability)
            values, is_signed = space[other]
            assert is_signed == (operation in SIGNED)
            if level is None:
                continue
            wanted = float(values[level]) / (side if "Translate" in other else 1)
            assert strength == pytest.approx(wanted, rel=1e-4, abs=1e-4)


@pytest.mark.slow
def test_the_wide_space_is_the_published_one(torchvision):
    theirs = torchvision.transforms.TrivialAugmentWide()._augmentation_space(31)
    ours = {row.operation: row for row in SPACES["trivial_wide"]}
    assert {NAMES[name] for name in theirs} == set(ours)
    for name, (values, is_signed) in theirs.items():
        row = ours[NAMES[name]]
        assert is_signed == (row.operation in SIGNED)
        if values.ndim:
            share = 32 if "Translate" in name else 1
            assert row.weakest == pytest.approx(float(values[0]) / share)
            assert row.strongest == pytest.approx(float(values[-1]) / share)


@pytest.mark.slow
def test_operations_levels_and_signs_are_drawn_alike_often():
    [(operation, strength)] = drawn_steps(Draws(tf.range(30_000), 0, 1), "trivial")
    operation, strength = operation.numpy(), strength.numpy()
    counts = np.bincount(operation, minlength=len(OPERATIONS))
    assert counts[OPERATIONS.index("invert")] == 0
    assert stats.chisquare(counts[counts > 0]).pvalue > 1e-3
    angles = strength[operation == OPERATIONS.index("rotate")]
    assert set(np.round(np.abs(angles)).astype(int)) == set(range(31))
    assert abs((angles > 0).sum() - (angles < 0).sum()) < 5 * np.sqrt(len(angles))
    bits = strength[operation == OPERATIONS.index("posterize")]
    assert set(bits) == {4, 5, 6, 7, 8}
    first, _ = drawn_steps(Draws(tf.range(30_000), 0, 1), "autoaugment_svhn")
    table = [steps[0] for steps in AUTOAUGMENT["autoaugment_svhn"]]
    share = np.mean([chance for name, chance, _ in table if name == "invert"] or [0])
    share *= sum(name == "invert" for name, _, _ in table) / 25
    found = (first[0].numpy() == OPERATIONS.index("invert")).mean()
    assert found == pytest.approx(share, abs=0.015)


@pytest.mark.slow
@pytest.mark.parametrize("policy", [*SPACES, "autoaugment_imagenet"])
def test_a_policy_is_an_augmentation_like_any_other(policy):
    images, numbers = tf.constant(pictures()), tf.constant([5, 6, 7])
    options = AugmentOptions(auto=policy)
    seen = augment(images, numbers, options, seed=2, epoch=3).numpy()
    order = [2, 0]
    some = augment(tf.gather(images, order), tf.gather(numbers, order), options, seed=2, epoch=3)
    np.testing.assert_allclose(some.numpy(), seen[order], atol=0.01)
    assert seen.min() >= 0 and seen.max() <= 255
    masks = tf.ones((3, 24, 20), tf.uint8)
    again, moved = augment_with_masks(images, masks, numbers, options, seed=2, epoch=3)
    np.testing.assert_array_equal(again.numpy(), seen)
    assert set(np.unique(moved)) <= {1, 255}


@pytest.mark.slow
@pytest.mark.parametrize("policy", [*SPACES, *AUTOAUGMENT])
def test_the_contact_sheet_has_each_operation_at_its_strongest(policy):
    columns = operation_columns(pictures()[:, :20], policy)
    sizes = strongest(policy)
    assert len(columns) == len(sizes) + len(SIGNED & sizes.keys())
    assert all(column.images.shape == (3, 20, 20, 3) for column in columns)
    if policy in SPACES:
        assert sizes == {row.operation: row.strongest for row in SPACES[policy]}
    inverted = [column for column in columns if column.caption == "invert"]
    for column in inverted:
        np.testing.assert_array_equal(column.images, 255 - pictures()[:, :20])
