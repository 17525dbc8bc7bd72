"""Averages over generations are what arithmetic says, and the best ones lead."""

from types import SimpleNamespace

import numpy as np
import pytest
from fake_executor import FakeExecutor
from random_donors import TINY, search_donors
from search_runs import run_search

from efn_compose.arch import arch_spec, inventory
from efn_compose.compose import GenomeSpace
from efn_compose.evolve.kinds.lamarck import Lamarck
from efn_compose.evolve.lines.descendants import (
    PLAIN_AVERAGE,
    PLAIN_NETWORK,
    average_of,
    descendants,
)
from efn_compose.evolve.workers.tasks import Evaluation, EvaluationTask, Outcome

SPACE = GenomeSpace(arch_spec("lite-w0.1-d0.3"), 2, "stage")
#: The value that every weight of a network has; a loss is the square of an average's value.
VALUES = {0: [9.0, 5.0], 1: [4.0, 2.0, -7.0], 2: [3.0, -2.0, -4.0], 3: [1.0, 1.5, -0.5]}


def _network(value):
    return {t.name: np.full(t.shape, value, np.float32) for t in inventory(SPACE.spec)}


class _Search:
    """Three members and one plain network, but for the first generation's two donors."""

    def __init__(self):
        self.loop = SimpleNamespace(space=SPACE, ledger=SimpleNamespace(evaluate=self._evaluate))
        self.losses = [{n: v * v for n, v in enumerate(found)} for found in VALUES.values()]

    def members(self, generation):
        return [_network(value) for value in VALUES[generation]]

    def mean_of(self, generation):
        return _network(np.mean(VALUES[generation][: -1 if generation else None]))

    def plain(self, generation):
        return _network(VALUES[generation][-1])

    def _evaluate(self, purpose, tasks, seat, names):
        donors, found = seat().donors, []
        for task in tasks:
            value = task.recipe.compose(SPACE, donors)["stem_conv/kernel"].flat[0]
            scores = {"validation": {"loss": float(value) ** 2}}
            found.append(Evaluation(scores))
        return found


def _value(found, members):
    recipe = average_of(members, list(found.networks))
    return recipe.compose(SPACE, list(found.networks.values()))["stem_conv/kernel"].flat[0]


def test_averages_count_every_member_of_every_generation_once():
    found = descendants(_Search())
    candidates = dict(found.candidates)
    members = [VALUES[g][: -1 if g else None] for g in (3, 2, 1, 0)]
    # Each generation here has two members, so that the mean of all is the mean of means.
    for depth in (1, 2, 4):
        expected = np.mean(members[:depth])
        assert _value(found, candidates[f"average_of_{depth}"]) == pytest.approx(expected)
    plain = [VALUES[3][-1], VALUES[2][-1]]
    both = np.mean([*members[0], *members[1], *plain])
    assert _value(found, candidates["average_of_2_and_trained"]) == pytest.approx(both)
    assert "average_of_8" not in candidates
    assert _value(found, candidates["best_member"]) == 1.0


def test_candidates_are_ordered_by_validation_and_the_greedy_average_only_improves():
    found = descendants(_Search())
    losses = [_value(found, members) ** 2 for _, members in found.candidates]
    assert losses == sorted(losses)
    greedy = _value(found, dict(found.candidates)["greedy_average"]) ** 2
    assert greedy <= min(VALUES[3][:-1]) ** 2


def test_the_plain_networks_average_is_a_reference_and_no_candidate():
    found = descendants(_Search())
    assert set(found.rivals) == {PLAIN_AVERAGE}
    # Of the averages of the last 2 (-2.25) and of more states that exist (3), the nearest to 0.
    assert _value(found, found.rivals[PLAIN_AVERAGE]) == pytest.approx(-2.25)
    assert found.networks[PLAIN_NETWORK]["stem_conv/kernel"].flat[0] == -0.5


def test_a_network_has_the_provenance_of_its_own_lineage_and_not_of_a_stranger(tmp_path):
    stranger, best = (
        donor.replace(provenance={"source": f"{donor.name}.pth"}) for donor in search_donors(TINY)
    )

    class Trainer(FakeExecutor):
        """Prefers what is near to the second donor, and teaches nothing."""

        def answer(self, task):
            tensors = self.composed(task)
            if not isinstance(task, EvaluationTask):
                return Outcome(tensors, None, 0, 0.01)
            kernel = "stem_conv/kernel"
            part = {"loss": float(np.square(tensors[kernel] - best.tensors[kernel]).mean())}
            found = Evaluation(dict.fromkeys(task.parts, part), 1.0, weights=tensors)
            return Outcome(found, None, 0, 0.01)

    kind = Lamarck(population=2, generations=2)
    result, _ = run_search(tmp_path, Trainer(), kind, donors=[stranger, best])
    made = result.donors[2:]
    assert made
    assert {donor.provenance["source"] for donor in made} == {"b.pth"}
