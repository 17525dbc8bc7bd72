"""What an ensemble says of labelled rows on outer folds, kept for others to stand beside."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from efn_compose.assess.ensembles import Judged
from efn_compose.assess.prediction_store import Column, PredictionStore, RowTable, StoreWriter
from efn_compose.assess.prediction_store.rows import refuse_other_rows
from efn_compose.errors import DataError
from efn_compose.store.run_folder import named_folder

#: A prediction store with a column per method.
HONEST_FOLDER = "honest"


@dataclass(frozen=True, eq=False)
class OtherEnsemble:
    """A finished ensemble on the same rows.

    Args:
        name: Of its folder.
        method: What it submits.
        probability: (row, class) float32 what that says on outer folds.
    """

    name: str
    method: str
    probability: np.ndarray


def write_honest(folder: Path, rows: RowTable, judged: Mapping[str, Judged]) -> None:
    """Write what every method says of the rows, each by a fit without the row's fold."""
    with StoreWriter(folder / HONEST_FOLDER, rows) as store:
        for name, one in judged.items():
            # Ranks sum to no 1; in proportion they order classes as before.
            shares = one.probability / one.probability.sum(axis=1, keepdims=True)
            store.add(Column(name), shares)


def read_method(folder: Path) -> str:
    """Return the method that a finished ensemble submits.

    Args:
        folder: Its run folder.

    Raises:
        DataError: It is none, or not finished.
    """
    try:
        return str(json.loads((folder / "result.json").read_text("utf-8"))["written"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{folder}: no finished ensemble ({error}).") from None


def read_other(folder: Path, rows: RowTable) -> OtherEnsemble:
    """Read a finished ensemble.

    Args:
        folder: Its run folder.
        rows: The fold table that both must have.

    Raises:
        DataError: It is none, not finished, or on other rows.
    """
    method = read_method(folder)
    store = PredictionStore(folder / HONEST_FOLDER)
    refuse_other_rows(rows, store.rows, str(folder))
    names = [column.name for column in store.columns]
    if method not in names:
        raise DataError(f"{folder}: {HONEST_FOLDER}/ has no {method}; the folder is damaged.")
    return OtherEnsemble(
        named_folder(folder).name, method, store.probability([names.index(method)])[0]
    )
