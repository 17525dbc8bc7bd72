"""Donors side by side: logits are their mean, in float64, whatever the fill and positions."""

import dataclasses

import numpy as np
import pytest
from float64_networks import float64_donor, logits_of, random_images, relative_difference
from hypothesis import given, settings
from hypothesis import strategies as st

from efn_compose.arch import arch_spec, channel_groups
from efn_compose.donors.trained_for import TrainedFor
from efn_compose.errors import ConfigError, IncompatibleDonorsError, NestingError
from efn_compose.nesting import (
    direct_sum,
    direct_sum_to_file,
    nest,
    nest_to_file,
    plan_nesting,
    verify_nesting,
)

TOLERANCE = 1e-9


@pytest.mark.slow
@settings(max_examples=8, deadline=None, derandomize=True)
@given(
    family=st.sampled_from(["b-w0.3", "lite-w0.25", "v2-b-w0.4", "edge-w0.3"]),
    depths=st.tuples(st.sampled_from([0.3, 0.6, 1.1]), st.sampled_from([0.3, 0.6, 1.1])),
    fill=st.sampled_from(["he", "replicate", "zero"]),
    repeats=st.sampled_from(["end", "interleaved"]),
    positions=st.sampled_from(["leading", "random"]),
    seed=st.integers(0, 99),
)
def test_logits_are_the_mean_of_the_donors(family, depths, fill, repeats, positions, seed):
    images = random_images()
    name, width = family.rsplit("-w", 1)
    # A second block of EdgeTPU's stage 1 adds no input, so it cannot be an extra repeat.
    deepest = 1.0 if name == "edge" else 1.2
    depths = [min(depth, deepest) for depth in depths]
    donors = [float64_donor(f"{family}-d{depth:g}", seed + n) for n, depth in enumerate(depths)]
    if name == "lite":
        # Lite fixes its stem and top; a network with both twice as wide stands for the target.
        spec = arch_spec(f"lite-w{float(width) * 3.4:g}-d1.2")
        spec = _with_ends(spec, stem=72, top=2600)
    else:
        spec = arch_spec(f"{name}-w{float(width) * 3.4:g}-d{deepest:g}")
    both = direct_sum(
        *donors,
        spec,
        fill=fill,
        extra_repeats=repeats,
        positions=positions,
        seed=seed,
        dtype="float64",
    )
    for training in (False, True):
        expected = sum(logits_of(donor, images, training) for donor in donors) / 2
        assert relative_difference(logits_of(both, images, training), expected) < TOLERANCE


def _with_ends(spec, stem, top):
    first, *rest = spec.blocks
    first = dataclasses.replace(first, in_channels=stem, mid_channels=stem)
    return dataclasses.replace(spec, stem_channels=stem, top_channels=top, blocks=(first, *rest))


def test_three_donors_with_unequal_weights():
    images = random_images()
    donors = [float64_donor("b-w0.3-d0.3", seed) for seed in range(3)]
    weights = [0.2, 0.5, 0.3]
    both = direct_sum(*donors, "b-w1.6-d0.6", weights=weights, dtype="float64")
    expected = sum(w * logits_of(donor, images) for w, donor in zip(weights, donors, strict=True))
    assert relative_difference(logits_of(both, images), expected) < TOLERANCE


def test_second_donor_as_fill_leaves_the_first_ones_logits_alone():
    images = random_images()
    first, second = float64_donor("b-w0.3-d0.3", 0), float64_donor("b-w0.3-d0.6", 1, classes=3)
    nested = nest(first, "b-w1-d0.6", fill="donor", second=second, dtype="float64")
    assert relative_difference(logits_of(nested, images), logits_of(first, images)) < TOLERANCE
    headless = nested.without_head()
    features = logits_of(headless, images)
    width = first.spec.feature_channels
    expected = logits_of(second.without_head(), images)
    assert relative_difference(features[:, width : 2 * width], expected) < TOLERANCE
    assert nested.provenance["steps"][-1]["fill"] == "donor"


@pytest.mark.parametrize(
    ("small", "large"), [("b0", "b7"), ("b5", "l2"), ("v2-b0", "v2-b-w2-d1.4")]
)
def test_two_fit_into_the_network_of_twice_the_width(small, large):
    donor, target = arch_spec(small), arch_spec(large)
    plan = plan_nesting([donor, donor], target, classes=1000)
    for name, group in channel_groups(target, 1000).items():
        owned = plan.owned(name)
        assert len(set(owned)) == len(owned) <= group.size
    groups = channel_groups(donor)
    assert all(len(plan.owned(name)) >= 2 * groups[name].size for name in groups)


def test_b7_has_room_for_two_b0_and_nothing_more():
    plan = plan_nesting([arch_spec("b0"), arch_spec("b0")], arch_spec("b7"))
    exact = [
        name
        for name, group in channel_groups(arch_spec("b0")).items()
        if channel_groups(arch_spec("b7"))[name].size == 2 * group.size
    ]
    assert len(exact) == 40
    assert all(
        len(plan.owned(name)) == group.size
        for name, group in channel_groups(arch_spec("b7")).items()
        if name in exact
    )


def test_headless_sum_keeps_both_feature_vectors():
    donors = [float64_donor("b-w0.3-d0.3", seed, classes=None) for seed in range(2)]
    both = direct_sum(*donors, "b-w1-d0.3", dtype="float64")
    assert verify_nesting(both, donors).relative < TOLERANCE


def test_a_target_without_room_lists_every_group():
    donors = [float64_donor("b-w0.3-d0.3", seed) for seed in range(2)]
    with pytest.raises(NestingError) as caught:
        direct_sum(*donors, "b-w0.35-d0.3")
    assert "stem: 16 + 16 channels do not fit into 16" in str(caught.value)
    assert "top:" in str(caught.value)


def test_mixed_conventions_and_classes_are_refused_together():
    first = float64_donor("b-w0.3-d0.3", 0)
    second = float64_donor("b-w0.3-d0.3", 1, classes=3, padding="symmetric")
    with pytest.raises(IncompatibleDonorsError) as caught:
        direct_sum(first, second, "b-w1-d0.3")
    assert "padding: 'same' and 'symmetric'" in str(caught.value)
    assert "classes: 7 and 3" in str(caught.value)


def test_logits_of_other_classes_are_not_averaged():
    """Equally many classes of other names, or in another order, are other classes."""
    cat_dog, dog_cat = (
        float64_donor("b-w0.3-d0.3", seed, classes=2).replace(
            provenance=TrainedFor(32, names).added_to({})
        )
        for seed, names in enumerate([("cat", "dog"), ("dog", "cat")])
    )
    with pytest.raises(IncompatibleDonorsError) as caught:
        direct_sum(cat_dog, dog_cat, "b-w1-d0.3")
    assert "class names: (cat, dog) and (dog, cat)" in str(caught.value)
    nameless = float64_donor("b-w0.3-d0.3", 2, classes=2)
    for second in (cat_dog, nameless):
        assert direct_sum(cat_dog, second, "b-w1-d0.3").classes == 2
    assert nest(cat_dog, "b-w1-d0.3", fill="donor", second=dog_cat).classes == 2


def test_a_background_class_keeps_no_features_apart(tmp_path):
    """Official TensorFlow checkpoints of 1,001 classes have one, other libraries' have none."""
    first, second = float64_donor("b-w0.3-d0.3", 0), float64_donor("b-w0.3-d0.3", 1, class_offset=1)
    with pytest.raises(IncompatibleDonorsError, match="class_offset: 0 and 1"):
        direct_sum(first, second, "b-w1-d0.3")
    assert second.without_head().conventions == first.conventions
    images = random_images()
    both = direct_sum(first.without_head(), second.without_head(), "b-w1-d0.3", dtype="float64")
    assert verify_nesting(both, [first.without_head(), second.without_head()]).relative < TOLERANCE
    nested = nest(first, "b-w1-d0.3", fill="donor", second=second, dtype="float64")
    assert relative_difference(logits_of(nested, images), logits_of(first, images)) < TOLERANCE
    for name, donor in (("first", first), ("second", second)):
        donor.save(tmp_path / f"{name}.h5")
    files = [tmp_path / "first.h5", tmp_path / "second.h5"]
    direct_sum_to_file(files, "b-w1-d0.3", tmp_path / "both.h5", keep_head=False)
    nest_to_file(files[0], "b-w1-d0.3", tmp_path / "n.h5", fill="donor", second_file=files[1])


@pytest.mark.parametrize(
    "weights", [[0.5, 0.6], [1.0], [float("nan"), 1.0], [1.0, 0.0], [1.5, -0.5]]
)
def test_weights_must_be_a_mean(weights):
    donors = [float64_donor("b-w0.3-d0.3", seed) for seed in range(2)]
    with pytest.raises(ConfigError, match="sum to 1"):
        direct_sum(*donors, "b-w1-d0.3", weights=weights)


def test_stages_that_share_a_stream_in_the_target_only():
    """Where rounding gives the target a skip the donor lacks, both streams lie side by side."""
    donor, images = float64_donor("lite-w0.25-d0.3"), random_images()
    small = _with_ends(donor.spec, stem=32, top=1280)
    assert small == donor.spec
    # Stage 1 of width 40 equals the stem: block 1 adds its input to its output.
    target = arch_spec("lite-w2.5-d0.3")
    first, *rest = _with_ends(target, stem=40, top=1280).blocks
    first = dataclasses.replace(first, has_skip=True, out_channels=40)
    target = dataclasses.replace(target, stem_channels=40, blocks=(first, *rest))
    assert channel_groups(target)["stem"].size == 40
    nested = nest(donor, target, dtype="float64")
    assert relative_difference(logits_of(nested, images), logits_of(donor, images)) < TOLERANCE


def test_all_logits_vary_with_the_input():
    """The yardstick of every test above: random donors do depend on their images."""
    logits = logits_of(float64_donor("b-w0.3-d0.3"), random_images())
    assert logits.std(axis=0).mean() > 0.1 * np.abs(logits).mean()
