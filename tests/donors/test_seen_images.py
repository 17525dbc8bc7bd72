"""What is known of the images that a network has learnt from, against sets of all marks."""

import json

import numpy as np
import pytest
from fine_tunings import tuned
from float64_networks import float64_donor
from random_donors import TINY, random_donor

from efn_compose.donors import load_donor
from efn_compose.donors.seen_images import (
    SEEN_KEY,
    SeenImages,
    known_part,
    seen_by,
    seen_notes,
    with_seen,
)
from efn_compose.jobs.soup.job import soup
from efn_compose.nesting import direct_sum, nest


def marks(seed, count):
    return np.random.default_rng(seed).integers(0, 2**64, count, np.uint64)


@pytest.mark.parametrize("count", [1, 20, 256])
def test_of_a_small_set_every_image_is_known(count):
    seen, others = marks(1, count), marks(2, 50)
    asked = np.concatenate([seen[: count // 2], others])
    assert SeenImages.of(seen).looked_up(asked) == (len(set(seen) & set(asked)), len(asked))


def test_equal_images_count_once_and_hide_no_other_one():
    seen, others = marks(1, 100), marks(2, 100)
    asked = np.concatenate([seen[:50], others])
    assert SeenImages.of(np.tile(seen, 4)).looked_up(asked) == (50, 150)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.37, 1.0])
def test_the_share_of_a_large_set_is_estimated_without_bias(share):
    """Within four standard errors of the truth, and over all draws within one and a half of their mean."""
    found = []
    for seed in range(40):
        seen = marks(seed, 30_000)
        known = seen[: int(share * 6_000)]
        asked = np.concatenate([known, marks(1000 + seed, 6_000 - len(known))])
        hits, looked_at = SeenImages.of(seen).looked_up(asked)
        assert abs(hits / looked_at - share) <= 4 * (share * (1 - share) / looked_at) ** 0.5
        found.append((hits, looked_at))
    hits, looked_at = np.sum(found, axis=0)
    # 256 of 30,000 marks are kept: of 6,000 images as large a part is looked at.
    assert looked_at == pytest.approx(40 * 6_000 * 256 / 30_000, rel=0.1)
    assert hits / looked_at == pytest.approx(share, abs=0.02)


@pytest.mark.parametrize("count", [100, 20_000])
def test_of_several_sets_the_union_counts(count):
    """Five folds, averaged: each knows four fifths of the images, and all know all."""
    every, others = marks(1, count), marks(2, count)
    folds = [SeenImages.of(np.delete(every, slice(number, None, 5))) for number in range(5)]
    donor = random_donor(TINY, 0).replace(provenance=with_seen({}, folds))
    assert known_part(donor, every) == "all"
    assert known_part(donor, others) == ""
    half = np.concatenate([every, others])
    estimate = int(known_part(donor, half).removeprefix("about ").removesuffix("%"))
    # 256 of 16,000 marks are kept, so some 640 of 40,000 images are looked at.
    assert estimate == pytest.approx(50, abs=0.5 if count == 100 else 8)


def test_a_small_set_that_is_known_whole_is_not_hidden_by_a_large_one():
    small = marks(1, 20)
    sets = [SeenImages.of(marks(2, 1_000_000)), SeenImages.of(small)]
    donor = random_donor(TINY, 0).replace(provenance=with_seen({}, sets))
    assert known_part(donor, small) == "all"


def test_weight_files_carry_it_through_all_that_is_made_of_them(tmp_path):
    first, second = (SeenImages.of(marks(seed, 1000)) for seed in (1, 2))
    base = random_donor(TINY, 0, classes=3)
    donors = [
        tuned(number, 0.03, base).replace(provenance=with_seen({"source": "one.pth"}, [seen]))
        for number, seen in enumerate((first, second))
    ]
    donors[0].save(tmp_path / "first.h5")
    loaded = load_donor(tmp_path / "first.h5")
    assert seen_by(loaded.provenance) == (first,)
    assert seen_by(loaded.without_head().provenance) == (first,)
    again = with_seen(loaded.provenance, [first, second, second])
    assert seen_by(again) == (first, second) and len(again[SEEN_KEY]) == 2
    pair = [
        float64_donor("b-w0.3-d0.3", seed, classes=3).replace(provenance=with_seen({}, [seen]))
        for seed, seen in enumerate((first, second), 1)
    ]
    assert seen_by(nest(pair[0], "b-w0.6-d0.3").provenance) == (first,)
    assert set(seen_by(direct_sum(*pair, "b-w1-d0.3").provenance)) == {first, second}
    averaged = soup(donors).donor
    averaged.save(tmp_path / "soup.h5")
    assert set(seen_by(load_donor(tmp_path / "soup.h5").provenance)) == {first, second}


def test_damaged_entries_are_passed_over():
    good = SeenImages.of(marks(1, 10))
    entries = [good.to_json(), {"images": 3}, {"images": 3, "marks": "no base64!"}, 7, None]
    assert seen_by(json.loads(json.dumps({SEEN_KEY: entries}))) == (good,)
    assert seen_by({SEEN_KEY: "nonsense"}) == ()


def test_what_is_said_names_networks_parts_and_shares():
    seen = marks(1, 100)
    knows = random_donor(TINY, 1, name="knows").replace(
        provenance=with_seen({}, [SeenImages.of(seen)])
    )
    stranger = random_donor(TINY, 2, name="stranger")
    other = marks(3, 40)
    parts = {"validation": np.concatenate([seen[:30], other[:10]]), "test": seen[30:50]}
    (words,) = seen_notes([knows, stranger], parts)
    assert "knows from about 75% of the validation images and all of the test images" in words
    assert "stranger" not in words
    assert seen_notes([knows, stranger], {"validation": other}) == ()
    # One image in two hundred is no reason to doubt a score; one in fifty is.
    one_in = {n: {"test": np.concatenate([seen[:1], marks(4, n - 1)])} for n in (50, 200)}
    assert (
        seen_notes([knows], one_in[200]) == () and "about 2%" in seen_notes([knows], one_in[50])[0]
    )
    assert seen_notes([knows], {}) == ()
