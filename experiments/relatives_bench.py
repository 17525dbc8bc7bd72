"""One target and one seed of the relatives' experiment: its images, donors and how they are scored."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from relatives_data import PICTURES_OF, answers_after, data_of
from relatives_unlabelled import unlabelled_relatives
from searching import Answers
from traced import Traced

from efn_compose.assess.metrics import best_temperature, scores
from efn_compose.compose.averaging import Tensors
from efn_compose.data import DataSet
from efn_compose.donors import Donor
from efn_compose.evolve.options import FitnessOptions
from efn_compose.evolve.workers.evaluator import Evaluator
from efn_compose.statistics.absorb import absorb_statistics

#: Of which relatives the donors are: fine-tunings on other data sets, objectives without labels, or both.
RELATIVES = ("all", "data sets", "objectives")
#: An evaluation: short, at a rate that moves the weights as far as a fine-tuning would.
FITNESS = FitnessOptions(epochs=2.0, learning_rate=3e-3, schedule="cosine")
#: Labelled images for which epochs are stated here. Fewer images have more epochs, for equal updates.
LABELS = 320
#: Seeds that a choice among given networks is made on.
CHOICE_SEEDS = 3
#: Epochs of `LABELS` images, highest rate and seeds of the endpoints.
ENDPOINTS = {"as judged": (2.0, 3e-3, 4), "fine-tuned": (8.0, 1e-3, 4)}


@dataclass
class Bench:
    """One target and one seed: its images, absorbed donors and traced network.

    Args:
        data: The target's images.
        given: The ancestor and its relatives, as they are.
        evaluator: Trains and scores.
        seed: Of the pipeline.
        stretch: Epochs in place of one of `LABELS` images.
        answers: Of earlier searches with the same data and donors.
    """

    data: DataSet
    given: Sequence[Donor]
    evaluator: Evaluator
    seed: int
    stretch: int = 1
    answers: Answers | None = None
    _known: dict[str, dict[str, dict[str, list[float]]]] = field(default_factory=dict)

    @property
    def fitness(self) -> FitnessOptions:
        """What an evaluation does."""
        return replace(FITNESS, epochs=FITNESS.passes * self.stretch)

    @cached_property
    def donors(self) -> list[Donor]:
        """The donors, absorbed on the training images as a search absorbs them."""
        return [absorb_statistics(d, self.data.train_images, "body") for d in self.given]

    def evaluate(
        self,
        tensors: Tensors,
        seed: int,
        part: str,
        epochs: float = FITNESS.passes,
        rate: float = FITNESS.learning_rate,
    ) -> Mapping[str, float]:
        """Return the scores on a part after some epochs of `LABELS` images at a highest rate."""
        factor, epochs = rate / FITNESS.learning_rate, epochs * self.stretch
        logits, labels = answers_after(self.evaluator, tensors, seed, epochs, factor, part)
        heat = best_temperature(logits, labels)
        return scores(logits, labels, "accuracy", temperature=heat)

    def validation_loss(self, tensors: Tensors) -> float:
        """Return the validation loss after an evaluation, the mean over seeds."""
        seeds = range(1000 * self.seed + 7, 1000 * self.seed + 7 + CHOICE_SEEDS)
        return statistics.fmean(self.evaluate(tensors, n, "validation")["loss"] for n in seeds)

    def endpoints_of(self, name: str) -> dict[str, dict[str, list[float]]]:
        """Return the endpoints of a donor, measured once."""
        if name not in self._known:
            (donor,) = (donor for donor in self.donors if donor.name == name)
            self._known[name] = self.endpoints(donor.tensors)
        return self._known[name]

    def endpoints(self, tensors: Tensors) -> dict[str, dict[str, list[float]]]:
        """Return test loss and accuracy by endpoint, one per seed."""
        found: dict[str, dict[str, list[float]]] = {}
        for name, (epochs, rate, count) in ENDPOINTS.items():
            seeds = range(500_000 + 100 * self.seed, 500_000 + 100 * self.seed + count)
            reached = [self.evaluate(tensors, seed, "test", epochs, rate) for seed in seeds]
            found[name] = {key: [round(s[key], 5) for s in reached] for key in ("loss", "accuracy")}
        return found


def donors_of(
    target: str, kind: str, made: Mapping[str, Donor], base: Donor, folder: Path
) -> list[Donor]:
    """Return the ancestor and its relatives but the target's own; see `RELATIVES` for the kinds."""
    given, own = [base], PICTURES_OF.get(target, target)
    if kind != "objectives":
        given += [donor for name, donor in made.items() if name != own]
    if kind != "data sets":
        given += unlabelled_relatives(own, folder).values()
    return given


def bench_of(
    target: str,
    labels: int,
    seed: int,
    kind: str,
    made: Mapping[str, Donor],
    base: Donor,
    workers: Traced,
    folder: Path,
) -> Bench:
    """Return one target and one seed; see `donors_of` for the donors."""
    data = data_of(target, labels, seed + 1)
    given = donors_of(target, kind, made, base, folder)
    answers = Answers(folder / "answers" / f"{target}_{labels}_{seed}_{kind}.pickle")
    stretch = round(max(1, LABELS / labels))
    return Bench(data, given, workers.worker(data), seed, stretch, answers)
