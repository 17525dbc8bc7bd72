"""What second-level models see: logits of the columns, and the user's own columns."""

from dataclasses import dataclass

import numpy as np

from efn_compose.assess.prediction_store.blocks import FLOOR
from efn_compose.jobs.ensembles.stacking.portfolio import StackModel


@dataclass(frozen=True, eq=False)
class StackData:
    """All that second-level models are fitted to and asked about; one copy per machine.

    Args:
        logits: (row, column, class) float32, centred, out of fold.
        test_logits: (image, column, class) float32, centred, the mean of each column's networks.
        table: (row, feature) float32 the user's own columns, NaN where a value is missing.
        test_table: (image, feature) float32 of the test images.
        label: (row,) class numbers.
        fold: (row,) fold numbers.
    """

    logits: np.ndarray
    test_logits: np.ndarray
    table: np.ndarray
    test_table: np.ndarray
    label: np.ndarray
    fold: np.ndarray

    @classmethod
    def of(
        cls,
        probability: np.ndarray,
        test: np.ndarray,
        label: np.ndarray,
        fold: np.ndarray,
        table: np.ndarray | None = None,
        test_table: np.ndarray | None = None,
    ) -> "StackData":
        """Return the data of columns.

        Args:
            probability: (column, row, class).
            test: (column, image, class).
            label: (row,) class numbers.
            fold: (row,) fold numbers.
            table: As for the class; None for none.
            test_table: As for the class; None for none.
        """
        nothing = np.zeros((probability.shape[1], 0), np.float32)
        none = np.zeros((test.shape[1], 0), np.float32)
        return cls(
            _centred(probability),
            _centred(test),
            nothing if table is None else table.astype(np.float32),
            none if test_table is None else test_table.astype(np.float32),
            label,
            fold,
        )

    def features(self, model: StackModel) -> tuple[np.ndarray, np.ndarray]:
        """Return what a model sees of rows and of test images, (row, feature) each, not yet scaled."""
        columns, classes = self.logits.shape[1:]
        count = max(1, round(model.columns * columns))
        order = np.random.default_rng([model.seed, 13]).permutation(columns)
        chosen = np.sort(order[:count])
        # Centred: of two classes one says all.
        kept = slice(1, None) if classes == 2 else slice(None)
        parts = [
            values[:, chosen, kept].reshape(len(values), -1)
            for values in (self.logits, self.test_logits)
        ]
        if model.uses_table and self.table.shape[1]:
            parts = [
                np.concatenate([part, own], axis=1)
                for part, own in zip(parts, (self.table, self.test_table), strict=True)
            ]
        return parts[0], parts[1]


class Scaler:
    """Fills gaps and scales, by what it learnt of the rows a model is fitted on alone.

    Args:
        known: (row, feature) rows that are fitted on.
        inputs: "logits": to mean 0 and deviation 1; "ranks": to -1 … 1 by rank among these rows.
    """

    def __init__(self, known: np.ndarray, inputs: str) -> None:
        # Every feature has a filling: new rows may lack what all known ones have.
        there = [column[~np.isnan(column)] for column in known.T]
        self._gap = np.array([np.median(c) if len(c) else 0.0 for c in there], np.float32)
        filled = self._filled(known)
        self._sorted = np.sort(filled, axis=0) if inputs == "ranks" else None
        self._mean, deviation = filled.mean(axis=0), filled.std(axis=0)
        self._deviation = np.where(deviation > 1e-9, deviation, 1)

    def __call__(self, values: np.ndarray) -> np.ndarray:
        """Return rows as the model gets them, float64."""
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
