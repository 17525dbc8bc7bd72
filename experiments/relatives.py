"""What a search over relatives finds: donors of one lineage that have each learnt something else.

Purpose: Lite0 from ImageNet, its fine-tunings on four other data sets and its pretrainings by three
         objectives on the target's images without labels are the donors; a fifth data set is the target.
         Every arm makes starting weights, without a classifier. They are scored on
         the test images after two epochs, as a search judges, and after eight at a smaller rate, on seeds
         of their own, the same for all arms.
         Searches have equal evaluations; the control of each is random search of the same encoding.
Command: TF_NUM_INTRAOP_THREADS=1 TF_NUM_INTEROP_THREADS=1 python experiments/relatives.py --seeds 0 1 2
         An arm that the journal has is not run again; --summary writes the tables alone.
Time:    about 20 processor minutes for a target and a seed, judging by a shortened run; the results
         say it arm by arm.
Result:  experiments/results/relatives.md
"""

import argparse
import itertools
import json
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from measured import measured
from relatives_bench import CHOICE_SEEDS, FITNESS, LABELS, RELATIVES, Bench, bench_of
from relatives_data import CLIP_ART, TILED, ancestor, relatives, traced
from relatives_tables import MORE, is_search, summary, with_more_seeds
from searching import InProcess, Searched, search

from efn_compose.compose import Recipe, genome_space
from efn_compose.compose.averaging import Tensors
from efn_compose.compose.space import Granularity
from efn_compose.donors.options import DonorOptions
from efn_compose.evolve.kinds.cma import Cma
from efn_compose.evolve.kinds.genetic import Genetic
from efn_compose.evolve.kinds.kind import SearchKind
from efn_compose.evolve.kinds.random import Random
from efn_compose.evolve.options import FinalsOptions
from efn_compose.evolve.workers.seat import Seat
from efn_compose.evolve.workers.tasks import EvaluationTask
from efn_compose.soups import greedy_soup, uniform_soup
from efn_compose.soups.learned import SoupLearner

HERE = Path(__file__).parent
JOURNAL = HERE / "results" / "relatives.jsonl"
TARGETS = ("garments", "digits", CLIP_ART, TILED, "textures")
#: Evaluations of a search: of its first generation, and of each further one.
POPULATION, GENERATIONS = 12, 7
FINALS = FinalsOptions(noise_repeats=3, finalists=3, final_seeds=3)


@dataclass(frozen=True)
class Made:
    """The starting weights that an arm made.

    Args:
        tensors: By canonical name.
        epochs: Passes over the training images that they cost.
        note: What is worth keeping.
        donor: The donor that these are; of a search, the one that it wrote in their place.
        saved: Seconds of evaluations whose answers were known.
    """

    tensors: Tensors
    epochs: float
    note: object = None
    donor: str = ""
    saved: float = 0.0


def ancestor_alone(bench: Bench) -> Made:
    """The common ancestor."""
    return Made(bench.donors[0].tensors, 0, donor=bench.donors[0].name)


def best_relative(bench: Bench) -> Made:
    """The donor that validates best, the ancestor among them."""
    losses = [bench.validation_loss(donor.tensors) for donor in bench.donors]
    best = int(np.argmin(losses))
    names = [donor.name for donor in bench.donors]
    note = dict(zip(names, np.round(losses, 4).tolist(), strict=True)) | {"chosen": names[best]}
    spent = CHOICE_SEEDS * bench.fitness.passes * len(losses)
    return Made(bench.donors[best].tensors, spent, note, names[best])


def uniform(bench: Bench) -> Made:
    """The plain average of all donors."""
    return Made(uniform_soup(bench.donors).tensors, 0)


def greedy(bench: Bench) -> Made:
    """The greedy soup."""
    found = greedy_soup(bench.donors, lambda donor: -bench.validation_loss(donor.tensors))
    members = [bench.donors[number].name for number in found.members]
    return Made(
        found.donor.tensors, CHOICE_SEEDS * bench.fitness.passes * found.evaluations, members
    )


def learned(bench: Bench) -> Made:
    """The soup whose weights per segment are learnt on the training images."""
    space = genome_space(bench.given[0].spec, len(bench.donors), "block")
    tensors = [donor.tensors for donor in bench.donors]
    model, epochs = bench.evaluator.network, 8 * bench.stretch
    model.load(tensors[0], bench.seed)
    learner = SoupLearner(
        model.model, space.spec, bench.given[0].conventions, bench.data.classes, tensors
    )
    order = model.epoch_order(len(bench.data.train_labels), bench.seed, epochs)
    labels = bench.evaluator.train_labels
    found = learner.learn(bench.data.train_images, labels, order, seed=bench.seed)
    soup = Recipe.by_segment(found.weights).compose(space, tensors)
    return Made(dict(soup), epochs, found.weights.mean(axis=0).round(3).tolist())


def ratatouille(bench: Bench) -> Made:
    """Fine-tunings of all donors on the target, averaged (Ramé et al. 2023, arXiv:2212.10445)."""
    epochs = round(bench.fitness.passes * POPULATION * (GENERATIONS + 1)) // len(bench.donors)
    space = genome_space(bench.given[0].spec, len(bench.donors), "block")
    bench.evaluator.sit(Seat(space, [donor.tensors for donor in bench.donors]))
    members = []
    for number, donor in enumerate(bench.donors):
        recipe = Recipe.genome(space.pure(number))
        seeds = {"seed": 100 * bench.seed + number, "head_seed": bench.seed}
        task = EvaluationTask(recipe, epochs=float(epochs), parts=(), keep_weights=True, **seeds)
        weights = task.run(bench.evaluator).weights
        body = {name: weights[name] for name in donor.tensors}
        members.append(donor.replace(tensors=body))
    return Made(uniform_soup(members).tensors, epochs * len(members))


def run_search(
    bench: Bench, executor: InProcess, kind: type[SearchKind], granularity: Granularity
) -> Searched:
    """Run a search with its finals."""
    return search(
        executor,
        bench.data,
        bench.given,
        DonorOptions(absorb="body", ancestor=bench.given[0].name),
        kind(population=POPULATION, generations=GENERATIONS),
        granularity,
        FINALS,
        bench.fitness,
        bench.seed,
    )


def searched(kind: type[SearchKind], granularity: Granularity) -> Callable[[Bench], Made]:
    """Return an arm: what a search found in its finals."""

    def arm(bench: Bench) -> Made:
        executor = InProcess(bench.evaluator, bench.answers)
        run = run_search(bench, executor, kind, granularity)
        result, lines = run.result, run.rows
        # What the search found, whether or not the verdict wrote it.
        tested = [line for line in lines if line.get("phase") == "test"]
        values = tested[-1]["recipe"]["values"] if tested else result.winner.values
        tensors = Recipe("genome", tuple(values)).compose(run.seat.space, run.seat.donors)
        found, winner = result.verdict.validation, result.verdict.winner
        note = {
            "written": winner,
            "validation": None if found is None else [found.mean, found.standard_error],
            "evaluations": len(lines),
            "genes": values,
            # Every look: generation, genes, loss. What another end of the search would have put up
            # can be told from them.
            "looks": [
                [line["generation"], line["recipe"]["values"], line["scores"]["validation"]["loss"]]
                for line in lines
                if line.get("phase") == "search" and line["scores"]
            ],
        }
        return Made(
            tensors, executor.epochs, note, "" if winner == "composed" else winner, executor.saved
        )

    return arm


def best_draw(bench: Bench) -> Made:
    """The best of random draws over shares, as in a textbook: without a surrogate.

    Draws and their evaluations are those of the random search; the best few are evaluated again.
    """
    executor = InProcess(bench.evaluator, bench.answers)
    run = run_search(bench, executor, Random, "network_share")
    space, tensors = run.seat.space, run.seat.donors
    pure = {space.pure(number) for number in range(space.donor_count)}
    looks = [row for row in run.rows if row.get("phase") == "search" and row["scores"]]
    looks.sort(key=lambda row: row["scores"]["validation"]["loss"])
    genomes = dict.fromkeys(tuple(row["recipe"]["values"]) for row in looks)
    best = [genome for genome in genomes if genome not in pure][: FINALS.finalists]
    made = [Recipe.genome(genome).compose(space, tensors) for genome in best]
    losses = [bench.validation_loss(composed) for composed in made]
    chosen = int(np.argmin(losses))
    note = {
        "genes": best[chosen],
        "losses": np.round(losses, 4).tolist(),
        # All that the seconds are of: the run has finals, too, which are not asked.
        "evaluations": len(run.rows) + CHOICE_SEEDS * len(best),
    }
    epochs = (len(looks) + CHOICE_SEEDS * len(best)) * bench.fitness.passes
    return Made(made[chosen], epochs, note, saved=executor.saved)


ARMS: Mapping[str, Callable[[Bench], Made]] = {
    "ancestor": ancestor_alone,
    "best relative": best_relative,
    "uniform soup": uniform,
    "random search, network shares": searched(Random, "network_share"),
    "random search, network shares, no surrogate": best_draw,
    "CMA-ES, network shares": searched(Cma, "network_share"),
    "genetic search, network shares": searched(Genetic, "network_share"),
    "random search, stage shares": searched(Random, "stage_share"),
    "CMA-ES, stage shares": searched(Cma, "stage_share"),
    "genetic search, stage shares": searched(Genetic, "stage_share"),
    "ratatouille": ratatouille,
    "greedy soup": greedy,
    "learned soup": learned,
    "genetic search, blocks": searched(Genetic, "block"),
    "random search, blocks": searched(Random, "block"),
    "genetic search, units": searched(Genetic, "unit"),
    "random search, units": searched(Random, "unit"),
}


def finished() -> list[dict]:
    """Return the lines of the journal, with the further seeds of their endpoints."""
    return with_more_seeds(measured(JOURNAL), measured(MORE))


def run(options: argparse.Namespace) -> None:
    """Run all arms that the journal has not."""
    keys = ("target", "labels", "seed", "relatives", "arm")
    known = {tuple(row[key] for key in keys) for row in finished()}
    made, base = relatives(options.folder), ancestor()
    workers = traced(base, FITNESS)
    wanted = itertools.product(options.seeds, options.labels, options.targets)
    for seed, labels, target in wanted:
        key = target, labels, seed, options.relatives
        arms = [arm for arm in options.arms if (*key, arm) not in known]
        if not arms:
            continue
        bench = bench_of(
            target, labels, seed, options.relatives, made, base, workers, options.folder
        )
        for arm in arms:
            begun = time.process_time()
            found = ARMS[arm](bench)
            spent = time.process_time() - begun + found.saved
            # An arm that is a donor has that donor's weights; a search has found others.
            is_donor = found.donor and not is_search(arm)
            reached = (
                bench.endpoints_of(found.donor) if is_donor else bench.endpoints(found.tensors)
            )
            row = {
                "target": target, "labels": labels, "seed": seed, "relatives": options.relatives, "arm": arm,
                "epochs": found.epochs, "seconds": round(spent, 1), "note": found.note, **reached,
            }  # fmt: skip
            if is_search(arm):
                row["written"] = bench.endpoints_of(found.donor) if found.donor else reached
            with JOURNAL.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
            print(target, labels, seed, arm, round(spent, 1), row["as judged"], flush=True)


def main() -> None:
    """Run the experiment, or only write its tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--summary", action="store_true", help="write the tables and stop")
    parser.add_argument("--targets", nargs="*", default=list(TARGETS))
    parser.add_argument("--labels", nargs="*", type=int, default=[LABELS])
    parser.add_argument("--seeds", nargs="*", type=int, default=[0])
    parser.add_argument("--arms", nargs="*", default=list(ARMS), choices=list(ARMS))
    parser.add_argument("--relatives", choices=RELATIVES, default=RELATIVES[0])
    parser.add_argument("--folder", type=Path, default=Path("runs/relatives"), help="relatives")
    options = parser.parse_args()
    if not options.summary:
        run(options)
    summary(finished(), HERE / "results" / "relatives.md", list(ARMS))


if __name__ == "__main__":
    main()
