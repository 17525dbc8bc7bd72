"""Names of donors: no two alike, and none that a search or a soup gives to something that it makes."""

from collections import Counter
from dataclasses import replace

import pytest
from fake_executor import FakeExecutor, fake_evaluation
from hypothesis import given
from hypothesis import strategies as st
from nano_run import write_nano_experiment
from random_donors import TINY, random_donor, search_donors
from search_runs import lines_without_timing, run_search

from efn_compose import load_donors
from efn_compose.donors.group_norm import with_group_norm
from efn_compose.donors.trained_for import TrainedFor
from efn_compose.errors import AmbiguousCheckpointError, ConfigError
from efn_compose.evolve.ending import write_magic_weights
from efn_compose.evolve.kinds.genetic import Genetic
from efn_compose.evolve.kinds.halving import Halving
from efn_compose.evolve.kinds.lamarck import Lamarck
from efn_compose.evolve.verdict.verdict import is_reserved
from efn_compose.evolve.workers.tasks import Outcome
from efn_compose.jobs.donor_entries import distinct_names, load_entry, load_start
from efn_compose.jobs.search.preparation import prepare
from efn_compose.store import WeightFile
from efn_compose.train.options import TrainOptions
from efn_compose.train.recipe.start import starting_network

DONOR = random_donor(TINY, 0, classes=None)


def _named(names, *more):
    return [d.name for d in distinct_names([DONOR.replace(name=n) for n in names], *more)]


@given(st.lists(st.sampled_from(["a", "a_2", "a_2_2", "a_3", "b", "composed", "composed_2"])))
def test_every_donor_has_a_name_of_its_own_and_the_first_of_a_name_keeps_it(names):
    found = _named(names, {"composed"}.__contains__)
    assert len(set(found)) == len(names) and "composed" not in found
    for number, (name, new) in enumerate(zip(names, found, strict=True)):
        assert new == name or new.startswith(f"{name}_")
        if name != "composed" and name not in names[:number]:
            assert new == name


def test_numbers_count_up_until_a_name_is_free():
    assert _named(["a", "a", "a_2"]) == ["a", "a_3", "a_2"]


def test_a_training_starts_from_weights_with_group_norm_too(tmp_path):
    donor = random_donor("b-w0.1-d0.3", classes=3, bn_epsilon=1e-5)
    grouped = with_group_norm(donor)
    for name, one in (("batch", donor), ("group", grouped)):
        one.save(tmp_path / f"{name}.h5")
    file = str(tmp_path / "batch.h5")
    assert load_start(file).fingerprint == load_donors([file])[0].fingerprint
    found = load_start(str(tmp_path / "group.h5"))
    assert found.fingerprint == grouped.without_head().fingerprint
    with pytest.raises(ConfigError, match="'frozen' needs BatchNorm"):
        starting_network(found, TrainOptions(normalisation="frozen"))


def test_donors_of_two_networks_have_two_names_after_nesting(tmp_path):
    small, large = random_donor("lite-w0.25-d0.3", 0), random_donor("lite-w0.25-d0.6", 1)
    small.save(tmp_path / "x.h5")
    large.save(tmp_path / "x-in-lite-w0.25-d0.6.h5")
    files = [str(tmp_path / name) for name in ("x.h5", "x-in-lite-w0.25-d0.6.h5")]
    donors = load_donors(files, "lite-w0.25-d0.6")
    assert len({donor.name for donor in donors}) == 2


class _TrainsNothing(FakeExecutor):
    """Answers with networks as they were."""

    def answer(self, task):
        outcome = super().answer(task)
        if not getattr(task, "keep_weights", False):
            return outcome
        return replace(outcome, value=replace(outcome.value, weights=self.composed(task)))


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind",
    [
        Genetic(population=4, generations=1, control=True),
        Halving(population=4, generations=3, lines=2),
        Lamarck(population=3, generations=2),
    ],
)
def test_no_donor_may_have_a_name_that_a_search_gives(tmp_path, kind):
    donors = search_donors(TINY)
    given = {donor.name for donor in donors}
    result, _ = run_search(tmp_path, _TrainsNothing(), kind, donors=donors)
    final = [r for r in lines_without_timing(tmp_path) if r.get("phase") in ("final", "test")]
    made = {r["arm"] for r in final} | set(result.arms) | {d.name for d in result.donors}
    made -= given
    assert len(made) >= 5
    assert {name for name in made if not is_reserved(name)} == set()
    assert not any(map(is_reserved, given))


class _FirstIsBest(FakeExecutor):
    """The first donor alone has a low loss."""

    def answer(self, task):
        if not hasattr(task, "parts"):
            return super().answer(task)
        found = fake_evaluation(task)
        is_first = task.recipe.kind == "genome" and not any(task.recipe.values)
        scores = {
            part: {"loss": score["loss"] - is_first, "accuracy": 0.5}
            for part, score in found.scores.items()
        }
        return Outcome(replace(found, scores=scores), None, 0, 0.01)


@pytest.mark.parametrize("name", ["composed", "uniform_average", "random_search", "finalist1"])
def test_a_best_donor_that_is_called_like_a_contestant_is_written(tmp_path, name):
    config = write_nano_experiment(tmp_path)
    (tmp_path / "donor1.h5").rename(tmp_path / f"{name}.h5")
    files = f'donors.files=["{tmp_path / name}.h5", "{tmp_path}/donor2.h5"]'
    donors = prepare(config, [files, "donors.siblings=0"]).donors
    kind = Genetic(population=4, generations=1, control=True)
    result, _ = run_search(tmp_path, _FirstIsBest(), kind, donors=donors)
    assert result.winner.values == result.space.pure(0)
    assert "the best donor" in result.verdict.words
    assert [donor.name for donor in donors] == [f"{name}_2", "donor2"]


def test_a_label_that_a_search_gives_is_refused_before_anything_is_made(tmp_path):
    config = write_nano_experiment(tmp_path)
    labels = ("trained", "latest_state", "donor2")
    files = ", ".join(f'"{label}={tmp_path}/donor2.h5"' for label in labels)
    with pytest.raises(ConfigError) as caught:
        prepare(config, [f"donors.files=[{files}]"])
    assert "2 of 3 donors cannot be used" in str(caught.value)
    assert f"trained_2={tmp_path}/donor2.h5" in str(caught.value)
    assert not (tmp_path / "run").exists()
    # A training has no contestants.
    assert load_donors([f"trained={tmp_path}/donor2.h5"])[0].name == "trained"


def test_a_sibling_of_an_earlier_run_is_told_from_a_new_one(tmp_path):
    config = write_nano_experiment(tmp_path)
    (tmp_path / "donor2.h5").rename(tmp_path / "donor1_sibling1.h5")
    files = f'donors.files=["{tmp_path}/donor1.h5", "{tmp_path}/donor1_sibling1.h5"]'
    names = [donor.name for donor in prepare(config, [files]).donors]
    siblings = [f"{name}_sibling1" for name in names]
    assert max(Counter(names + siblings).values()) == 1


@pytest.mark.parity
@pytest.mark.slow
def test_a_question_about_a_donor_says_which_verb_has_the_options_that_answer_it(tmp_path):
    from converters.oracles.torch_models import declare_torchvision_operators

    torch = pytest.importorskip("torch")
    declare_torchvision_operators()
    timm = pytest.importorskip("timm")
    torch.save(timm.create_model("efficientnet_b0", num_classes=3).state_dict(), tmp_path / "m.pth")
    with pytest.raises(AmbiguousCheckpointError) as caught:
        load_entry(str(tmp_path / "m.pth"))
    assert "--arch" in str(caught.value)
    assert f"efn-compose convert {tmp_path / 'm.pth'} OPTION -o FILE.h5" in str(caught.value)


def test_what_donors_have_seen_goes_with_them_into_the_weights_of_a_search(tmp_path):
    seen = {"pretrained": [{"method": "vicreg", "images": 100}]}
    trained = {"trained_for": {"size": 32, "class_names": ["cat", "dog"]}}
    for number, provenance in enumerate(({}, seen, {**seen, **trained})):
        donor = random_donor(TINY, number, classes=2 if number == 2 else None)
        donor.replace(provenance=provenance).save(tmp_path / f"{number}.h5")
    donors = load_donors([str(tmp_path / f"{number}.h5") for number in range(3)])
    # Nothing is said of classes that no classifier tells apart any more.
    assert [donor.trained_for for donor in donors] == [TrainedFor()] * 3
    result, _ = run_search(tmp_path, FakeExecutor(), Genetic(population=3), donors=donors)
    write_magic_weights(tmp_path / "magic.h5", result)
    with WeightFile(tmp_path / "magic.h5") as file:
        said = file.header.provenance["donors"]
    keys = ("pretrained", "trained_before")
    assert [{key: one[key] for key in keys if key in one} for one in said] == [
        {},
        seen,
        {**seen, "trained_before": {"size": 32}},
    ]
