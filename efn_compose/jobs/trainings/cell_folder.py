"""What a training leaves in its folder: history, pictures, weights, answers."""

from pathlib import Path

from efn_compose.donors import Donor
from efn_compose.donors.seen_images import SeenImages, with_seen
from efn_compose.donors.trained_for import TrainedFor
from efn_compose.jobs.trainings.watching.curves import draw_history, draw_rates
from efn_compose.store import write_text
from efn_compose.store.arrays import write_arrays
from efn_compose.store.journal import to_line
from efn_compose.train.examples import TrainingData
from efn_compose.train.recipe import FittedModel, History
from efn_compose.train.recipe.rate_finder import RateCurve
from efn_compose.train.recipe.trainer import FitWatcher


class FolderWatcher:
    """Keeps `history.jsonl` and the pictures up to date; passes everything on.

    The history is written whole each time, so that it never tells of epochs that a killed
    training lost.

    Args:
        folder: Of the training.
        name: Of the training, for the pictures.
        watcher: Whoever else watches.
        draws: Whether the history is drawn, too.
    """

    def __init__(self, folder: Path, name: str, watcher: FitWatcher, *, draws: bool = True) -> None:
        self._folder, self._name, self._watcher, self._draws = folder, name, watcher, draws

    def on_update(self, done: int, planned: int, loss: float) -> None:
        """Pass an update on."""
        self._watcher.on_update(done, planned, loss)

    def on_epoch(self, history: History) -> None:
        """Write and draw the history."""
        write_history(self._folder, history)
        if self._draws:
            draw_history(history, self._folder / "curve.png", self._name)
        self._watcher.on_epoch(history)

    def on_rates(self, curve: RateCurve) -> None:
        """Write and draw a range test."""
        write_text(self._folder / "range_test.csv", curve.to_csv())
        draw_rates(curve, self._folder / "range_test.png")
        self._watcher.on_rates(curve)


def write_history(folder: Path, history: History) -> None:
    """Write all epochs of a training, a line each.

    Also once a training has ended: one that was killed after its last state, and before that
    epoch's line, has no epoch left in which a watcher would write it.
    """
    lines = [to_line(record.to_json()).decode() for record in history.epochs]
    write_text(folder / "history.jsonl", "".join(lines))


def write_weights(
    folder: Path, fitted: FittedModel, donor: Donor, data: TrainingData, seen: SeenImages
) -> None:
    """Write last and best weights; a head that weight files cannot hold goes beside them."""
    trainer = fitted.trainer
    said = TrainedFor(data.size, data.mask_names or data.class_names)
    for name, values in (("last", fitted.last), ("best", fitted.best)):
        trainer.put(values)
        trained = trainer.trained(donor)
        provenance = with_seen(said.added_to(trained.provenance), [seen])
        trained = trained.replace(provenance=provenance)
        trained.save(folder / f"{name}.h5")
        beside = trainer.beside()
        if beside:
            write_arrays(folder / f"{name}_head.npz", beside)
