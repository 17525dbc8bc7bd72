"""Nested and aligned networks carry their decoder along: the masks stay as they are."""

import numpy as np
import pytest
from float64_networks import float64_donor, random_images
from random_donors import photo_like, random_donor

from efn_compose.arch import DecoderSpec, arch_spec
from efn_compose.cli import main
from efn_compose.donors import load_donor
from efn_compose.donors.alignment.align import align
from efn_compose.donors.harmonise import harmonise
from efn_compose.donors.unet import attached, decoder_of, joined
from efn_compose.errors import FurtherPartError
from efn_compose.nesting import nest, shrink
from efn_compose.nesting.direct_sum import direct_sum
from efn_compose.nesting.running.forward import NumpyNetwork
from efn_compose.nesting.running.verify import random_pixels, verify_nesting
from efn_compose.nesting.running.weight_source import WeightSource
from efn_compose.nesting.to_file import nest_to_file

pytestmark = pytest.mark.slow
SMALL, LARGE = "b-w0.3-d0.3", "b-w0.6-d1.1"
#: Of float64, in units of how much the masks vary.
TOLERANCE = 5e-13


def masks(donor, inputs):
    return NumpyNetwork(WeightSource.of(donor)).masks(inputs)


def in_float64(donor):
    part = donor.parts["decoder"]
    wide = {name: values.astype("float64") for name, values in part.tensors.items()}
    return donor.replace(parts={"decoder": type(part)(wide, part.settings)})


def difference(found, expected):
    return np.abs(found - expected).max() / expected.std()


@pytest.mark.parametrize("fill", ["he", "replicate", "zero"])
@pytest.mark.parametrize("kind", ["classic", "mirror"])
def test_a_nested_unet_draws_the_same_masks(kind, fill):
    small = attached(float64_donor(SMALL, classes=3), DecoderSpec(kind, outputs=2), seed=1)
    large = nest(small, LARGE, fill=fill, positions="random", dtype="float64")
    assert large.spec == arch_spec(LARGE) and decoder_of(large) == decoder_of(small)
    inputs = random_images(2)
    assert difference(masks(large, inputs), masks(small, inputs)) < TOLERANCE
    first = "decoder_step1_" + ("first" if kind == "classic" else "expand") + "_conv/kernel"
    read = joined(large).tensors[first].shape[2]
    assert read == large.spec.blocks[-1].out_channels > small.spec.blocks[-1].out_channels


def test_b0_with_a_decoder_in_b3():
    small = attached(float64_donor("b0", classes=None), DecoderSpec("mirror"), seed=1)
    large = nest(small, "b3", dtype="float64")
    inputs = random_images(1)
    assert difference(masks(large, inputs), masks(small, inputs)) < TOLERANCE


def test_a_nested_file_has_the_decoder_too(tmp_path):
    small = attached(random_donor(SMALL, classes=3), DecoderSpec("mirror", outputs=2), seed=1)
    small.save(tmp_path / "small.h5")
    nest_to_file(tmp_path / "small.h5", LARGE, tmp_path / "large.h5")
    stored, made = load_donor(tmp_path / "large.h5"), nest(small, LARGE)
    assert stored.part_names == ("backbone", "head", "decoder")
    assert stored.fingerprint == made.fingerprint


def test_the_verb_compares_masks_too(tmp_path):
    small = attached(random_donor(SMALL, classes=3), DecoderSpec("mirror", outputs=2), seed=1)
    small.save(tmp_path / "small.h5")
    command = ["nest", str(tmp_path / "small.h5"), "--into", LARGE, "--quiet", "--verify"]
    assert main([*command, "-o", str(tmp_path / "large.h5")]) == 0
    # One kernel of the decoder is damaged: classifier and encoder still agree.
    large = load_donor(tmp_path / "large.h5")
    part = large.parts["decoder"]
    tensors = dict(part.tensors)
    name = next(name for name in tensors if name.endswith("conv/kernel"))
    tensors[name] = tensors[name] * np.float32(1.05)
    damaged = large.replace(parts={"decoder": type(part)(tensors, part.settings)})
    inputs = random_images(2)
    logits = [NumpyNetwork(WeightSource.of(one)).run(inputs) for one in (large, damaged)]
    assert np.array_equal(*logits)
    assert (
        verify_nesting(large, [small]).relative < 1e-3 < verify_nesting(damaged, [small]).relative
    )


def test_the_verb_cuts_a_file_with_its_decoder(tmp_path):
    attached(random_donor(LARGE, classes=3), DecoderSpec("mirror"), seed=1).save(tmp_path / "u.h5")
    command = ["shrink", str(tmp_path / "u.h5"), "--into", SMALL, "--quiet"]
    assert main([*command, "-o", str(tmp_path / "small.h5")]) == 0
    small = load_donor(tmp_path / "small.h5")
    assert small.part_names == ("backbone", "head", "decoder") and small.spec == arch_spec(SMALL)
    assert decoder_of(small) == DecoderSpec("mirror")
    assert np.isfinite(masks(small, random_images(1))).all()


@pytest.mark.parametrize("method", ["procrustes", "permutation"])
@pytest.mark.parametrize("kind", ["classic", "mirror"])
def test_an_aligned_unet_draws_the_same_masks(kind, method):
    images = photo_like(24, 33, seed=1000)
    donors = [
        attached(
            random_donor("b-w0.1-d0.3", seed, name=f"d{seed}", images=images, dtype="float64"),
            DecoderSpec(kind),
            seed,
        )
        for seed in (1, 2)
    ]
    donors = [in_float64(donor) for donor in donors]
    aligned = align(donors, images, method=method).donors[1]
    inputs = donors[1].preprocess(photo_like(4, 33, seed=3)).astype("float64")
    assert difference(masks(aligned, inputs), masks(donors[1], inputs)) < 1e-9
    skip = "decoder_step1_" + ("first" if kind == "classic" else "expand") + "_skip_conv/kernel"
    before, after = (d.parts["decoder"].tensors[skip] for d in (donors[1], aligned))
    assert np.abs(after - before).max() > 1e-3


@pytest.mark.parametrize("with_images", [False, True])
@pytest.mark.parametrize("kind", ["classic", "mirror"])
def test_a_nested_unet_cut_out_again_draws_the_same_masks(kind, with_images):
    """What nesting added is dead, so cutting must find the donor: encoder, skips and decoder."""
    base = float64_donor(SMALL, classes=None, images=random_pixels(24, 48, seed=1000))
    small = in_float64(attached(base, DecoderSpec(kind, outputs=2), seed=1))
    large = nest(small, LARGE, fill="zero", positions="random")
    again = shrink(large, SMALL, images=random_pixels(12, 48) if with_images else None)
    assert again.spec == small.spec and decoder_of(again) == decoder_of(small)
    inputs = small.preprocess(random_pixels(3, 48, seed=9))
    assert difference(masks(again, inputs), masks(small, inputs)) < 1e-3
    assert again.provenance["steps"][-1]["agreement"]["mask_correlation"] > 0.99


def test_harmonising_folds_epsilon_in_the_decoder_too():
    donor = attached(random_donor(SMALL, bn_epsilon=1e-5), DecoderSpec(), seed=1)
    (same,) = harmonise([donor], bn_epsilon=1e-3)
    inputs = donor.preprocess(photo_like(2, 33))
    assert same.conventions.bn_epsilon == 1e-3
    assert difference(masks(same, inputs), masks(donor, inputs)) < 1e-4


def test_what_cannot_carry_a_decoder_says_so():
    donor = attached(random_donor(SMALL), DecoderSpec("mirror"), seed=1)
    whole = attached(random_donor(SMALL), DecoderSpec("mirror", repeats="all"), seed=1)
    projector = type(donor.parts["decoder"])({"projector_1/kernel": np.zeros((8, 4), "float32")})
    with pytest.raises(FurtherPartError, match="cutting a network smaller"):
        shrink(donor.replace(parts={"projector": projector}), "b-w0.1-d0.3")
    with pytest.raises(FurtherPartError, match="side by side"):
        direct_sum(donor, random_donor(SMALL, 2), LARGE)
    with pytest.raises(FurtherPartError, match="adding repeats"):
        nest(whole, LARGE)
