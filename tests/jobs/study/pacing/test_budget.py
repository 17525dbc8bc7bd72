"""Epochs that make all trainings cost the same, and the file that keeps what they were decided by."""

import dataclasses
import json
import re

import numpy as np
import pytest
from random_donors import TINY

from efn_compose.arch import arch_spec
from efn_compose.arch.cost import cost
from efn_compose.errors import ResumeMismatchError, RunError
from efn_compose.jobs.study.pacing.budget import equal_multiply_adds, equal_seconds
from efn_compose.jobs.study.pacing.paces import (
    PaceGroup,
    StudyPace,
    paces_json,
    read_paces,
    rounded,
)
from efn_compose.jobs.study.pacing.probe import EpochClock
from efn_compose.jobs.study.plans import Plan
from efn_compose.train.augment.options import AugmentOptions
from efn_compose.train.options import TrainOptions

#: Images that train and that validate.
IMAGES = {("small", 32): (100, 20), ("large", 32): (1000, 300)}


def plan(source="small", spec=TINY, epochs=8, recalibrated=64):
    train = TrainOptions(epochs=epochs, recalibrate_images=recalibrated)
    return Plan("donor", "donor", spec, "", source, 32, train, AugmentOptions())


def pace(train, forward=0.0, between=0.0):
    return StudyPace(train, forward, 0.0, between=between)


def test_every_training_gets_the_epochs_that_come_closest_to_the_budget_of_its_data_set():
    rng = np.random.default_rng(5)
    sources = [*["small"] * 9, *["large"] * 9]
    paces = [pace(*rng.uniform(0.5, 2, 3) * (1e-3, 3e-4, 0.02)) for _ in sources]
    plans = equal_seconds([plan(source) for source in sources], paces, IMAGES)
    # By hand: 100 or 1,000 images with gradients; 64 for the statistics and those that validate.
    counts = {"small": (100, 64 + 20), "large": (1000, 64 + 300)}
    seconds = np.array(
        [
            counts[source][0] * one.train + counts[source][1] * one.forward + one.between
            for source, one in zip(sources, paces, strict=True)
        ]
    )
    for part in (slice(0, 9), slice(9, 18)):
        budget = 8 * np.median(seconds[part])
        closest = [
            min(range(1, 200), key=lambda count, one=one: abs(count * one - budget))
            for one in seconds[part]
        ]
        assert [one.train.epochs for one in plans[part]] == closest
        assert not any(one.problem for one in plans[part])


def test_multiply_adds_are_shared_out_by_the_same_rule():
    specs = [arch_spec(f"lite-w{width}-d0.3") for width in (0.15, 0.25, 0.4)]
    adds = [cost(spec, 32).multiply_adds for spec in specs]
    found = equal_multiply_adds([plan(spec=spec, epochs=20) for spec in specs])
    same = equal_seconds(
        [plan(spec=spec, epochs=20) for spec in specs], [pace(1e-9 * one) for one in adds], IMAGES
    )
    assert [one.train.epochs for one in found] == [one.train.epochs for one in same]
    assert found[1].train.epochs == 20


def test_multiply_adds_are_those_of_the_sizes_that_are_trained_at():
    spec = arch_spec("lite-w0.25-d0.3")
    base = plan(spec=spec, epochs=24)
    plans = [
        dataclasses.replace(base, train=dataclasses.replace(base.train, sizes=sizes))
        for sizes in ((), (16, 32), (16, 24))
    ]
    spent = [
        sum(
            cost(spec, one.train.size_in(epoch, 32)).multiply_adds
            for epoch in range(one.train.epochs)
        )
        for one in equal_multiply_adds(plans)
    ]
    assert max(spent) < 1.1 * min(spent)


def warmed(one, sizes=(), epochs=24):
    changes = {"sizes": sizes, "warm_up_epochs": 10, "epochs": epochs}
    return dataclasses.replace(one, train=dataclasses.replace(one.train, **changes))


@pytest.mark.parametrize("sizes", [(), (16, 32)])
def test_a_warm_up_is_paid_from_the_budget(sizes):
    specs = [arch_spec(f"lite-w{width}-d0.3") for width in (0.15, 0.2, 0.25)]
    found = equal_multiply_adds([warmed(plan(spec=spec), sizes) for spec in specs])
    spent = []
    for one in found:
        # A warm-up is at the first size, and its epochs update as many images as any other.
        later = [one.train.size_in(epoch, 32) for epoch in range(one.train.epochs)]
        sides = [*[sizes[0] if sizes else 32] * 10, *later]
        spent.append(sum(cost(one.spec, side).multiply_adds for side in sides))
    assert max(spent) < 1.05 * min(spent) and found[1].train.epochs == 24


def test_a_warm_up_that_leaves_no_epochs_is_a_row_with_a_reason_that_helps():
    paces = [pace(0.001), pace(0.001), pace(0.02)]
    problem = equal_seconds([warmed(plan())] * 3, paces, IMAGES)[2].problem
    assert "gets 0 epochs beside its warm-up" in problem
    enough = int(re.search(r"train.epochs = (\d+)", problem)[1])
    found = equal_seconds([warmed(plan(), epochs=enough)] * 3, paces, IMAGES)[2]
    assert found.train.epochs == 1 and not found.problem


def test_a_network_that_costs_more_than_the_budget_is_a_row_with_a_reason_that_helps():
    paces = [pace(0.001), pace(0.001), pace(0.02)]
    dear = equal_seconds([plan()] * 3, paces, IMAGES)[2]
    assert "gets 0.4 epochs" in dear.problem and "Set train.epochs = 20" in dear.problem
    enough = equal_seconds([plan(epochs=20)] * 3, paces, IMAGES)[2]
    assert not enough.problem and enough.train.epochs == 1


def test_points_without_a_pace_stay_as_they_are_and_move_no_budget():
    broken = dataclasses.replace(plan(), problem="broken")
    found = equal_seconds([broken, plan(), plan()], [None, pace(0.001), pace(0.002)], IMAGES)
    assert found[0] == broken
    assert [one.train.epochs for one in found[1:]] == [round(8 * 1.5), round(8 * 0.75)]


def test_paces_are_read_as_they_were_written(tmp_path):
    groups = [PaceGroup("net", 32, (0, 2)), PaceGroup("net", 48, (1,)), PaceGroup("f:g", 32, (3,))]
    measured = {0: rounded(pace(1 / 3, 1 / 7, 0.1)), 2: "ConfigError: no network"}
    (tmp_path / "paces.json").write_text(json.dumps(paces_json(groups, measured)))
    assert read_paces(tmp_path, groups) == measured
    with pytest.raises(ResumeMismatchError, match=r"another study \(net at 32 px\)"):
        read_paces(tmp_path, groups[1:])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda row: row["seconds"].update(train=0.0), "more than 0"),
        (lambda row: row["seconds"].update(between=-1.0), "0 or more"),
        (lambda row: row["seconds"].pop("forward"), "forward"),
        (lambda row: row.update(clock="moon"), "processor or wall"),
        (lambda row: row.pop("points"), "points"),
    ],
)
def test_damaged_paces_are_refused_with_the_reason(tmp_path, change, words):
    groups = [PaceGroup("net", 32, (0,))]
    content = paces_json(groups, {0: pace(0.5)})
    change(content["paces"][0])
    (tmp_path / "paces.json").write_text(json.dumps(content))
    with pytest.raises(RunError, match=words):
        read_paces(tmp_path, groups)


def test_the_clock_leaves_out_what_the_first_epoch_traces():
    now = [100.0]
    watch = EpochClock(lambda: now[0])
    for epoch, (update, rest) in enumerate([(9.0, 1.0), (2.0, 0.5), (3.0, 0.5)]):
        for half in range(2):
            now[0] += update / 2
            watch.on_update(2 * epoch + half, 6, 0.0)
        now[0] += rest
        watch.on_epoch(None)
        if not epoch:
            assert watch.spent(1) is None
    assert watch.updates == [9, 2, 3] and watch.rests == [1, 0.5, 0.5]
    # A training of five epochs, of which two were made before it was killed.
    assert watch.spent(5) == 5 * 3.0
