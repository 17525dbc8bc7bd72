"""Trainings as columns: one per network and seed, over all folds of one table."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from efn_compose.assess.out_of_fold import Predictions, read_predictions
from efn_compose.assess.out_of_fold.file import find_predictions
from efn_compose.assess.prediction_store import Column, RowTable, StoreWriter, read_rows
from efn_compose.assess.prediction_store.rows import refuse_other_rows
from efn_compose.config import load_config
from efn_compose.errors import (
    ConfigError,
    DataError,
    EfnComposeError,
    describe_problems,
    problem_of,
)
from efn_compose.jobs.predictions.networks import Network, find_networks
from efn_compose.jobs.trainings.options import TrainConfig
from efn_compose.store.run_folder import CONFIG_FILE, named_folder
from efn_compose.store.weights.weight_file import is_weight_file

_LISTED = 5
#: How far an image's probabilities may sum from 1: half precision.
_SUM_TOLERANCE = 5e-3


@dataclass(frozen=True, eq=False)
class Member:
    """A column with the networks behind it.

    Args:
        column: What is known of it.
        probability: (row, class) float32, out of fold.
        networks: One per fold, in the order of the folds.
    """

    column: Column
    probability: np.ndarray
    networks: tuple[Network, ...]


@dataclass(frozen=True, eq=False)
class Members:
    """All columns over one table of rows.

    Args:
        rows: Images, labels, patients and folds.
        members: The columns.
    """

    rows: RowTable
    members: tuple[Member, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Name of each column."""
        return tuple(member.column.name for member in self.members)

    @property
    def networks(self) -> list[Network]:
        """All networks; the first fold of every column comes before the second of any."""
        folds = max(len(member.networks) for member in self.members)
        return [
            member.networks[fold]
            for fold in range(folds)
            for member in self.members
            if fold < len(member.networks)
        ]

    def write(self, folder: Path) -> None:
        """Write the columns as a prediction store."""
        with StoreWriter(folder, self.rows) as store:
            for member in self.members:
                store.add(member.column, member.probability)


def read_members(runs: Sequence[str]) -> Members:
    """Read the columns of finished runs of trainings.

    Raises:
        ConfigError: No runs are named, or a folder is none.
        DataError: Runs of different folds or classes, rows without predictions, folds that compare
            nothing; all are listed.
    """
    if not runs:
        raise ConfigError("ensemble.runs is empty. Name run folders of `efn-compose train`.")
    folders = [Path(run) for run in runs]
    again = [str(folder) for folder in dict.fromkeys(folders) if folders.count(folder) > 1]
    problems = [f"- {folder}: named more than once" for folder in again]
    rows: RowTable | None = None
    members: list[Member] = []
    for folder in folders:
        try:
            _require_folder(folder)
            own = read_rows(folder / "folds.csv")
            if rows is None:
                rows = own
            refuse_other_rows(rows, own, str(folder))
            members += _of_run(folder, rows)
        except EfnComposeError as error:
            problems.append(problem_of(folder, error))
    if rows is not None:
        problems += rows.problems()
    if problems or rows is None:
        raise DataError(describe_problems("These trainings make no ensemble.", problems))
    return Members(rows, _distinct(members, len(folders) > 1))


def _require_folder(folder: Path) -> None:
    if folder.is_dir():
        return
    received = "nothing is there"
    if folder.exists():
        received = f"received a {'weight ' if is_weight_file(folder) else ''}file"
    raise ConfigError(
        f"expected a run folder of `efn-compose train`; {received} (seen from {Path.cwd()})."
    )


def _of_run(folder: Path, rows: RowTable) -> list[Member]:
    config: TrainConfig = load_config(folder / CONFIG_FILE, (), TrainConfig)
    if config.objective.kind != "classify":
        raise DataError(
            f"its objective is {config.objective.kind!r}; an ensemble joins trainings that tell classes "
            "apart. predict averages several networks of one run on masks."
        )
    path = find_predictions(folder)
    if path is None:
        raise DataError("no out-of-fold predictions: the run is not finished. Go on: --resume.")
    predictions = read_predictions(path)
    if predictions.class_names != rows.class_names:
        raise DataError(f"classes of {path.name} and folds.csv differ.")
    networks = find_networks([str(folder)])
    if config.tta.merge == "rank":
        raise DataError(
            "its answers are ranks (tta.merge = 'rank') and no probabilities. Train with mean or median."
        )
    duplicates = folder / "duplicates.csv"
    pairs = (
        max(0, len(duplicates.read_text("utf-8").splitlines()) - 1) if duplicates.is_file() else 0
    )
    found = []
    for variant, seed in predictions.trainings():
        column = Column(
            name=f"{variant}_seed{seed}",
            variant=variant,
            seed=seed,
            source=str(folder),
            keep=config.train.keep,
            semi=config.semi.method,
            duplicates=pairs,
        )
        own = [n for n in networks if n.variant == variant and n.seed == seed]
        own.sort(key=lambda network: network.fold or 0)
        stated = _whole(predictions.of_training(variant, seed), rows, column.name)
        found.append(Member(column, stated, tuple(own)))
    return found


def _whole(predictions: Predictions, rows: RowTable, name: str) -> np.ndarray:
    """Return (row, class) of one column; every row must be there once."""
    count = np.bincount(predictions.number, minlength=len(rows))
    missing, twice = np.flatnonzero(count == 0), np.flatnonzero(count > 1)
    problems = [
        f"- {name}: {len(numbers)} rows {words}, such as "
        + ", ".join(rows.image[number] for number in numbers[:_LISTED])
        for numbers, words in ((missing, "have no prediction"), (twice, "have several"))
        if len(numbers)
    ]
    is_odd = ~np.isfinite(predictions.probability).all(axis=1)
    is_odd |= np.abs(predictions.probability.sum(axis=1) - 1) > _SUM_TOLERANCE
    if is_odd.any():
        first = rows.image[predictions.number[is_odd][0]]
        problems.append(f"- {name}: {is_odd.sum()} rows are no probabilities, such as {first}")
    if problems:
        raise DataError(
            describe_problems(
                "out-of-fold predictions are not whole.", problems, "Train all folds."
            )
        )
    return predictions.probability[np.argsort(predictions.number, kind="stable")]


def _distinct(members: Sequence[Member], several_runs: bool) -> tuple[Member, ...]:
    """Put the run's name before the column's where there are several runs."""
    if not several_runs:
        return tuple(members)
    from dataclasses import replace

    names: dict[str, int] = {}
    found = []
    for member in members:
        base = f"{named_folder(member.column.source).name}/{member.column.name}"
        names[base] = names.get(base, 0) + 1
        name = base if names[base] == 1 else f"{base}#{names[base]}"
        found.append(replace(member, column=replace(member.column, name=name)))
    return tuple(found)
