"""The pages of the ready-made studies, in Markdown."""

from collections.abc import Sequence

import numpy as np
from lab.study_answers import compound_answer, free_answer, free_verdicts, growths, scaling_answer

from efn_compose.analysis.reading.figures import mean_and_error
from efn_compose.analysis.reading.study.budget import budget_lines, spreads
from efn_compose.analysis.reading.study.free_scores import FREE_NAMES, free_ranks
from efn_compose.analysis.reading.study.view import StudyView, level_text
from efn_compose.analysis.reading.study.words import data_verdicts, interaction_lines, verdict
from efn_compose.assess.studies.interactions import TOLD_APART

#: Weight files that an experiment made, and where they come from.
RELATIVES = (
    "The donors {names} are Lite0 from ImageNet, trained on for four epochs on 2,000 crops of pictures "
    "of these kinds at 32 px, as `experiments/relatives.py` makes them in its folder, `runs/relatives`."
)
#: What a page says of a study with a single fold.
ONE_SPLIT = (
    " All are judged on the same images: errors and intervals are those over seeds, and other images may "
    "say otherwise."
)


def study_page(kind: str, command: str, made: Sequence[str], parts: dict[str, StudyView]) -> str:
    """Return the page of a study.

    Args:
        kind: "scaling", "methods" or "backbones".
        command: That makes it.
        made: Names of donors that `experiments/relatives.py` made.
        parts: Studies by title; the first one gives the answer.
    """
    lines = [f"# Study: {kind}\n", f"`{command}`\n"]
    if made:
        lines.append(RELATIVES.format(names=", ".join(made)) + "\n")
    answer = compound_answer(parts) if kind == "scaling" else _answer(next(iter(parts.values())))
    lines += [f"**{answer}**\n", *_equality(parts)]
    return "\n".join([*lines, *(_part(title, view, answer) for title, view in parts.items())])


def _equality(parts: dict[str, StudyView]) -> list[str]:
    """Return how equal the processor seconds of trainings came out, one table for all studies."""
    rows = [
        f"| {title} | {one.data} | {one.lowest:.2f} to {one.highest:.2f} | {100 * one.variation:.1f} % |"
        for title, view in parts.items()
        for one in spreads(view)
    ]
    if not rows:
        return []
    return [
        "Processor seconds of a training's epochs, tracing left out: from the quickest combination to the "
        "slowest, and the standard deviation over combinations by their mean.\n",
        "| trainings have | data | seconds | variation |",
        "|---|---|---|---|",
        *rows,
        "",
    ]


def _answer(view: StudyView) -> str:
    kind = view.design["kind"]
    if kind == "scaling":
        return scaling_answer(view, view.metric)
    return free_answer(view) if kind == "backbones" else _effects_answer(view)


def _effects_answer(view: StudyView) -> str:
    """Name the axes of two levels whose effect is told apart, the largest first."""
    found = []
    for (axis, levels), effects in zip(view.axes, view.effects, strict=True):
        best = min((view.sign * e.mean, n) for n, e in enumerate(effects) if e.mean is not None)[1]
        low, high = effects[best].low, effects[best].high
        if low is not None and high is not None and low * high > 0:
            gain = abs(effects[best].mean - effects[1 - best].mean)
            found.append((gain, f"{axis} {level_text(levels[best])} ({gain:.2f})"))
    words = ", ".join(text for _, text in sorted(found, reverse=True))
    rest = len(view.axes) - len(found)
    depends = [
        axis
        for (axis, _), chance in zip(view.axes, view.interactions, strict=True)
        if chance <= TOLD_APART
    ]
    end = f" What {' and '.join(depends)} do depends on the data set." if depends else ""
    return (
        f"On average over the data sets these settings lower the {view.metric}: {words}. The other "
        f"{rest} are not told apart.{end}"
    )


def _part(title: str, view: StudyView, told: str) -> str:
    images = ", ".join(f"{count} images of {name}" for name, count in view.design["images"].items())
    repeats = len(view.design["blocks"])
    lines = [
        f"## {title.capitalize()}\n",
        f"{images}; a fifth validates; {repeats} trainings per combination and data "
        f"set.{'' if view.has_folds else ONE_SPLIT}\n",
        *(f"- {words}" for words in budget_lines(view)[:1]),
        *([] if _answer(view) == told else [f"- {_answer(view)}"]),
        *_by_accuracy(view),
        *(
            f"- {words}"
            for words in (verdict(view), *data_verdicts(view), *interaction_lines(view))
        ),
        "",
        *_effects(view),
        "",
        *_growths(view),
        *_combinations(view),
        *_free(view),
    ]
    return "\n".join(lines) + "\n"


def _effects(view: StudyView) -> list[str]:
    by_data = view.effects_by_data
    lines = [
        "Intervals are of each effect alone: of 20 effects that are nothing, one leaves out 0 by luck.\n",
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


def _by_accuracy(view: StudyView) -> list[str]:
    if view.design["kind"] != "scaling" or view.metric == "accuracy":
        return []
    return [f"- By accuracy: {scaling_answer(view, 'accuracy')}"]


def _growths(view: StudyView) -> list[str]:
    """Return what a doubling of multiply-adds is worth by each axis of `study scaling`."""
    if view.design["kind"] != "scaling":
        return []
    scores = dict.fromkeys((view.metric, "accuracy"))
    places = [(score, data) for score in scores for data in (None, *range(len(view.data_sets)))]
    columns = [growths(view, score, data) for score, data in places]
    head = [f"{s}, {'all' if d is None else view.data_sets[d]}" for s, d in places]
    lines = [
        "What a doubling of multiply-adds by one axis alone changes, 95 % intervals:\n",
        f"| axis | {' | '.join(head)} |",
        "|---|" + "---|" * len(columns),
    ]
    for row in zip(*columns, strict=True):
        lines.append(f"| {row[0].axis} | {' | '.join(map(str, row))} |")
    return [*lines, ""]


def _combinations(view: StudyView) -> list[str]:
    """Return the table of combinations: differences over all data sets, scores on each."""
    lines = [
        f"Difference: {view.metric} less the mean of its data set and seed. On each data set: "
        f"{view.metric}, accuracy. {_clock_words(view)}\n",
        "| combination | difference | standing | "
        + " | ".join(view.data_sets)
        + " | M multiply-adds | epochs | processor seconds |",
        "|---|---|---|" + "---|" * len(view.data_sets) + "---|---|---|",
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
            f"{' or '.join(map(str, view.epochs(number)))} | {_spent(view, number)} |"
        )
    return lines


def _clock_words(view: StudyView) -> str:
    if np.isfinite(view.spent).any():
        return "Processor seconds: of a training's epochs, tracing left out."
    return "No processor seconds: of an earlier run, which noted the time on the wall alone."


def _spent(view: StudyView, number: int) -> str:
    return "–" if np.isnan(view.spent[number]) else f"{view.spent[number]:.2f}"


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
    names = [f"loses on {data}" for data in view.data_sets]
    lines += [
        "",
        "Over all data sets; and what the donor that the score puts first loses against the best "
        f"one, in {view.metric}:\n",
        f"| score without training | mean rank correlation, 95 % interval | {' | '.join(names)} |",
        "|---|---|" + "---|" * len(names),
    ]
    for one in free_verdicts(view):
        regrets = " | ".join(f"{regret:.4f}" for regret in one.regrets)
        words = f"{one.correlation:+.2f} ({one.low:+.2f} to {one.high:+.2f})"
        lines.append(f"| {one.score} | {words} | {regrets} |")
    return lines
