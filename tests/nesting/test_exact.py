"""Nesting changes no output: random pairs of every family, float64, moving and batch statistics."""

import dataclasses

import numpy as np
import pytest
from float64_networks import float64_donor, logits_of, random_images, relative_difference
from hypothesis import given, settings
from hypothesis import strategies as st

from efn_compose.arch import VARIANTS, arch_spec, inventory
from efn_compose.errors import ConfigError, NestingError
from efn_compose.nesting import FILLS, nest, plan_nesting
from efn_compose.nesting.fills import fresh_values

TOLERANCE = 1e-9
#: Smallest width of each base whose stem and first stages do not coincide by rounding.
BASE_WIDTHS = {
    "b": 0.3,
    "lite": 0.2,
    "v2-b": 0.4,
    "edge": 0.3,
    "v2-s": 0.2,
    "tinynet": 0.3,
    "mnasnet-a1": 0.3,
    "mnasnet-b1": 0.5,
    "mnasnet-small": 0.5,
}
#: EdgeTPU is drawn shallow, since stage 1 adds no input and so gets no extra repeat; V2-S, since 45
#: random blocks in a row multiply a rounding of 1e-15 by a billion.
SHALLOW, DRAWN_SHALLOW = (0.2, 0.4, 0.6), ("edge", "v2-s")
ADJACENT = [
    *zip(
        ["b0", "b1", "b2", "b3", "b4", "b5", "b6", "b7", "b8", "l0", "l1", "l2"],
        ["b1", "b2", "b3", "b4", "b5", "b6", "b7", "b8", "l0", "l1", "l2", "l3"],
        strict=True,
    ),
    *((f"lite{n}", f"lite{n + 1}") for n in range(4)),
    ("em", "el"),
    *((f"v2-b{n}", f"v2-b{n + 1}") for n in range(3)),
    ("v2-m", "v2-l"),
    ("v2-l", "v2-xl"),
    *zip(
        ["tinynet-e", "tinynet-d", "tinynet-c", "tinynet-b"],
        ["tinynet-d", "tinynet-c", "tinynet-b", "tinynet-a"],
        strict=True,
    ),
    *(
        (f"mnasnet-{net}{small}", f"mnasnet-{net}{large}")
        for net in ("a1", "b1")
        for small, large in (("-w0.5-d1", "-w0.75-d1"), ("-w0.75-d1", ""))
    ),
    ("mnasnet-a1", "mnasnet-a1-w1.4-d1"),
    ("mnasnet-b1", "mnasnet-b1-w1.3-d1"),
    ("mnasnet-b1-w1.3-d1", "mnasnet-b1-w1.4-d1"),
]


@st.composite
def pairs(draw):
    """Two specs of one base, the second at least as wide and as deep."""
    base = draw(st.sampled_from(sorted(BASE_WIDTHS)))
    width = BASE_WIDTHS[base] + draw(st.integers(0, 3)) / 20
    depth = draw(st.sampled_from(SHALLOW if base in DRAWN_SHALLOW else (*SHALLOW, 1.1)))
    wider = width + draw(st.integers(0, 5)) / 20
    deeper = depth + draw(st.sampled_from([0.0, 0.3] if base in DRAWN_SHALLOW else [0.0, 0.3, 0.6]))
    return f"{base}-w{width:g}-d{depth:g}", f"{base}-w{wider:g}-d{deeper:g}"


@pytest.mark.slow
@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    pair=pairs(),
    fill=st.sampled_from(FILLS),
    repeats=st.sampled_from(["end", "interleaved"]),
    positions=st.sampled_from(["leading", "random"]),
    seed=st.integers(0, 99),
)
def test_nested_logits_equal_the_donors(pair, fill, repeats, positions, seed):
    small, large = pair
    donor, images = float64_donor(small, seed), random_images()
    nested = nest(
        donor,
        large,
        fill=fill,
        extra_repeats=repeats,
        positions=positions,
        seed=seed,
        dtype="float64",
    )
    for training in (False, True):
        expected = logits_of(donor, images, training)
        assert relative_difference(logits_of(nested, images, training), expected) < TOLERANCE


@pytest.mark.slow
@pytest.mark.parametrize(("small", "large"), ADJACENT)
def test_every_published_pair_has_room_for_all_channels(small, large):
    donor, target = arch_spec(small), arch_spec(large)
    plan = plan_nesting([donor], target, classes=1000)
    placed = {tensor.name: plan.occupants(tensor) for tensor in inventory(target, 1000)}
    reals = [o.tensor.name for found in placed.values() for o in found if not o.is_copy]
    assert sorted(reals) == sorted(tensor.name for tensor in inventory(donor, 1000))
    by_name = {tensor.name: tensor for tensor in inventory(target, 1000)}
    for name, found in placed.items():
        for occupant in found:
            for positions, length in zip(occupant.index, by_name[name].shape, strict=True):
                if positions is not None:
                    assert len(set(positions)) == len(positions)
                    assert positions.max() < length


def _miniature(spec, divisor):
    """Return a network of the same blocks and wiring, every width divided."""

    def narrow(channels):
        return max(1, channels // divisor) if channels else 0

    blocks = tuple(
        dataclasses.replace(
            block,
            **{
                field: narrow(getattr(block, field))
                for field in ("in_channels", "mid_channels", "out_channels", "se_channels")
            },
        )
        for block in spec.blocks
    )
    return dataclasses.replace(
        spec,
        stem_channels=narrow(spec.stem_channels),
        top_channels=narrow(spec.top_channels),
        blocks=blocks,
    )


@pytest.mark.slow
@pytest.mark.parametrize(("small", "large"), ADJACENT)
def test_every_published_pair_nests_exactly_in_miniature(small, large):
    """All repeats and stages of the published pair, widths divided by 16 (L: 40)."""
    divisor = 40 if large[0] == "l" and large[1:].isdigit() else 16
    # Eight images give statistics enough for networks of a few channels.
    few = random_images(8, 33, seed=1000) * 64 + 128
    donor = float64_donor(_miniature(arch_spec(small), divisor), images=few)
    images = random_images(4, 33)
    nested = nest(donor, _miniature(arch_spec(large), divisor), dtype="float64")
    for training in (False, True):
        expected = logits_of(donor, images, training)
        assert relative_difference(logits_of(nested, images, training), expected) < TOLERANCE


def test_all_variants_of_a_family_nest_in_order_of_their_table():
    covered = {name for pair in ADJACENT for name in pair}
    # V2-S has a stage less than V2-M, ES a block less that is no residual, and small stands alone.
    assert covered == set(VARIANTS) - {"v2-s", "es", "mnasnet-small"}


def test_lite_depth_only_target_keeps_donor_tensors_bit_for_bit():
    donor = float64_donor("lite-w0.25-d1.0")
    nested = nest(donor, "lite-w0.25-d1.1", dtype="float64")
    for name, values in donor.tensors.items():
        assert np.array_equal(nested.tensors[name], values), name
    copy, neighbour = "stage3_block3", "stage3_block2"
    for layer in ("expand_conv/kernel", "depthwise_conv/depthwise_kernel", "project_conv/kernel"):
        assert np.array_equal(
            nested.tensors[f"{copy}_{layer}"], donor.tensors[f"{neighbour}_{layer}"]
        )
    for role in ("gamma", "beta"):
        assert not nested.tensors[f"{copy}_project_bn/{role}"].any()


def test_a_corner_copy_without_zero_consumers_is_not_exact():
    """The measure can fail: what everybody tries first is far from the donor's function."""
    donor, images = float64_donor("lite-w0.25-d0.3"), random_images()
    nested = nest(donor, "lite-w0.35-d0.3", dtype="float64")
    rng = np.random.default_rng(0)
    spoiled = {
        name: np.where(values == 0, rng.normal(size=values.shape) * 0.05, values)
        if name.endswith("project_conv/kernel")
        else values
        for name, values in nested.tensors.items()
    }
    expected = logits_of(donor, images)
    assert relative_difference(logits_of(nested.replace(tensors=spoiled), images), expected) > 0.05


def test_provenance_lists_every_step():
    donor = float64_donor("lite-w0.25-d0.3")
    twice = nest(nest(donor, "lite-w0.3-d0.3"), "lite-w0.35-d0.6", fill="replicate")
    assert [step["target"] for step in twice.provenance["steps"]] == [
        "lite-w0.3-d0.3",
        "lite-w0.35-d0.6",
    ]
    assert [step["fill"] for step in twice.provenance["steps"]] == ["he", "replicate"]


def test_the_same_seed_gives_the_same_weights():
    donor = float64_donor("lite-w0.25-d0.3")
    first, again, other = (nest(donor, "lite-w0.35-d0.6", seed=seed) for seed in (1, 1, 2))
    assert first.fingerprint == again.fingerprint != other.fingerprint


@pytest.mark.parametrize(
    ("small", "large", "reason"),
    [
        ("b-w0.5-d0.3", "b-w0.3-d0.3", "do not fit into"),
        ("b-w0.3-d1.1", "b-w0.5-d0.3", "repeats do not fit"),
        ("b0", "v2-b0", "stage1_block1: kind 'mbconv' and 'fused'"),
        ("lite0", "b0", "squeeze-and-excite"),
        ("v2-b3", "v2-s", "the target is too narrow or wired differently"),
        ("v2-s", "v2-m", "stage count: 6 and 7"),
        ("es", "em", "stage1_block2: an extra repeat that does not add its input"),
        ("mnasnet-a1", "mnasnet-b1", "stage4_block1: kernel 3 and 5"),
        ("b-w0.1-d0.3", "b-w0.5-d0.3", "the target does not"),
    ],
)
def test_impossible_targets_are_refused_with_the_reason(small, large, reason):
    with pytest.raises(NestingError, match=reason):
        plan_nesting([arch_spec(small)], arch_spec(large))


def test_networks_of_two_families_nest_where_they_are_built_alike():
    """TinyNet is V1 at other coefficients, with a stem that keeps its width."""
    donor, images = float64_donor("tinynet-w0.3-d0.4"), random_images()
    nested = nest(donor, "b-w1.0-d1.0", dtype="float64")
    assert nested.spec.family == "b" and nested.conventions == donor.conventions
    expected = logits_of(donor, images)
    assert relative_difference(logits_of(nested, images), expected) < TOLERANCE


def test_unknown_fill_is_refused_with_the_choices():
    with pytest.raises(ConfigError, match="'he', 'replicate', 'zero'"):
        nest(float64_donor("lite-w0.25-d0.3"), "lite-w0.3-d0.3", fill="random")


def test_fresh_kernels_have_he_variance_and_differ_between_tensors():
    kernels = [t for t in inventory(arch_spec("b0")) if t.role == "kernel" and t.size > 50_000]
    drawn = [fresh_values(tensor, "he", 0) for tensor in kernels]
    for tensor, values in zip(kernels, drawn, strict=True):
        fan_in = np.prod(tensor.shape[:-1])
        assert values.mean() == pytest.approx(0, abs=4 * np.sqrt(2 / fan_in / values.size))
        assert values.var() == pytest.approx(2 / fan_in, rel=0.03)
        assert np.abs(values).max() <= np.sqrt(6 / fan_in) * (1 + 1e-6)
    flat = [values.ravel()[:50_000] for values in drawn]
    assert np.abs(np.corrcoef(flat) - np.eye(len(flat))).max() < 0.03
