"""Which short score of a composition of relatives foretells its fine-tuning?

Purpose: a search is as good as its scale. Donors of one lineage and random compositions of them by share
         are scored in many short ways, and fine-tuned for eight epochs. A way is good where it ranks them as
         the fine-tuning does.
Command: TF_NUM_INTRAOP_THREADS=1 TF_NUM_INTEROP_THREADS=1 python experiments/relatives_instrument.py
         A composition that the journal has is not scored again; --summary writes the table alone.
         --labels 1600 does so with more images.
Time:    about 25 processor seconds for a composition and 320 labels
Result:  experiments/results/relatives_instrument.md
"""

import argparse
import json
import os
import random
import statistics
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from measured import measured
from relatives import TARGETS
from relatives_bench import LABELS, Bench, donors_of
from relatives_data import ancestor, answers_after, data_of, relatives, traced

from efn_compose.assess.metrics import best_temperature, scores
from efn_compose.compose import Genome, Recipe, genome_space
from efn_compose.compose.averaging import Tensors
from efn_compose.evolve.options import FitnessOptions
from efn_compose.evolve.workers.evaluator import Evaluator
from efn_compose.evolve.workers.seat import Seat
from efn_compose.evolve.workers.tasks import EvaluationTask

JOURNAL = Path(__file__).parent / "results" / "relatives_instrument.jsonl"
PAGE = JOURNAL.with_suffix(".md")
#: What people write stands above, what the journal says below.
MARK = "<!-- Below this line: python experiments/relatives_instrument.py --summary -->\n"
COMPOSITIONS = 14
#: Donors and compositions that a correlation rests on.
FEWEST = 8
#: Course of the rate, epochs and highest rate of each short way.
WAYS: Sequence[tuple[str, int, float]] = (
    ("constant", 1, 3e-4), ("constant", 1, 1e-3), ("constant", 1, 3e-3), ("cosine", 1, 1e-3),
    ("cosine", 1, 3e-3), ("cosine", 2, 1e-3), ("cosine", 2, 3e-3), ("cosine", 4, 1e-3),
    ("constant", 3, 1e-3),
)  # fmt: skip
WAY_SEEDS = (11, 12)
#: The fine-tuning that is to be foretold.
TRUTH, TRUTH_SEEDS = ("cosine", 8, 1e-3), (21, 22, 23)
PROBES = ("accuracy", "knn")


def reached(
    worker: Evaluator, tensors: Tensors, seed: int, epochs: int, factor: float, part: str
) -> tuple[float, float]:
    """Return the loss on a part after a training, as it is and at the best temperature."""
    logits, labels = answers_after(worker, tensors, seed, epochs, factor, part)
    return tuple(
        scores(logits, labels, "accuracy", temperature=temperature)["loss"]
        for temperature in (1.0, best_temperature(logits, labels))
    )


def scored(
    workers: Mapping[str, Evaluator],
    rate: float,
    tensors: Sequence[Tensors],
    genome: Genome,
    known: Mapping[str, object],
) -> dict[str, object]:
    """Return what the ways that are not known yet, and the fine-tuning, say of a genome."""
    space = genome_space(workers["cosine"].setup.spec, len(tensors), "stage_share")
    composed = dict(Recipe("genome", genome).compose(space, tensors))
    worker = workers["cosine"]
    worker.sit(Seat(space, tensors))
    row: dict[str, object] = {}
    seconds = {}
    if "probe" not in known:
        begun = time.process_time()
        probe = EvaluationTask(Recipe.genome(genome), 1, 0.0, ("validation",), probe=True)
        found = probe.run(worker).scores["validation"]
        row["probe"] = {name: found[name] for name in PROBES}
        seconds["probe"] = time.process_time() - begun
    for course, epochs, highest in WAYS:
        if (name := way_name(course, epochs, highest)) in known:
            continue
        begun = time.process_time()
        row[name] = [
            reached(workers[course], composed, seed, epochs, highest / rate, "validation")
            for seed in WAY_SEEDS
        ]
        seconds[name] = (time.process_time() - begun) / len(WAY_SEEDS)
    if "truth" not in known:
        course, epochs, highest = TRUTH
        row["truth"] = [
            reached(workers[course], composed, seed, epochs, highest / rate, "test")
            for seed in TRUTH_SEEDS
        ]
    return row | {"seconds": {name: round(spent, 2) for name, spent in seconds.items()}}


def is_whole(row: Mapping) -> bool:
    """Return whether a line has all ways and the fine-tuning."""
    return {"truth", "probe", *(way_name(*way) for way in WAYS)} <= set(row)


def merged(rows: Sequence[Mapping]) -> list[dict]:
    """Return one line per target, number of labels and genome; later lines add ways to earlier ones."""
    found: dict[tuple, dict] = {}
    for row in rows:
        known = found.setdefault((row["target"], row["labels"], row["genome"]), {})
        known |= {**row, "seconds": known.get("seconds", {}) | row["seconds"]}
    return list(found.values())


def way_name(course: str, epochs: int, rate: float) -> str:
    """Return a way as tables name it."""
    return f"{epochs} epoch{'s' if epochs > 1 else ''}, {rate:g} {course}"


def run(options: argparse.Namespace) -> None:
    """Score everything that the journal has not."""
    done = {(row["target"], row["labels"], row["genome"]): row for row in merged(measured(JOURNAL))}
    made, base, rate = relatives(options.folder), ancestor(), 1e-3
    makers = {
        course: traced(base, FitnessOptions(learning_rate=rate, schedule=course))
        for course in ("constant", "cosine")
    }
    for target in options.targets:
        data, given = (
            data_of(target, options.labels, 1),
            donors_of(target, "all", made, base, options.folder),
        )
        workers = {course: maker.worker(data) for course, maker in makers.items()}
        tensors = [donor.tensors for donor in Bench(data, given, workers["cosine"], 0).donors]
        space = genome_space(base.spec, len(given), "stage_share")
        generator = random.Random(7)
        genomes = {donor.name: space.pure(number) for number, donor in enumerate(given)}
        genomes |= {f"drawn {n}": space.draw(generator) for n in range(COMPOSITIONS)}
        for name, genome in genomes.items():
            known = done.get((target, options.labels, name), {})
            if is_whole(known):
                continue
            row = {
                "target": target,
                "labels": options.labels,
                "genome": name,
                **scored(workers, rate, tensors, genome, known),
            }
            with JOURNAL.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
            print(target, name, *row, flush=True)


#: By target and number of labels, the lines and the fine-tuned loss of each.
Found = Mapping[str, tuple[Sequence[Mapping], Sequence[float]]]


def summary(rows: Sequence[Mapping]) -> None:
    """Write how each way ranks against the fine-tuning, and what it would choose."""
    rows = [row for row in rows if is_whole(row)]
    found: dict[str, tuple[Sequence[Mapping], Sequence[float]]] = {}
    settings = sorted({(TARGETS.index(row["target"]), row["labels"]) for row in rows})
    for number, labels in settings:
        target = TARGETS[number]
        own = [row for row in rows if (row["target"], row["labels"]) == (target, labels)]
        if len(own) >= FEWEST:
            name = target if labels == LABELS else f"{target} with {labels} labels"
            found[name] = own, [statistics.fmean(p[1] for p in row["truth"]) for row in own]
    numbers = ", ".join(f"{len(own)} of {target}" for target, (own, _) in found.items())
    lines = [*_ranks(found), *_choices(found), f"\nCompositions and donors: {numbers}."]
    text = PAGE.read_text(encoding="utf-8") if PAGE.exists() else ""
    PAGE.write_text(
        text.partition(MARK)[0] + MARK + "\n" + "\n".join(lines) + "\n", encoding="utf-8"
    )


def _ranks(found: Found) -> list[str]:
    """Return the rank correlation of each way with the fine-tuning, the mean over its seeds."""
    from scipy.stats import spearmanr

    def seconds(name: str) -> str:
        return (
            f"{statistics.median(r['seconds'][name] for own, _ in found.values() for r in own):.1f}"
        )

    lines = [
        f"| way | {_heads(found)} | processor s |",
        f"|---|{'---:|' * (2 * len(found) + 1)}",
    ]
    for name in (way_name(*way) for way in WAYS):
        cells = [
            statistics.fmean(
                # One seed at a time, as a search has it.
                spearmanr([row[name][n][kind] for row in own], truth)[0]
                for n in range(len(WAY_SEEDS))
            )
            for own, truth in found.values()
            for kind in (0, 1)
        ]
        lines.append(f"| {name} | {' | '.join(f'{v:.2f}' for v in cells)} | {seconds(name)} |")
    for name in PROBES:
        cells = (
            f"{spearmanr([-row['probe'][name] for row in own], truth)[0]:.2f} | "
            for own, truth in found.values()
        )
        lines.append(f"| no epoch, {name} | {' | '.join(cells)} | {seconds('probe')} |")
    return lines


def _choices(found: Found) -> list[str]:
    """Return the fine-tuned losses of what each way would choose, the mean over its seeds."""
    lines = [
        "\nFine-tuned test loss of the start that each way puts first:\n",
        f"| way | {_heads(found)} |",
        f"|---|{'---:|' * (2 * len(found))}",
    ]
    for name in (way_name(*way) for way in WAYS):
        cells = [
            statistics.fmean(
                min((row[name][n][kind], loss) for row, loss in zip(own, truth, strict=True))[1]
                for n in range(len(WAY_SEEDS))
            )
            for own, truth in found.values()
            for kind in (0, 1)
        ]
        lines.append(f"| {name} | {' | '.join(f'{v:.3f}' for v in cells)} |")
    for words, pick in (("the best of all", min), ("the mean of all", statistics.fmean)):
        twice = [f"{pick(truth):.3f} | {pick(truth):.3f}" for _, truth in found.values()]
        lines.append(f"| {words} | {' | '.join(twice)} |")
    return lines


def _heads(found: Found) -> str:
    """Return the heads of two columns per target."""
    kinds = ("as it is", "best temperature")
    return " | ".join(f"{target}, {kind}" for target in found for kind in kinds)


def main() -> None:
    """Score, or only write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--summary", action="store_true", help="write the table and stop")
    parser.add_argument("--targets", nargs="*", default=list(TARGETS))
    parser.add_argument("--labels", type=int, default=LABELS, help="training images")
    parser.add_argument("--folder", type=Path, default=Path("runs/relatives"), help="relatives")
    options = parser.parse_args()
    if not options.summary:
        run(options)
    summary(merged(measured(JOURNAL)))


if __name__ == "__main__":
    main()
