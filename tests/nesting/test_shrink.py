"""Cutting: exact where the theorem says nothing is lost, refused where it makes no sense."""

import numpy as np
import pytest
from float64_networks import float64_donor, logits_of, random_images, relative_difference

from efn_compose.arch import arch_spec
from efn_compose.errors import DataError, NestingError
from efn_compose.nesting import nest, shrink
from efn_compose.nesting.reducing.reduction import choose_repeats
from efn_compose.nesting.running.verify import random_pixels

PAIRS = [
    ("b-w0.3-d0.3", "b-w0.5-d0.6"),
    ("lite-w0.25-d0.3", "lite-w0.4-d0.6"),
    ("v2-b-w0.4-d0.6", "v2-b-w0.6-d1.1"),
    ("edge-w0.3-d0.3", "edge-w0.5-d0.6"),
]


@pytest.mark.parametrize(("small", "large"), PAIRS)
@pytest.mark.parametrize("with_images", [False, True])
def test_cutting_a_nested_donor_out_again_gives_its_function(small, large, with_images):
    """What was added is dead, so principal axes, saliency and refit must all find the donor."""
    donor = float64_donor(small, images=random_pixels(24, 48, seed=1000))
    nested = nest(donor, large, fill="zero", positions="random", extra_repeats="interleaved")
    again = shrink(nested, small, images=random_pixels(12, 48) if with_images else None)
    assert again.spec == donor.spec
    inputs = donor.preprocess(random_pixels(4, 48, seed=9))
    expected = logits_of(donor, inputs)
    assert relative_difference(logits_of(again, inputs), expected) < 1e-3
    assert again.provenance["steps"][-1]["agreement"]["correlation"] > 0.999


def test_fitting_on_images_brings_outputs_nearer():
    donor = float64_donor("b-w0.4-d0.6", side=32)
    pixels = random_pixels(40, 32)
    unseen = donor.preprocess(random_pixels(32, 32, seed=7))
    expected = logits_of(donor, unseen)

    def error(small):
        return float(np.square(logits_of(small, unseen) - expected).mean())

    plain, fitted = (shrink(donor, "b-w0.3-d0.3", images=given) for given in (None, pixels))
    assert error(fitted) < 0.5 * error(plain)
    assert not plain.provenance["steps"][-1]["refitted"]
    assert fitted.provenance["steps"][-1]["refitted"]


def test_the_reported_agreement_is_that_of_held_out_images():
    donor = float64_donor("lite-w0.35-d0.6", side=32)
    pixels = random_pixels(16, 32)
    small = shrink(donor, "lite-w0.25-d0.3", images=pixels)
    reported = small.provenance["steps"][-1]["agreement"]
    held_out = donor.preprocess(pixels[-4:])
    first, second = (
        logits - logits.mean(axis=0)
        for logits in (logits_of(donor, held_out), logits_of(small, held_out))
    )
    expected = (first * second).sum() / (np.linalg.norm(first) * np.linalg.norm(second))
    assert reported["image_count"] == 4
    assert reported["correlation"] == pytest.approx(expected, abs=1e-3)


def test_first_and_strongest_repeats_stay_in_order():
    donor, target = arch_spec("lite2"), arch_spec("lite0")
    shares = {block.name: 0.1 for block in donor.blocks}
    shares |= {"stage6_block5": 0.9, "stage6_block2": 0.5, "stage6_block4": 0.7}
    kept = choose_repeats(donor, target, shares)
    assert [kept[f"stage6_block{n}"] for n in (1, 2, 3, 4)] == [
        "stage6_block1",
        "stage6_block2",
        "stage6_block4",
        "stage6_block5",
    ]


def test_depth_only_cut_keeps_tensors_bit_for_bit():
    donor = float64_donor("lite-w0.25-d1.1")
    donor = donor.replace(tensors={k: v.astype(np.float32) for k, v in donor.tensors.items()})
    small = shrink(donor, "lite-w0.25-d1.0")
    kept = small.provenance["steps"][-1]["kept_blocks"]
    for name, values in small.tensors.items():
        block = "_".join(name.split("_")[:2])
        original = name.replace(block, kept[block], 1) if block in kept else name
        assert np.array_equal(values, donor.tensors[original]), name


@pytest.mark.parametrize(
    ("large", "small", "reason"),
    [
        ("lite-w0.25-d0.3", "lite-w0.35-d0.3", "cannot be cut from"),
        ("lite-w0.35-d0.3", "lite-w0.35-d0.6", "repeats do not fit"),
        ("b-w0.3-d0.3", "b-w0.1-d0.3", "only one network"),
    ],
)
def test_impossible_cuts_are_refused(large, small, reason):
    with pytest.raises(NestingError, match=reason):
        shrink(float64_donor(large), small)


@pytest.mark.parametrize("images", [np.zeros((2, 32, 32, 3)), np.zeros((8, 32, 32))])
def test_unusable_images_are_refused(images):
    with pytest.raises(DataError, match="at least four images"):
        shrink(float64_donor("lite-w0.35-d0.3"), "lite-w0.25-d0.3", images=images)


def test_headless_networks_can_be_cut():
    donor = float64_donor("b-w0.4-d0.6", classes=None)
    small = shrink(donor, "b-w0.3-d0.3")
    assert small.classes is None
    assert logits_of(small, random_images()).shape == (6, small.spec.feature_channels)
