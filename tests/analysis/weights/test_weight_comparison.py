"""What two sets of weights have different, and the pictures of one or two."""

import dataclasses
import json

import numpy as np
import pytest
from PIL import Image
from random_donors import random_donor

from efn_compose.analysis.weights.weight_comparison import compare_weights
from efn_compose.analysis.weights.weight_plots import plot_weights, stem_mosaic
from efn_compose.arch import DecoderSpec
from efn_compose.cli import main
from efn_compose.donors.group_norm import with_group_norm
from efn_compose.donors.unet import attached

NAME = "stage2_block1_expand_conv/kernel"


@pytest.fixture(scope="module")
def donor():
    return random_donor(seed=1, name="first", classes=None)


def changed(donor, **tensors):
    return donor.replace(name="second", tensors={**donor.tensors, **tensors})


def test_equal_weights_have_no_differences(donor):
    found = compare_weights(donor, donor)
    assert found.changed == () and not found.conventions
    assert len(found.tensors) == len(donor.tensors)


def test_a_planted_change_is_found_with_its_size_and_direction(donor):
    kernel, bias = donor.tensors[NAME], donor.tensors["stem_bn/beta"]
    turned = {NAME: 1.1 * kernel, "stem_bn/beta": -bias}
    found = compare_weights(donor, changed(donor, **turned))
    assert [one.name for one in found.changed] == ["stem_bn/beta", NAME]
    assert [one.relative for one in found.changed] == pytest.approx([2, 0.1], rel=1e-5)
    assert [one.cosine for one in found.changed] == pytest.approx([-1, 1], abs=1e-6)
    assert NAME in found.words() and "changed: 2 tensors" in found.words()


def test_zeros_have_no_direction_and_stay_valid_json(donor):
    zeros = np.zeros_like(donor.tensors[NAME])
    found = compare_weights(donor, changed(donor, **{NAME: zeros}))
    assert found.changed[0].relative == pytest.approx(1)
    (entry,) = found.to_json()["changed_tensors"]
    assert entry["cosine"] is None
    json.dumps(found.to_json(), allow_nan=False)
    backwards = compare_weights(changed(donor, **{NAME: zeros}), donor).to_json()
    json.dumps(backwards, allow_nan=False)


def test_other_classifiers_and_conventions_are_named(donor):
    width = donor.spec.top_channels
    head = {"predictions/kernel": np.ones((width, 7)), "predictions/bias": np.ones(7)}
    other = changed(donor, **{name: values.astype(np.float32) for name, values in head.items()})
    other = other.replace(conventions=dataclasses.replace(donor.conventions, padding="symmetric"))
    found = compare_weights(donor, other)
    assert found.conventions == {"padding": ("same", "symmetric"), "classes": (None, 7)}
    assert set(found.only_second) == set(head) and found.only_first == ()


def test_decoders_are_compared_like_the_rest(donor):
    one, other = (attached(donor, DecoderSpec("mirror", 2), seed) for seed in (1, 2))
    found = compare_weights(one, other)
    kernels = {name for name in one.parts["decoder"].tensors if name.endswith("kernel")}
    assert {tensor.name for tensor in found.changed} == kernels
    assert not found.conventions
    without = compare_weights(one, donor)
    assert without.only_first == tuple(one.parts["decoder"].tensors)
    assert without.conventions["decoder"] == (DecoderSpec("mirror", 2).to_json(), None)


def test_networks_of_equal_tensors_that_compute_otherwise_differ(donor):
    block = next(block for block in donor.spec.blocks if block.has_skip)
    blocks = [
        dataclasses.replace(one, has_skip=False) if one is block else one
        for one in donor.spec.blocks
    ]
    spec = dataclasses.replace(donor.spec, stem_stride=1, blocks=tuple(blocks))
    found = compare_weights(donor, donor.replace(spec=spec))
    assert found.changed == ()
    assert found.conventions == {"stem_stride": (2, 1), f"{block.name} has_skip": (True, False)}
    grouped = compare_weights(donor, with_group_norm(donor))
    assert grouped.conventions == {"normalisation": ("batch", "group")}


def test_a_mosaic_holds_every_filter_scaled_by_itself():
    kernel = np.zeros((3, 3, 3, 20), np.float32)
    kernel[0, 2, 1, 17] = -5  # the only value: green, upper right, of the 18th filter
    mosaic = stem_mosaic(kernel)
    assert mosaic.shape == (7, 63, 3)
    assert np.argwhere(mosaic == 0).tolist() == [[4, 4 + 2, 1]]
    assert (mosaic[3] == 1).all()  # the line between rows of filters


@pytest.mark.slow
def test_the_command_draws_one_or_two_files(donor, tmp_path, capsys):
    donor.save(tmp_path / "a.h5")
    changed(donor, **{NAME: 2 * donor.tensors[NAME]}).save(tmp_path / "b.h5")
    picture = tmp_path / "ab.png"
    files = [str(tmp_path / "a.h5"), str(tmp_path / "b.h5")]
    assert main(["inspect", *files, "--plot", str(picture), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [one["name"] for one in found["changed_tensors"]] == [NAME]
    assert found["changed_tensors"][0]["relative"] == pytest.approx(1)
    with Image.open(picture) as image:
        assert image.width > 800 and image.height > image.width
    assert main(["inspect", files[0], "--plot", str(tmp_path / "a.gif")]) == 2
    assert ".png, .svg, .pdf" in capsys.readouterr().err
    assert not (tmp_path / "a.gif").exists()


def test_two_sets_have_one_panel_more(donor):
    assert len(plot_weights(donor, donor).axes) == len(plot_weights(donor).axes) + 2
