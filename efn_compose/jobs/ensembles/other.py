"""What an ensemble says of labelled rows on outer folds, kept for others to stand beside."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from efn_compose.assess.ensembles import FALLBACK, Judged
from efn_compose.assess.ensembles.methods import RANKED
from efn_compose.assess.prediction_store import Column, PredictionStore, RowTable, StoreWriter
from efn_compose.assess.prediction_store.rows import refuse_other_rows
from efn_compose.errors import DataError
from efn_compose.store.run_folder import RESULT_FILE, named_folder
from efn_compose.store.run_verb import verb_of_folder

#: A prediction store with a column per method.
HONEST_FOLDER = "honest"


@dataclass(frozen=True, eq=False)
class OtherEnsemble:
    """A finished ensemble on the same rows.

    Args:
        name: Of its folder.
        method: What it submits.
        probability: (row, class) float32 what that says on outer folds.
        calling: (row, class) what rows are called by: the same, or the median's where those are ranks.
    """

    name: str
    method: str
    probability: np.ndarray
    calling: np.ndarray


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
    verb = verb_of_folder(folder)
    if not folder.exists():
        reason = f"nothing is there (seen from {Path.cwd()})"
    elif not folder.is_dir():
        reason = "it is a file"
    elif verb != "ensemble":
        reason = f"it holds a run of `efn-compose {verb}`" if verb else "it holds no run"
    elif not (folder / RESULT_FILE).is_file():
        reason = "it has not ended; go on with it: --resume"
    else:
        try:
            return str(json.loads((folder / RESULT_FILE).read_text("utf-8"))["written"])
        except (OSError, ValueError, KeyError, TypeError):
            reason = f"its {RESULT_FILE} is damaged"
    raise DataError(
        f"{folder}: no finished ensemble: {reason}. --against (ensemble.against) expects the run folder "
        "of an `efn-compose ensemble` that has ended."
    )


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
    wanted = [method, FALLBACK if method in RANKED else method]
    stated, calling = store.probability([names.index(one) for one in wanted])
    return OtherEnsemble(named_folder(folder).name, method, stated, calling)
