"""What second-level models see: logits of the columns, and the user's own columns."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from efn_compose.assess.prediction_store.blocks import FLOOR
from efn_compose.jobs.ensembles.stacking.kinds import KINDS
from efn_compose.jobs.ensembles.stacking.portfolio import StackModel

#: Categories of a column that get a feature of their own; rarer ones share none.
_CATEGORIES = 50


@dataclass(frozen=True, eq=False)
class Seen:
    """What a model sees of some rows.

    Args:
        values: (row, feature) float32 numbers.
        codes: (row, column) int64 categories, for kinds that know them.
    """

    values: np.ndarray
    codes: np.ndarray

    def __getitem__(self, chosen: np.ndarray) -> "Seen":
        return Seen(self.values[chosen], self.codes[chosen])

    def __len__(self) -> int:
        return len(self.values)


@dataclass(frozen=True, eq=False)
class Further:
    """The user's own columns of some rows.

    Args:
        numbers: (row, feature) float32, NaN where a value is missing.
        codes: (row, column) int64: the category of each row, 1 or above; 0 for one that no labelled
            row has.
    """

    numbers: np.ndarray
    codes: np.ndarray

    @classmethod
    def none(cls, rows: int) -> "Further":
        """Return no columns."""
        return cls(np.zeros((rows, 0), np.float32), np.zeros((rows, 0), np.int64))

    def __getitem__(self, chosen: np.ndarray) -> "Further":
        return Further(self.numbers[chosen], self.codes[chosen])

    def one_hot(self, counts: Sequence[int]) -> np.ndarray:
        """Return all as numbers: a feature for each of the first categories, float32.

        Args:
            counts: Number of categories of each column.
        """
        parts = [self.numbers]
        parts += [
            (column[:, None] == np.arange(1, min(count, _CATEGORIES) + 1)).astype(np.float32)
            for column, count in zip(self.codes.T, counts, strict=True)
        ]
        return np.concatenate(parts, axis=1)


@dataclass(frozen=True, eq=False)
class StackData:
    """All that second-level models are fitted to and asked about; one copy per machine.

    Args:
        logits: (row, column, class) float32, centred, out of fold.
        test_logits: (image, column, class) float32, centred, the mean of each column's networks.
        further: The user's own columns of the rows.
        test_further: Those of the test images.
        label: (row,) class numbers.
        fold: (row,) fold numbers.
        earlier: Number of columns, the last ones, that only a restacking model sees: those of the
            levels before the last one.
        without: For each fold the same data without it: the other rows, and the fold's rows in place of
            the test images. Empty unless there are levels above the first.
    """

    logits: np.ndarray
    test_logits: np.ndarray
    further: Further
    test_further: Further
    label: np.ndarray
    fold: np.ndarray
    earlier: int = 0
    without: tuple["StackData", ...] = ()

    @classmethod
    def of(
        cls,
        probability: np.ndarray,
        test: np.ndarray,
        label: np.ndarray,
        fold: np.ndarray,
        further: Further | None = None,
        test_further: Further | None = None,
    ) -> "StackData":
        """Return the data of columns.

        Args:
            probability: (column, row, class).
            test: (column, image, class).
            label: (row,) class numbers.
            fold: (row,) fold numbers.
            further: As for the class; None for none.
            test_further: As for the class; None for none.
        """
        return cls(
            _centred(probability),
            _centred(test),
            Further.none(probability.shape[1]) if further is None else further,
            Further.none(test.shape[1]) if test_further is None else test_further,
            label,
            fold,
        )

    def nested(self) -> "StackData":
        """Return the data with those that are without a fold each, as levels above the first need them.

        What the first level says of a row is by models without its fold. They were fitted to all other
        folds. A second level without fold 1, fitted to what they say of fold 2, would know labels of fold 1.
        So all levels are fitted anew without fold 1, for what is said of fold 1.
        """
        found = []
        for fold in np.unique(self.fold):
            inside = self.fold != fold
            found.append(
                StackData(
                    self.logits[inside],
                    self.logits[~inside],
                    self.further[inside],
                    self.further[~inside],
                    self.label[inside],
                    self.fold[inside],
                )
            )
        return dataclasses.replace(self, without=tuple(found))

    @property
    def answers(self) -> int:
        """Length of a model's answer: rows and test images, then all rows again for each of `without`."""
        return len(self.label) * (1 + len(self.without)) + len(self.test_logits)

    def rows_of(self, answers: np.ndarray) -> np.ndarray:
        """Return what models say of the rows, (column, row, class), no label of a row's fold known.

        Args:
            answers: (column, answer, class).
        """
        rows = len(self.label)
        found = answers[:, :rows].copy()
        for fold, again in zip(np.unique(self.fold), self._again(answers), strict=False):
            found[:, self.fold == fold] = again[:, self.fold == fold]
        return found

    def images_of(self, answers: np.ndarray) -> np.ndarray:
        """Return what models say of the test images, (column, image, class).

        Args:
            answers: (column, answer, class).
        """
        rows = len(self.label)
        return answers[:, rows : rows + len(self.test_logits)]

    def above(self, answers: np.ndarray) -> "StackData":
        """Return the data of the next level.

        Args:
            answers: (column, answer, class) probabilities, of this level's models.
        """
        folds = zip(np.unique(self.fold), self.without, self._again(answers), strict=False)
        without = [
            one.above(np.concatenate([a[:, self.fold != f], a[:, self.fold == f]], axis=1))
            for f, one, a in folds
        ]
        rows = _centred(answers[:, : len(self.label)])
        return dataclasses.replace(
            self,
            logits=np.concatenate([rows, self.logits], axis=1),
            test_logits=np.concatenate(
                [_centred(self.images_of(answers)), self.test_logits], axis=1
            ),
            earlier=self.logits.shape[1],
            without=tuple(without),
        )

    def _again(self, answers: np.ndarray) -> list[np.ndarray]:
        """Return the answers of each of `without`, all rows in their order."""
        first, rows = len(self.label) + len(self.test_logits), len(self.label)
        starts = range(first, self.answers, max(1, rows))
        return [answers[:, start : start + rows] for start in starts]

    @property
    def counts(self) -> tuple[int, ...]:
        """Number of categories that each column has in labelled rows."""
        return tuple(int(count) for count in self.further.codes.max(axis=0, initial=0))

    def seen(self, model: StackModel) -> tuple[Seen, Seen]:
        """Return what a model sees of rows and of test images, not yet scaled."""
        columns, classes = self.logits.shape[1:]
        sees_all = model.restack or not self.earlier
        columns -= 0 if sees_all else self.earlier
        uses_table = model.uses_table and sees_all
        count = max(1, round(model.columns * columns))
        order = np.random.default_rng([model.seed, 13]).permutation(columns)
        chosen = np.sort(order[:count])
        # Centred: of two classes one says all.
        kept = slice(1, None) if classes == 2 else slice(None)

        def of(logits: np.ndarray, further: Further) -> Seen:
            parts = [logits[:, chosen, kept].reshape(len(logits), -1)]
            codes = further.codes[:, :0]
            if uses_table and KINDS[model.kind].knows_categories:
                parts.append(further.numbers)
                codes = further.codes
            elif uses_table:
                parts.append(further.one_hot(self.counts))
            return Seen(np.concatenate(parts, axis=1), codes)

        return of(self.logits, self.further), of(self.test_logits, self.test_further)


class Scaler:
    """Fills gaps and scales, by what it learnt of the rows a model is fitted on alone.

    Args:
        seen: Rows that are fitted on.
        inputs: "logits": to mean 0 and deviation 1; "ranks": to -1 … 1 by rank among these rows.
    """

    def __init__(self, seen: Seen, inputs: str) -> None:
        known = seen.values
        self._categories = [np.unique(column) for column in seen.codes.T]
        # Every feature has a filling: new rows may lack what all known ones have.
        there = [column[~np.isnan(column)] for column in known.T]
        self._gap = np.array([np.median(c) if len(c) else 0.0 for c in there], np.float32)
        filled = self._filled(known)
        self._sorted = np.sort(filled, axis=0) if inputs == "ranks" else None
        self._mean, deviation = filled.mean(axis=0), filled.std(axis=0)
        self._deviation = np.where(deviation > 1e-9, deviation, 1)

    def __call__(self, seen: Seen) -> np.ndarray:
        """Return rows as the model gets them, float64: numbers, then codes.

        A category that no fitted row has becomes 0, the unknown one.
        """
        codes = [
            np.where(np.isin(column, known), column, 0)
            for column, known in zip(seen.codes.T, self._categories, strict=True)
        ]
        return np.column_stack([self._scaled(seen.values), *codes])

    def _scaled(self, values: np.ndarray) -> np.ndarray:
        filled = self._filled(values).astype(np.float64)
        if self._sorted is None:
            return (filled - self._mean) / self._deviation
        ranks = [
            np.searchsorted(known, new, "left") + np.searchsorted(known, new, "right")
            for known, new in zip(self._sorted.T, filled.T, strict=True)
        ]
        return np.stack(ranks, axis=1) / len(self._sorted) - 1

    def _filled(self, values: np.ndarray) -> np.ndarray:
        return np.where(np.isnan(values), self._gap, values)


def _centred(probability: np.ndarray) -> np.ndarray:
    logs = np.log(np.maximum(np.asarray(probability, np.float64), FLOOR))
    logs -= logs.mean(axis=2, keepdims=True)
    return np.ascontiguousarray(logs.transpose(1, 0, 2), np.float32)
