"""Finals over made-up losses: who is chosen, on which seeds, and how often luck wins."""

import random
from unittest.mock import MagicMock

import pytest
from scipy import stats

from efn_compose.arch import arch_spec
from efn_compose.compose import Recipe, genome_space
from efn_compose.evolve.verdict.finals import Finals
from efn_compose.evolve.verdict.verdict import AVERAGE, COMPOSED
from efn_compose.evolve.workers.seat import Seat
from efn_compose.evolve.workers.tasks import Evaluation

SEEDS = 5


class MadeUpLedger:
    """Answers tasks: a recipe's worth, what a seed does to all, and luck of its own."""

    def __init__(self, worth, luck=1.0, seed=0, broken=()):
        self.worth, self.luck, self.broken = worth, luck, broken
        self.random = random.Random(seed)
        self.common = {}
        self.asked = []

    def evaluate(self, purpose, tasks, seat, arms):
        found = []
        for task, arm in zip(tasks, arms, strict=True):
            self.asked.append((purpose.phase, arm, task.seed, task.recipe))
            common = self.common.setdefault(task.seed, self.random.gauss(0, 10))
            loss = self.worth(task.recipe) + common + self.random.gauss(0, self.luck)
            scores = {part: {"loss": loss, "accuracy": 0.5} for part in task.parts}
            is_broken = (purpose.phase, arm) in self.broken
            found.append(Evaluation(error="broken") if is_broken else Evaluation(scores, 1.0))
        return found


def finals(ledger, donors):
    space = genome_space(arch_spec("lite-w0.25-d0.3"), donors, "block")
    seat = Seat(space, ({},) * donors)
    names = [f"donor{n}" for n in range(donors)]
    return Finals(seat, names, 1.0, 3, SEEDS, ledger, MagicMock())


def compositions(space, count):
    """Return genomes of the first two donors."""
    length = len(space.loci)
    return [Recipe.genome((0,) * (n + 1) + (1,) * (length - n - 1)) for n in range(count)]


@pytest.mark.parametrize("donors", [1, 3])
def test_luck_of_the_choice_does_not_win(donors):
    """Where all are equal, one challenger is ahead as often as Student's t says; not the best of five."""
    runs, written = 500, 0
    for seed in range(runs):
        table = finals(MadeUpLedger(lambda recipe: 0.0, seed=seed), donors)
        recipes = compositions(genome_space(arch_spec("lite-w0.25-d0.3"), 2, "block"), 4)
        found = table.decide(recipes)
        written += not found.verdict.winner.startswith("donor")
    by_chance = stats.t.cdf(-1, SEEDS - 1)
    margin = 3 * (by_chance * (1 - by_chance) / runs) ** 0.5
    if donors == 1:
        assert written / runs == pytest.approx(by_chance, abs=margin)
    else:
        # The best of three donors was lucky, too.
        assert written / runs < by_chance


def test_the_chosen_one_is_judged_on_other_seeds_than_it_was_chosen_on():
    ledger = MadeUpLedger(lambda recipe: 0.0)
    table = finals(ledger, 2)
    found = table.decide(compositions(table.seat.space, 3))
    chosen_on = {seed for _, arm, seed, _ in ledger.asked if arm.startswith("finalist")}
    judged_on = {arm: [s for _, a, s, _ in ledger.asked if a == arm] for arm in found.arms}
    assert len(chosen_on) == SEEDS
    assert set(found.arms) == {COMPOSED, AVERAGE, "donor0", "donor1"}
    first = judged_on.pop(COMPOSED)
    assert all(seeds == first for seeds in judged_on.values())
    assert not chosen_on & set(first) and found.seed == first[0]


def test_the_average_is_chosen_where_it_is_the_best_and_wins():
    average = Recipe.average(2)
    ledger = MadeUpLedger(lambda recipe: -5.0 if recipe == average else 0.0, luck=0.1)
    table = finals(ledger, 2)
    found = table.decide(compositions(table.seat.space, 2))
    assert (found.verdict.winner, found.winner) == (AVERAGE, average)
    assert "The uniform average of all donors beat the best donor" in found.verdict.words


def test_the_next_takes_the_place_of_a_challenger_that_fails():
    ledger = MadeUpLedger(
        lambda recipe: -2.0 * (recipe.kind == "average" or len(set(recipe.values)) > 1),
        luck=0.1, broken={("test", COMPOSED)},
    )  # fmt: skip
    table = finals(ledger, 2)
    found = table.decide(compositions(table.seat.space, 2))
    assert COMPOSED not in found.arms
    assert found.verdict.winner == AVERAGE


def test_a_random_composition_may_be_the_challenger():
    space = finals(None, 2).seat.space
    first, second = compositions(space, 2)
    ledger = MadeUpLedger(lambda recipe: -3.0 if recipe == second else 0.0, luck=0.1)
    found = finals(ledger, 2).decide([first], control=[second])
    assert (found.verdict.winner, found.winner) == ("random_search", second)
    assert "The search's best relative to the best of as many random compositions" in (
        found.verdict.words
    )
