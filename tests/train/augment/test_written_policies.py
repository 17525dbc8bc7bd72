"""Policies that are written out, and their files."""

import re

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps
from repository import ROOT

from efn_compose.config import load_config
from efn_compose.errors import ConfigError
from efn_compose.jobs.trainings.options import TrainConfig
from efn_compose.train.augment import AugmentOptions, augment
from efn_compose.train.augment.policies.sheet import strongest
from efn_compose.train.augment.policies.tables import AUTOAUGMENT, OPERATIONS
from efn_compose.train.augment.policies.written import NAMES, parse_policy, policy_text


@pytest.mark.parametrize("name", AUTOAUGMENT)
def test_published_tables_can_be_written_out_and_read(name):
    table = AUTOAUGMENT[name]
    for written, published in zip(parse_policy(policy_text(table)), table, strict=True):
        for (one, chance, size), (other, probability, strength) in zip(
            written, published, strict=True
        ):
            assert one == other
            assert (chance, size) == pytest.approx((probability, strength), rel=1e-5)


@pytest.mark.slow
def test_a_written_policy_does_to_images_what_it_says():
    images = np.random.default_rng(1).integers(0, 200, (4, 16, 16, 3)).astype(np.uint8)
    options = AugmentOptions(flip_x=0, auto="equalize 1 0, posterize 1 3")
    seen = augment(images, tf.range(4), options, seed=1).numpy()
    wanted = [
        np.asarray(ImageOps.posterize(ImageOps.equalize(Image.fromarray(i)), 3)) for i in images
    ]
    np.testing.assert_array_equal(seen, wanted)
    half = AugmentOptions(flip_x=0, auto="identity 1 0; invert 1 0")
    many = augment(np.repeat(images, 250, axis=0), tf.range(1000), half, seed=1).numpy()
    turned = (many != np.repeat(images, 250, axis=0)).any(axis=(1, 2, 3))
    assert turned.mean() == pytest.approx(0.5, abs=4 * 0.5 / np.sqrt(1000))


def test_a_run_keeps_what_a_policy_file_said(tmp_path):
    file = tmp_path / "policy.toml"
    file.write_text(
        '# found\n[augment]\nauto = """\nrotate 0.60 15\nshift_x 1 .1, equalize 1 0\n"""\n'
    )
    config = load_config(None, [f"augment.auto={file}"], TrainConfig)
    file.unlink()
    assert config.augment.auto == "rotate 0.6 15; shift_x 1 0.1, equalize 1 0"
    assert strongest(config.augment.auto)["rotate"] == 15
    assert [AugmentOptions(auto=name).auto for name in NAMES] == list(NAMES)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("twist 0.5 3", ["'twist' is no operation", "rotate"]),
        ("rotate 1.5 3; rotate 0.5 900", ["0 to 1, not 1.5", "0 to 180, not 900"]),
        ("rotate 0.5", ["expected operation, probability and strength"]),
        ("rotate 1 1, rotate 1 1, rotate 1 1", ["3 steps"]),
        ("rotate nan 1", ["must be 0 to 1"]),
        ("  ;", ["no step"]),
        ("missing.toml", ["missing.toml", "cannot be read"]),
    ],
)
def test_what_is_no_policy_is_refused_with_all_problems(text, words):
    with pytest.raises(ConfigError) as caught:
        load_config(None, [f"augment.auto={text}"], TrainConfig)
    assert all(word in str(caught.value) for word in ["augment", *words])


@pytest.mark.parametrize("text", ["auto = 3", "[augment]\nauto = 'again.toml'", "[augment"])
def test_a_file_that_is_no_policy_file_is_named(tmp_path, text):
    (tmp_path / "wrong.toml").write_text(text)
    with pytest.raises(ConfigError, match=r"wrong\.toml is no policy file"):
        AugmentOptions(auto=str(tmp_path / "wrong.toml"))


def test_the_page_lists_every_operation_with_the_strengths_that_are_allowed():
    page = (ROOT / "docs" / "augmentation.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`.*?`) \| .*? \| ([\d.]+) to ([\d.]+) \|", page, re.MULTILINE)
    found = [(name, *ends) for names, *ends in rows for name in re.findall(r"`(\w+)`", names)]
    assert sorted(name for name, *_ in found) == sorted(OPERATIONS)
    for name, low, high in found:
        assert parse_policy(f"{name} 1 {low}") and parse_policy(f"{name} 1 {high}")
        for outside in (float(low) - 0.1, float(high) + 0.1):
            with pytest.raises(ConfigError, match="the strength of"):
                parse_policy(f"{name} 1 {outside}")
