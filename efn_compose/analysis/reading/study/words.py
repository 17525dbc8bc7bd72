"""What a study found, in sentences, and for machines."""

from typing import Any

import numpy as np

from efn_compose.analysis.reading.figures import count
from efn_compose.analysis.reading.study.budget import budget_lines
from efn_compose.analysis.reading.study.free_scores import free_ranks
from efn_compose.analysis.reading.study.view import StudyView, level_text
from efn_compose.assess.studies.effects import Effect
from efn_compose.assess.studies.lead import Lead

#: Combinations that a sentence names; with more of them it says how many there are.
_NAMED = 3
#: What a verdict adds where each data set has a single fold.
ONE_FOLD = "One fold judged: the luck of its images is not covered."


def verdict(view: StudyView) -> str:
    """Return who is best over all data sets, where that is told apart; otherwise who is tied."""
    lead, several = view.lead, view.is_of_several
    end = ""
    if view.waiting:
        end = f" {count(view.waiting, 'training is', 'trainings are')} still to be made."
    if lead.leader is None:
        where = " of every data set" if several else ""
        return (
            f"No combination has a score of every fold and seed{where}{' yet' if end else ''}.{end}"
        )
    if len(view.points) == 1:
        return f"One combination was trained.{end}"
    over = f"over {len(view.data_sets)} data sets"
    compared = _compared(lead)
    if compared == 1:
        return f"Nothing to compare: {view.name(lead.leader)} alone has scores.{end}"
    if len(lead.tied) < compared and not view.has_folds:
        end = f" {ONE_FOLD}{end}"
    if lead.is_alone:
        best = f"Best{f' {over}' if several else ''}: {view.name(lead.leader)}."
        return f"{best}{_where_behind(view, lead.leader)}{end}"
    if len(view.block_data) < 2:
        return f"One seed tells nothing apart: give each combination two or more.{end}"
    tied = _tied(lead, compared, len(view.points))
    return f"{tied[0].upper()}{tied[1:]}{f' {over}' if several else ''}.{end}"


def _where_behind(view: StudyView, leader: int) -> str:
    """Name the data sets on which the leader over all of them is told apart from a better one."""
    pairs = zip(view.data_sets, view.leads, strict=True)
    behind = [data for data, lead in pairs if lead.tied and leader not in lead.tied]
    return f" On {', '.join(behind)} another one is ahead of it." if behind else ""


def data_verdicts(view: StudyView) -> list[str]:
    """Return who is best on each of several data sets; nothing for one."""
    if not view.is_of_several:
        return []
    pairs = zip(view.data_sets, view.leads, strict=True)
    return [f"On {data}: {_standing(view, lead)}." for data, lead in pairs]


def _standing(view: StudyView, lead: Lead) -> str:
    if lead.leader is None:
        return "no combination has a score of every fold and seed"
    compared = _compared(lead)
    if compared == 1:
        return "one combination has scores"
    if lead.is_alone:
        return f"best is {view.name(lead.leader)}"
    if len(view.design["blocks"]) < 2:
        return "one seed tells nothing apart"
    names = "; ".join(view.name(number) for number in lead.tied)
    tied = _tied(lead, compared, len(view.points))
    return f"{tied}: {names}" if len(lead.tied) <= _NAMED else tied


def _compared(lead: Lead) -> int:
    """Return how many combinations have scores that can be compared, the leader among them."""
    return 1 + int(np.isfinite(lead.probability).sum())


def _tied(lead: Lead, compared: int, combinations: int) -> str:
    named = f"{compared} combinations{' with scores' if compared < combinations else ''}"
    if len(lead.tied) == compared:
        return f"all {named} are tied"
    return f"{len(lead.tied)} of {named} are tied for the lead"


def interaction_lines(view: StudyView) -> list[str]:
    """Return a sentence for each axis that does different things on different data sets."""
    lines = []
    for number in view.dependent:
        axis, levels = view.axes[number]
        parts = []
        for data, effects in zip(view.data_sets, view.effects_by_data, strict=True):
            words = _best_level(levels, effects[number], view.sign)
            if words:
                parts.append(f"on {data} {words}")
        lines.append(f"What {axis} does depends on the data set: {'; '.join(parts)}.")
    return lines


def _best_level(levels: list[Any], effects: list[Effect], sign: int) -> str:
    known = [(sign * e.mean, n) for n, e in enumerate(effects) if e.mean is not None]
    if len(known) < 2:
        return ""
    (best, first), (worst, last) = min(known), max(known)
    return (
        f"{level_text(levels[first])} is {worst - best:.4f} better than {level_text(levels[last])}"
    )


def to_json(view: StudyView) -> dict[str, Any]:
    """Return the verdict for machines, as `result.json` keeps it."""
    return {
        "verdict": verdict(view),
        "metric": view.metric,
        **_lead_json(view.lead),
        "combinations": [
            {
                "combination": number,
                "name": view.name(number),
                "points": view.points[number],
                "mean": _number(mean),
                "not_behind": _number(chance),
            }
            for number, (mean, chance) in enumerate(
                zip(view.means, view.lead.probability, strict=True)
            )
        ],
        "data_sets": [
            {"data": data, **_lead_json(lead), "not_behind": list(map(_number, lead.probability))}
            for data, lead in zip(view.data_sets, view.leads, strict=True)
        ],
        "depends_on_data": [
            {"axis": axis, "probability": _number(chance)}
            for (axis, _), chance in zip(view.axes, view.interactions, strict=True)
        ],
        "budget": budget_lines(view),
        "findings": [*data_verdicts(view), *interaction_lines(view)],
        "failed": sum(bool(row.error) for row in view.rows),
        "correlations": [
            {
                "data": rank.data,
                "score": rank.score,
                "donors": rank.donors,
                "correlation": rank.correlation,
                "interval": rank.interval and list(rank.interval),
            }
            for rank in free_ranks(view)
        ],
    }


def _lead_json(lead: Lead) -> dict[str, Any]:
    return {"leader": lead.leader, "tied": list(lead.tied)}


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
