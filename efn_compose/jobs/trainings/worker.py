"""What a worker does with a training: fit, write its folder, answer with scores."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from efn_compose.donors import Donor
from efn_compose.errors import DataError
from efn_compose.evolve.workers.devices import prepare_device
from efn_compose.evolve.workers.worker import Worker
from efn_compose.jobs.trainings.cells import Cell, CellResult, write_answers
from efn_compose.jobs.trainings.curves import draw_history, draw_rates
from efn_compose.jobs.trainings.images import FoldedImages
from efn_compose.store import atomic_path, write_text
from efn_compose.store.journal import to_line
from efn_compose.train.augment import AugmentOptions
from efn_compose.train.recipe import FittedModel, History, Trainer, TrainOptions
from efn_compose.train.recipe.rate_finder import RateCurve
from efn_compose.train.recipe.trainer import FitWatcher, Silent
from efn_compose.train.semi.fit import fit_with_unlabelled, make_trainer
from efn_compose.train.semi.options import SemiOptions
from efn_compose.train.tta import make_views
from efn_compose.train.tta.options import TtaOptions

STATE_FILE = "state.npz"


@dataclass(frozen=True)
class TrainingSetup:
    """Everything a worker needs but the images.

    Args:
        donors: Starting weights by variant.
        folders: Folder of each training by its name; workers must be able to write there.
        train: The recipe.
        augment: What is done to each training image.
        tta: Views of each validation image.
        semi: What is done with unlabelled images.
        metric: "accuracy" or "auc".
        threads: TensorFlow threads of a worker; 0: as this process has them.
        device: "cpu", "gpu" or "tpu".
        gpu_memory_mb: The worker's share of a GPU; 0 for all of it.
    """

    donors: Mapping[str, Donor]
    folders: Mapping[str, str]
    train: TrainOptions
    augment: AugmentOptions
    tta: TtaOptions
    semi: SemiOptions
    metric: str = "accuracy"
    threads: int = 1
    device: str = "cpu"
    gpu_memory_mb: int = 0

    def make_worker(self, data: FoldedImages) -> "TrainingWorker":
        """Prepare this process' device and return a worker on it; what executors call."""
        if self.threads:
            prepare_device(self.device, self.threads, self.gpu_memory_mb)
        return TrainingWorker(self, data)


class TrainingWorker(Worker):
    """Makes one training after another; one network is kept traced.

    Args:
        setup: Recipe and weights.
        data: Images and folds.
        watch: Makes what watches a training, from its name.
    """

    def __init__(
        self,
        setup: TrainingSetup,
        data: FoldedImages,
        watch: Callable[[str], FitWatcher] | None = None,
    ) -> None:
        super().__init__()
        self.setup, self.data = setup, data
        self.watch = watch or (lambda name: Silent())
        self._trainer: tuple[str, Trainer] | None = None

    def train(self, cell: Cell) -> CellResult:
        """Make a training, or what is left of it, and write its folder."""
        setup = self.setup
        folder = Path(setup.folders[cell.name])
        folder.mkdir(parents=True, exist_ok=True)
        donor = setup.donors[cell.variant]
        data, numbers = self.data.part(cell.fold)
        if setup.metric == "auc" and len(np.unique(data.validation_labels)) < data.classes:
            raise DataError(
                f"fold {cell.fold} lacks a class, so that there is no area under the curve."
            )
        watcher = _FolderWatcher(folder, cell.name, self.watch(cell.name))
        state = folder / STATE_FILE
        trainer = self._traced(cell.variant, donor, data.classes)
        fitted = fit_with_unlabelled(
            donor,
            data,
            self.data.unlabelled,
            setup.semi,
            trainer,
            setup.augment,
            seed=cell.seed,
            state_file=state,
            watcher=watcher,
        )
        views = make_views(setup.tta, setup.augment, cell.seed)
        probability = trainer.objective.answers(
            fitted.predict, data.validation_images, views, setup.tta.merge
        )
        write_answers(folder, numbers, probability)
        _write_weights(folder, fitted, donor)
        for done in folder.glob(f"{state.stem}*{state.suffix}"):
            done.unlink()
        return _result(fitted, setup.train.keep, numbers, probability)

    def _traced(self, variant: str, donor: Donor, classes: int) -> Trainer:
        if self._trainer is None or self._trainer[0] != variant:
            # The old network's memory first.
            self._trainer = None
            setup = self.setup
            made = make_trainer(donor, classes, setup.train, setup.semi, setup.metric)
            self._trainer = (variant, made)
        return self._trainer[1]


class _FolderWatcher:
    """Keeps `history.jsonl` and the pictures up to date; passes everything on.

    The history is written whole each time, so that it never tells of epochs that a killed
    training lost.
    """

    def __init__(self, folder: Path, name: str, watcher: FitWatcher) -> None:
        self._folder, self._name, self._watcher = folder, name, watcher

    def on_update(self, done: int, planned: int, loss: float) -> None:
        self._watcher.on_update(done, planned, loss)

    def on_epoch(self, history: History) -> None:
        lines = [to_line(record.to_json()).decode() for record in history.epochs]
        write_text(self._folder / "history.jsonl", "".join(lines))
        draw_history(history, self._folder / "curve.png", self._name)
        self._watcher.on_epoch(history)

    def on_rates(self, curve: RateCurve) -> None:
        write_text(self._folder / "range_test.csv", curve.to_csv())
        draw_rates(curve, self._folder / "range_test.png")
        self._watcher.on_rates(curve)


def _write_weights(folder: Path, fitted: FittedModel, donor: Donor) -> None:
    """Write last and best weights; a head that weight files cannot hold goes beside them."""
    trainer = fitted.trainer
    for name, values in (("last", fitted.last), ("best", fitted.best)):
        trainer.put(values)
        trainer.trained(donor).save(folder / f"{name}.h5")
        beside = trainer.beside()
        if beside:
            _write_head(folder / f"{name}_head.npz", beside)


def _write_head(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        np.savez(file, **arrays)


def _result(
    fitted: FittedModel, keep: str, numbers: np.ndarray, probability: np.ndarray
) -> CellResult:
    history = fitted.history
    number = history.best_epoch if keep == "best" else len(history.epochs)
    seconds: dict[str, float] = {}
    for record in history.epochs:
        for phase, value in record.seconds.items():
            seconds[phase] = round(seconds.get(phase, 0.0) + value, 3)
    return CellResult(
        scores=history.epochs[number - 1].validation,
        numbers=numbers,
        probability=probability,
        best_epoch=history.best_epoch,
        learning_rate=history.learning_rate,
        seconds=seconds,
    )
