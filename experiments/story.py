"""What each chapter of story.toml is worth: the whole chain, and the chain without one of its parts.

    python experiments/story.py --seeds 1 2 3            (resumable; one line per seed and arm)
    python experiments/story.py --report                 (the tables from what has been measured)

Every seed has images of its own, and `run.seed` of its own. What arms have in common is made once: an arm
begins with files of the chain where they are what it would make. The labels of the new images are read
here and nowhere else, once per arm. A line has the arm's figures, and its difference from the chain with
the standard error over patients; the report pairs by seed.
Result: experiments/results/story.md
"""

import argparse
import csv
import dataclasses
import json
import os
import statistics
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from story_images import write_images

from efn_compose.assess.ensembles import compare, score
from efn_compose.data import load_table
from efn_compose.data.holding import Holding
from efn_compose.evolve.verdict.verdict import paired_difference
from efn_compose.jobs.donor_entries import load_entry
from efn_compose.jobs.pipeline.chapters import SCHEMAS
from efn_compose.jobs.pipeline.job import pipeline
from efn_compose.jobs.pipeline.story import Chapter, Story, read_story
from efn_compose.statistics.absorb import absorb_statistics
from efn_compose.store import read_journal
from efn_compose.store.run_folder import (
    ENVIRONMENT_FILE,
    JOURNAL_FILE,
    RESULT_FILE,
    WEIGHTS_FILE,
)

HERE = Path(__file__).parent
STORY, JOURNAL = HERE / "story.toml", HERE / "results" / "story.jsonl"
#: What story.toml calls its images.
IMAGES = "runs/story_images"
CHAIN = "the chain"
#: Images whose statistics are absorbed.
STATISTICS = 1024
#: The last chapters of the chain, which do not name the weights that all begin with.
LATER = ("larger_networks", "answer")


def change(chapter: Chapter, **settings: Any) -> Chapter:
    """Return a chapter with other settings; two underlines stand for a point."""
    changed = {key.replace("__", "."): value for key, value in settings.items()}
    return dataclasses.replace(chapter, settings={**chapter.settings, **changed})


def without_composition(story: Story, chain: Path) -> list[Chapter]:
    """Train the donor that the search found best in its finals, not a composition."""
    name = json.loads((chain / "magic" / RESULT_FILE).read_text("utf-8"))["best_donor"]
    relative = chain / name / "last.h5"
    entry = str(relative) if relative.is_file() else story["magic"].settings["donors.files"][0]
    return from_weights(story, entry)


def from_weights(story: Story, entry: str) -> list[Chapter]:
    """Return the chapters after the composition, which begin with other weights."""
    networks = change(story["networks"], weights__file=entry)
    larger = change(story["larger"], nest__file=entry)
    return [networks, larger, *(story[name] for name in LATER)]


def without_nesting(story: Story, chain: Path) -> list[Chapter]:
    """Join the networks that were not nested."""
    return [change(story["answer"], ensemble__runs=[str(chain / "networks")])]


def without_ensemble(story: Story, chain: Path) -> list[Chapter]:
    """Ask one network: of those that are not nested, or of those that are; out of fold decides."""
    columns = json.loads((chain / "answer" / RESULT_FILE).read_text("utf-8"))["columns"]
    best = max(columns, key=lambda name: columns[name]["score"])
    # Columns of several runs are called by the run's folder and the network.
    run = best.partition("/")[0]
    line = next(line for line in lines(chain) if line.get("chapter") == run)
    network = str(chain / line["products"]["weights"])
    return [change(story["first"], predict__networks=[network])]


def one_donor(story: Story, chain: Path) -> list[Chapter]:
    """Train the first donor as `train` does unless told otherwise, on four fifths of the labels."""
    kept = ("data.source", "data.size", "run.seed")
    settings = {key: story["networks"].settings[key] for key in kept}
    settings["weights.file"] = story["magic"].settings["donors.files"][0]
    return [Chapter("networks", "train", settings), story["first"]]


def without_pretraining(story: Story, chain: Path) -> list[Chapter]:
    """Train the donor with the unlabelled images' statistics, which is no learning from them."""
    file = chain.parent / "absorbed.h5"
    if not file.is_file():
        relative = story["views"].settings
        table = load_table(relative["unlabelled.source"], needs_labels=False)
        numbers = np.random.default_rng(relative["run.seed"]).permutation(len(table))[:STATISTICS]
        images = Holding("memory").hold(
            table.images, numbers, relative["unlabelled.size"], "", False
        )
        donor = load_entry(relative["weights.file"]).without_head()
        absorb_statistics(donor, images, "all").save(file)
    return from_weights(story, str(file))


def ten_of_one(story: Story, chain: Path) -> list[Chapter]:
    """Train five more networks of the same kind in place of five larger ones, on the same folds."""
    networks = story["networks"]
    settings = networks.settings | {
        "weights.file": str(chain / "magic" / WEIGHTS_FILE),
        "run.seed": networks.settings["run.seed"] + 1000,
        "validation.file": str(chain / "networks" / "folds.csv"),
    }
    more = Chapter("more", "train", settings)
    runs = [str(chain / "networks"), "{more}"]
    return [more, change(story["answer"], ensemble__runs=runs)]


ARMS: Mapping[str, Callable[[Story, Path], list[Chapter]]] = {
    CHAIN: lambda story, chain: list(story.chapters),
    "without composition": without_composition,
    "without pretraining and composition": without_pretraining,
    "without nesting": without_nesting,
    "without ensemble": without_ensemble,
    "one donor, default training": one_donor,
    "five more of Lite1, not nested": ten_of_one,
}


def lines(folder: Path) -> Sequence[Mapping[str, Any]]:
    """Return the journal's lines of a run."""
    return read_journal(folder / JOURNAL_FILE).records


def run_arm(arm: str, story: Story, place: Path) -> dict[str, Any]:
    """Run an arm, or go on with it; return its figures.

    Args:
        arm: Its name.
        story: The chain.
        place: Folder of the seed.
    """
    chain, folder = place / "the_chain", place / arm.replace(" ", "_").replace(",", "")
    changed = Story("story", tuple(ARMS[arm](story, chain)))
    file = place / f"{folder.name}.toml"
    file.write_text(changed.to_toml(), encoding="utf-8")
    going_on = (folder / ENVIRONMENT_FILE).is_file()
    ended = pipeline(file, output=folder, resume=going_on, quiet=True, say=print)
    assert ended.submission is not None
    labels, clusters, stated = read_answer(place / "images", ended.submission)
    figures = {name: score(name, labels, stated) for name in ("loss", "accuracy", "auc")}
    _, _, of_chain = read_answer(place / "images", chain / "submission.csv")
    against = {
        name: dataclasses.asdict(compare(mine, score(name, labels, of_chain), clusters))
        for name, mine in figures.items()
    }
    return {
        "scores": {name: mine.value for name, mine in figures.items()},
        "minus_chain": against,
        "chapters": {
            line["chapter"]: line["timing"]["seconds"]
            for line in lines(folder)
            if "chapter" in line
        },
    }


def read_answer(images: Path, submission: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return labels, patients and probabilities of the new images, (image,) and (image, class)."""

    def rows(path: Path) -> list[dict[str, str]]:
        with path.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))

    answer, truth, asked = rows(submission), rows(images / "truth.csv"), rows(images / "new.csv")
    names = [name for name in answer[0] if name not in ("image", "predicted", "spread")]
    stated = np.array([[float(row[name]) for name in names] for row in answer])
    labels = np.array([names.index(row["label"]) for row in truth])
    assert [Path(r["image"]).name for r in answer] == [Path(r["image"]).name for r in truth]
    clusters = np.unique([row["patient"] for row in asked], return_inverse=True)[1]
    return labels, clusters, stated


def read_chain(seed: int, images: Path, overrides: Sequence[str]) -> Story:
    """Return story.toml with the images and the seed of a repetition."""
    text = STORY.read_text("utf-8").replace(IMAGES, images.as_posix())
    text = text.replace("run.seed = 1", f"run.seed = {seed}")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "story.toml"
        file.write_text(text, encoding="utf-8")
        return read_story(file, SCHEMAS, overrides)


def measured(journal: Path) -> list[dict[str, Any]]:
    """Return the lines of the experiment's journal."""
    if not journal.exists():
        return []
    return [json.loads(line) for line in journal.read_text("utf-8").splitlines()]


def run_seed(seed: int, options: argparse.Namespace) -> None:
    """Run all arms of a seed that the journal lacks."""
    place = options.folder / f"seed{seed}"
    if not (place / "images" / "truth.csv").is_file():
        write_images(place / "images", seed, options.share)
    story = read_chain(seed, place / "images", options.set)
    for arm in ARMS:
        if any(row["seed"] == seed and row["arm"] == arm for row in measured(options.journal)):
            continue
        print(f"seed {seed}: {arm}", flush=True)
        row = {"seed": seed, "arm": arm, **run_arm(arm, story, place)}
        with options.journal.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")


def report(journal: Path) -> str:
    """Return which chapters paid, the table of all arms, and each seed's difference of loss."""
    found = measured(journal)
    seeds = sorted({row["seed"] for row in found})
    by_arm = {arm: {r["seed"]: r for r in found if r["arm"] == arm} for arm in ARMS}
    table = [
        "| arm | seeds | loss | accuracy | AUC | loss minus chain | accuracy minus chain, points | minutes |",
        "|---|---|---|---|---|---|---|---|",
    ]
    verdicts: dict[str, list[str]] = {words: [] for words in VERDICTS}
    each: list[str] = []
    for arm, rows in by_arm.items():
        if not rows:
            continue
        means = [
            statistics.fmean(abs(row["scores"][name]) for row in rows.values())
            for name in ("loss", "accuracy", "auc")
        ]
        minutes = statistics.fmean(sum(row["chapters"].values()) for row in rows.values()) / 60
        cells = [arm, str(len(rows)), *(f"{mean:.3f}" for mean in means), "", ""]
        if arm != CHAIN:
            gain, error = (-1, 1) * np.array(difference(rows, by_arm[CHAIN], "loss"))
            points = 100 * np.array(difference(rows, by_arm[CHAIN], "accuracy"))
            cells[-2:] = [f"{gain:+.4f} ± {error:.4f}", f"{points[0]:+.1f} ± {points[1]:.1f}"]
            if arm.startswith("without"):
                verdicts[verdict(gain, error)].append(arm.removeprefix("without "))
            cells_of = [_one_seed(rows[seed]) if seed in rows else "" for seed in seeds]
            each.append(f"| {arm} | " + " | ".join(cells_of) + " |")
        table.append("| " + " | ".join([*cells, f"{minutes:.1f}"]) + " |")
    words = " ".join(f"{key}: {', '.join(arms)}." for key, arms in verdicts.items() if arms)
    head = ["| loss minus chain | " + " | ".join(f"seed {seed}" for seed in seeds) + " |"]
    head.append("|---" * (len(seeds) + 1) + "|")
    return "\n".join([words, "", *table, "", *head, *each])


def _one_seed(row: Mapping[str, Any]) -> str:
    against = row["minus_chain"]["loss"]
    return f"{-against['difference']:+.4f} ± {against['standard_error']:.4f}"


#: From the surest gain to the surest cost.
VERDICTS = ("Paid", "May have paid", "Not told apart from nothing", "May have cost", "Cost")


def verdict(gain: float, error: float) -> str:
    """Return what a gain says: beyond two standard errors, beyond one, or neither."""
    if abs(gain) <= error:
        return VERDICTS[2]
    is_sure = abs(gain) > 2 * error
    return VERDICTS[(0 if is_sure else 1) if gain > 0 else (4 if is_sure else 3)]


def difference(rows: Mapping[int, Any], chain: Mapping[int, Any], name: str) -> tuple[float, float]:
    """Return an arm's score minus the chain's, with its error.

    The error is the larger one of two: over seeds, where three may agree by chance; and over the
    patients of all seeds, which knows nothing of how a repetition turns out.
    """
    seeds = sorted(rows.keys() & chain.keys())
    own = [rows[seed]["minus_chain"][name]["standard_error"] for seed in seeds]
    over_patients = float(np.sqrt(np.square(own).sum()) / len(seeds))
    pairs = [(rows[seed]["scores"][name], chain[seed]["scores"][name]) for seed in seeds]
    if len(seeds) == 1:
        return pairs[0][0] - pairs[0][1], over_patients
    found = paired_difference(*map(list, zip(*pairs, strict=True)))
    return found.mean, max(found.standard_error, over_patients)


def main() -> None:
    """Run what is asked for, then print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--folder", type=Path, default=Path("runs/stories"))
    parser.add_argument("--journal", type=Path, default=JOURNAL)
    parser.add_argument("--share", type=float, default=1.0, help="of the images, to try it small")
    parser.add_argument("--set", nargs="+", default=[], metavar="CHAPTER.SECTION.KEY=VALUE")
    parser.add_argument("--report", action="store_true", help="print what has been measured")
    options = parser.parse_args()
    if not options.report:
        for seed in options.seeds:
            run_seed(seed, options)
    print(report(options.journal))


if __name__ == "__main__":
    main()
