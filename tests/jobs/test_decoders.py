"""Attach and detach: same bytes, same bits at every tap, same logits, refusals in full."""

import json

import keras
import numpy as np
import pytest
from random_donors import LITE, photo_like, random_donor
from tiny_recipe import tiny_donor

import efn_compose
from efn_compose.arch import DecoderSpec, arch_spec, feature_points
from efn_compose.donors import load_donor
from efn_compose.donors.unet import decoder_of, joined, parted
from efn_compose.errors import (
    FurtherPartError,
    IncompatibleDonorsError,
    NestingError,
    SeedingError,
)
from efn_compose.jobs.decoders import attach, detach
from efn_compose.jobs.search.preparation import prepare
from efn_compose.models import model_variables
from efn_compose.models.unet import build_unet
from efn_compose.nesting.running.forward import NumpyNetwork
from efn_compose.nesting.running.weight_source import WeightSource
from efn_compose.store import WeightFile, WeightHeader, write_weights


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "float64"])
@pytest.mark.parametrize("kind", ["classic", "mirror"])
def test_detaching_what_was_attached_gives_the_same_bytes(tmp_path, kind, dtype):
    donor = tiny_donor()
    header = WeightHeader(
        donor.spec, donor.conventions, donor.classes, {"licence": "MIT"}, {"donors": ["a"]}, dtype
    )
    origins = {"stem": np.arange(donor.spec.stem_channels, dtype=np.uint8)}
    write_weights(tmp_path / "a.h5", header, donor.tensors, donor_map=origins)
    made = attach(tmp_path / "a.h5", tmp_path / "u.h5", kind=kind, outputs=3)
    assert (tmp_path / "u.h5").read_bytes() != (tmp_path / "a.h5").read_bytes()
    unet = load_donor(tmp_path / "u.h5")
    assert decoder_of(unet) == DecoderSpec(kind, outputs=3) == made.decoder
    found = detach(tmp_path / "u.h5", tmp_path / "b.h5", original=tmp_path / "a.h5")
    assert (tmp_path / "b.h5").read_bytes() == (tmp_path / "a.h5").read_bytes()
    assert found.changed == () and found.left_out == made.decoder_tensors
    assert found.kept == len(donor.tensors)
    with WeightFile(tmp_path / "u.h5") as file:
        np.testing.assert_array_equal(file.read_donor_map()["stem"], origins["stem"])


def test_equal_seeds_draw_equal_decoders_and_others_others(tmp_path):
    random_donor(LITE).save(tmp_path / "a.h5")
    for name, seed in (("u", 1), ("v", 1), ("w", 2)):
        made = attach(tmp_path / "a.h5", tmp_path / f"{name}.h5", seed=seed)
        assert made.decoder.kind == "classic", "as a training draws it"
    u, v, w = ((tmp_path / f"{name}.h5").read_bytes() for name in "uvw")
    assert u == v != w


def test_fresh_decoders_keep_the_spread_of_what_they_read():
    """He et al. 2015: half of a sum's variance is lost in a ReLU, and drawn back by the next kernel."""
    donor = random_donor("b-w0.25-d0.3", classes=None)
    shapes = efn_compose.donors.unet.drawn_decoder(donor, DecoderSpec(), seed=1)
    below, skip = (shapes[f"decoder_step1_first{part}_conv/kernel"] for part in ("", "_skip"))
    count = np.prod(below.shape[:3]) + np.prod(skip.shape[:3])
    for kernel in (below, skip):
        assert np.var(kernel) == pytest.approx(2 / count, rel=0.02)


@pytest.mark.slow
def test_the_encoder_in_the_unet_has_the_same_bits_at_every_tap_and_the_same_logits(tmp_path):
    donor = random_donor(LITE)
    donor.save(tmp_path / "a.h5")
    attach(tmp_path / "a.h5", tmp_path / "u.h5", kind="mirror")
    detach(tmp_path / "u.h5", tmp_path / "b.h5")
    unet, bare = joined(load_donor(tmp_path / "u.h5")), load_donor(tmp_path / "b.h5")
    points = feature_points(donor.spec)
    network = build_unet(unet.spec, unet.conventions, input_shape=(33, 33, 3))
    for name, variable in model_variables(network, unet.spec, None, has_top=False).items():
        variable.assign(unet.tensors[name])
    plain = bare.build((33, 33, 3))
    x = bare.preprocess(photo_like(3, 33))
    taps = [
        keras.Model(one.input, [one.get_layer(point.layer).output for point in points])(x)
        for one in (network, plain)
    ]
    for mine, theirs in zip(*taps, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    np.testing.assert_array_equal(plain(x), donor.build((33, 33, 3))(x))


def test_joining_and_parting_leave_a_donor_as_it_was(tmp_path):
    random_donor(LITE).save(tmp_path / "a.h5")
    attach(tmp_path / "a.h5", tmp_path / "u.h5", kind="mirror")
    donor = load_donor(tmp_path / "u.h5")
    assert parted(joined(donor)).fingerprint == donor.fingerprint
    masks = NumpyNetwork(WeightSource.of(joined(donor))).masks(donor.preprocess(photo_like(1, 32)))
    assert masks.shape == (1, 32, 32, 2) and masks.std() > 0


@pytest.mark.slow
def test_a_detached_file_opens_in_keras_applications_and_is_seeded(tmp_path):
    donor = random_donor("b0", classes=4, images=photo_like(8, 64))
    donor.save(tmp_path / "a.h5")
    attach(tmp_path / "a.h5", tmp_path / "u.h5", kind="mirror")
    detach(tmp_path / "u.h5", tmp_path / "b.h5")
    x = photo_like(2, 64).astype(np.float32)
    expected = donor.build(include_top=False)
    theirs = keras.applications.EfficientNetB0(
        include_top=False, weights=str(tmp_path / "b.h5"), input_shape=(64, 64, 3)
    )
    scale = np.abs(wanted := np.asarray(expected(donor.preprocess(x)))).max()
    assert np.abs(theirs(x) - wanted).max() < 4.4e-5 * scale
    efn_compose.seed(theirs, tmp_path / "b.h5")
    wrong = keras.applications.EfficientNetV2B0(weights=None, include_top=False)
    with pytest.raises((NestingError, SeedingError), match=r"\n") as caught:
        efn_compose.seed(wrong, tmp_path / "b.h5")
    assert str(caught.value).count("\n") > 3, "every reason is listed"


def test_what_cannot_be_attached_or_detached_is_refused(tmp_path, capsys):
    random_donor(LITE).save(tmp_path / "a.h5")
    attach(tmp_path / "a.h5", tmp_path / "u.h5", kind="mirror")
    with pytest.raises(FurtherPartError, match="has a decoder already"):
        attach(tmp_path / "u.h5", tmp_path / "v.h5")
    with pytest.raises(FurtherPartError, match="no decoder to take off; it has backbone, head"):
        detach(tmp_path / "a.h5", tmp_path / "v.h5")
    with pytest.raises(NestingError, match="source file"):
        detach(tmp_path / "u.h5", tmp_path / "u.h5")
    assert not (tmp_path / "v.h5").exists()
    donor = load_donor(tmp_path / "u.h5")
    part = donor.parts["decoder"]
    strange = donor.replace(
        parts={"decoder": type(part)(part.tensors, {**part.settings, "kind": "unet++"})}
    )
    with pytest.raises(FurtherPartError, match="allowed 'classic' or 'mirror'"):
        decoder_of(strange)
    narrower = donor.replace(
        parts={"decoder": type(part)(part.tensors, {**part.settings, "outputs": 9})}
    )
    with pytest.raises(FurtherPartError, match="are not those of"):
        decoder_of(narrower)
    assert arch_spec(LITE).decoder is None


def test_searches_and_soups_say_how_to_take_decoders_off(tmp_path):
    for name, seed in (("a", 0), ("b", 1)):
        random_donor(LITE, seed=seed).save(tmp_path / f"{name}_bare.h5")
        attach(tmp_path / f"{name}_bare.h5", tmp_path / f"{name}.h5", kind="mirror")
    unets, mixed = (
        [str(tmp_path / f"{name}.h5") for name in pair] for pair in ("ab", ["a", "b_bare"])
    )
    for files, error in ((unets, FurtherPartError), (mixed, IncompatibleDonorsError)):
        with pytest.raises(error, match="efn-compose detach FILE -o OUT") as refused:
            prepare(None, [f"donors.files={json.dumps(files)}"])
        assert "nest" not in str(refused.value)
        with pytest.raises(FurtherPartError, match=r"a soup cannot .* efn-compose detach FILE"):
            efn_compose.soup(files, output=tmp_path / "soup.h5")
    assert not (tmp_path / "soup.h5").exists()
