"""What the answer would have been without each chapter, as far as the chapters' own files tell."""

import json
import statistics
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from efn_compose.assess.ensembles import compare, score, score_interval
from efn_compose.assess.ensembles.plain import median
from efn_compose.assess.out_of_fold import read_predictions
from efn_compose.assess.out_of_fold.file import find_predictions
from efn_compose.assess.prediction_store import PredictionStore
from efn_compose.evolve.verdict.verdict import is_reserved, paired_difference
from efn_compose.jobs.pipeline.chapters import EARLY_FOLDER, submitting_chapter, writers_before
from efn_compose.jobs.pipeline.story import Chapter, Story
from efn_compose.store.run_folder import RESULT_FILE


@dataclass(frozen=True)
class Worth:
    """A chapter against what would stand in its place.

    Args:
        chapter: Its name.
        instead: What would stand in its place.
        judged: By what and on which images.
        gain: How much better the chapter is than that; below 0: worse.
        error: Standard error of the paired difference.
        scores: Of what there is, and of what would stand in the chapter's place, where the measure is the
            answer's; a loss is below 0.
        counts_as: Standard errors that a gain counts as which was the largest of several; None: as many as
            it is.
    """

    chapter: str
    instead: str
    judged: str
    gain: float
    error: float
    scores: tuple[float, float] | None = None
    counts_as: float | None = None

    @property
    def words(self) -> str:
        """The verdict: beyond two standard errors, beyond one, or neither.

        Example:
            >>> [Worth("magic", "the best donor", "loss", x, 0.1).words for x in (0.3, 0.15, 0.05, -0.3)]
            ['pays', 'may pay', 'not told apart', 'costs']
        """
        if self.gain == self.error == 0:
            return "adds nothing"
        errors = abs(self.gain) / self.error if self.error else float("inf")
        if self.gain > 0 and self.counts_as is not None:
            errors = self.counts_as
        if errors <= 1:
            return "not told apart"
        if errors <= 2:
            return "may pay" if self.gain > 0 else "may cost"
        return "pays" if self.gain > 0 else "costs"

    def to_json(self) -> dict[str, Any]:
        """Return JSON values."""
        return asdict(self) | {"words": self.words}


@dataclass(frozen=True)
class FinalFigure:
    """What the submission scores on images that its networks were not trained on.

    Args:
        measure: Its name.
        value: As people know it: a loss is above 0.
        low: Lower end of the 95 % interval.
        high: Upper end.
        words: Where it was measured.
    """

    measure: str
    value: float
    low: float
    high: float
    words: str


def final_figure(
    story: Story, folder: Path, done: Mapping[str, Mapping[str, Any]]
) -> FinalFigure | None:
    """Return the figure of the submission; None before its ensemble has ended, and for one patient.

    Args:
        story: The story.
        folder: Its run folder.
        done: The journal's line of each chapter that has ended.
    """
    last = submitting_chapter(story)
    if last is None or last.verb != "ensemble" or last.name not in done:
        return None
    result = _result(folder / last.name)
    written = result["methods"][result["written"]]
    rows = PredictionStore(folder / last.name / "predictions").rows
    value = -written["honest"] if result["measure"] == "loss" else written["honest"]
    count = len(np.unique(rows.clusters))
    if count < 2:
        return None
    found = score_interval(result["measure"], value, written["error"], rows.label, rows.clusters)
    of = f" of {count} patients" if any(rows.patient) else ""
    words = f"out of fold, {len(rows):,} images{of}"
    return FinalFigure(result["measure"], value, found.low, found.high, words)


def worth_of_chapters(
    story: Story, folder: Path, done: Mapping[str, Mapping[str, Any]]
) -> list[Worth]:
    """Return what each chapter that has ended was worth, in the order of the chapters.

    Pretraining and composing have judged themselves by short trainings. Trainings, the ensemble and the
    whole chain are compared on out-of-fold answers, always by the median of networks, so that two rows
    differ in nothing else.

    Args:
        story: The story.
        folder: Its run folder.
        done: The journal's line of each chapter that has ended.
    """
    found: list[Worth] = []
    for chapter in story.chapters:
        if chapter.name in done and chapter.verb in _WORTH:
            found += _WORTH[chapter.verb](story, chapter, folder)
    return found


def shared_images(story: Story) -> list[str]:
    """Return a sentence for each search whose images later folds validate: their figures flatter."""
    judged: dict[str, list[str]] = {}
    for chapter in story.chapters:
        for search in writers_before(story, chapter) if chapter.verb == "train" else []:
            is_shared = search.settings.get("data.source") == chapter.settings.get("data.source")
            if search.verb == "evolve" and is_shared:
                judged.setdefault(search.name, []).append(chapter.name)
    return [
        f"What {search} wrote was chosen by labels of the images that also judge "
        f"{' and '.join(names)}. Their out-of-fold figures may flatter; those of a test set would not."
        for search, names in judged.items()
    ]


def _pretrained(story: Story, chapter: Chapter, folder: Path) -> Iterator[Worth]:
    result = _result(folder / chapter.name)
    verdict = result["verdicts"].get(result["of"])
    if verdict is not None:
        loss = verdict["differences"]["loss"]
        yield Worth(
            chapter.name,
            "the donor, absorbed on the same images",
            "loss after a short training",
            -loss["mean"],
            loss["standard_error"],
            counts_as=verdict.get("counts_as"),
        )


def _composed(story: Story, chapter: Chapter, folder: Path) -> Iterator[Worth]:
    """Compare what a search wrote with the best network that it was given, not with one that it trained."""
    result = _result(folder / chapter.name)
    arms, winner = result["arms"], result["winner"]
    if not arms[winner]["test_loss"]:
        return
    given = [name for name in arms if not is_reserved(name)] or [result["best_donor"]]
    best = min(given, key=lambda name: (statistics.fmean(arms[name]["validation_loss"]), name))
    instead, judged = f"the best donor, {best}", "loss after an evaluation, test split"
    if winner == best:
        yield Worth(chapter.name, f"{instead}, which it wrote", judged, 0.0, 0.0)
        return
    found = paired_difference(arms[winner]["test_loss"], arms[best]["test_loss"])
    yield Worth(chapter.name, instead, judged, -found.mean, found.standard_error)


def _combined(story: Story, chapter: Chapter, folder: Path) -> Iterator[Worth]:
    store, result = (
        PredictionStore(folder / chapter.name / "predictions"),
        _result(folder / chapter.name),
    )
    rows, measure = store.rows, result["measure"]
    stated = store.probability()
    judged = f"{measure}, out of fold"

    def against(
        name: str, instead: str, other: np.ndarray, places: np.ndarray | slice = slice(None)
    ) -> Worth:
        labels, clusters = rows.label[places], rows.clusters[places]
        mine, theirs = (score(measure, labels, x) for x in (median(stated[:, places]), other))
        found = compare(mine, theirs, clusters)
        where = judged if isinstance(places, slice) else f"{judged}, {len(labels)} images"
        scores = mine.value, theirs.value
        return Worth(name, instead, where, found.difference, found.standard_error, scores)

    names = [reference.chapter for _, reference in chapter.references]
    homes = [Path(column.source).name for column in store.columns]
    for name in names if len(names) > 1 else []:
        others = [number for number, home in enumerate(homes) if home != name]
        if others and len(others) < len(homes):
            yield against(name, "the other networks alone", median(stated[others]))
    if len(homes) > 1:
        best = max(range(len(homes)), key=lambda n: score(measure, rows.label, stated[n]).value)
        label = store.columns[best].name
        found = against(chapter.name, f"the best network alone, {label}", stated[best])
        yield replace(found, judged=f"{judged}, which also chose that network")
    if result["written"] != "median":
        yield Worth(
            chapter.name,
            f"the median, not {result['written'].replace('_', ' ')}",
            judged,
            result["difference"],
            result["standard_error"],
            tuple(result["methods"][name]["honest"] for name in (result["written"], "median")),
        )
    path = find_predictions(folder / EARLY_FOLDER / "train")
    if path is not None:
        early = read_predictions(path)
        names_there = tuple(rows.image[number] for number in early.number if number < len(rows))
        has_all = len(set(early.label.tolist())) == len(rows.class_names)
        if names_there == early.image and (has_all or measure != "auc"):
            yield against(
                "all chapters",
                "plan B, an epoch of the first donor",
                early.probability,
                early.number,
            )


_WORTH = {"pretrain": _pretrained, "evolve": _composed, "ensemble": _combined}


def _result(place: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((place / RESULT_FILE).read_text("utf-8"))
    return found
