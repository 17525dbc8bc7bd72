"""One pretraining: its method and seed, its work, its result."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from efn_compose.donors.trained_for import PRETRAINED_KEY
from efn_compose.evolve.workers.task import Task
from efn_compose.jobs.trainings.unfinished import STATE_FILE
from efn_compose.train.selfsup.monitors import alarms

if TYPE_CHECKING:
    from efn_compose.donors import Donor
    from efn_compose.jobs.pretraining.worker import PretrainWorker
    from efn_compose.train.recipe import History


@dataclass(frozen=True)
class PretrainCell(Task):
    """One pretraining.

    Args:
        method: A name of `METHODS`.
        seed: Of projector, order and views.
    """

    is_limited: ClassVar[bool] = False

    method: str
    seed: int

    @property
    def name(self) -> str:
        """Name of the pretraining and of its folder."""
        return f"{self.method}_seed{self.seed}"

    def run(self, worker: "PretrainWorker") -> "PretrainResult":
        """Make the pretraining, or what is left of it, and write its folder."""
        from efn_compose.jobs.pretraining.pictures import write_painted, write_views
        from efn_compose.jobs.pretraining.synthetic import write_synthetic
        from efn_compose.jobs.trainings.cell_folder import FolderWatcher, write_history
        from efn_compose.train.recipe import fit
        from efn_compose.train.selfsup.options import TWO_VIEWS
        from efn_compose.train.selfsup.table import make_objective

        setup, images = worker.setup, worker.data
        folder = Path(setup.folders[self.name])
        folder.mkdir(parents=True, exist_ok=True)
        options = dataclasses.replace(setup.pretrain, methods=(self.method,), seeds=1)
        if images.pair is not None:
            options = dataclasses.replace(options, between=images.pair.class_names)
        trainer = worker.trainer(
            self.method, lambda: make_objective(self.method, options, setup.views)
        )
        data = images.data_of(self.method)
        if self.method in TWO_VIEWS:
            write_views(folder, data, setup, self.seed)
        fitted = fit(
            setup.donor.without_head(),
            data,
            augment=setup.augment,
            seed=self.seed,
            state_file=folder / STATE_FILE,
            watcher=FolderWatcher(folder, self.name, setup.watch(self.name), draws=False),
            trainer=trainer,
        )
        write_history(folder, fitted.history)
        count = len(data.train_images)
        per_epoch = count // options.batch_size
        seen = {
            "method": self.method,
            "learns": options.learns,
            "images": count,
            "size": data.size,
            "updates": per_epoch * options.epochs,
            "batch_size": options.batch_size,
            "seed": self.seed,
            "data": images.fingerprint,
            "transductive_images": images.both,
        }
        if images.pair is not None and self.method == "cyclegan":
            seen["labels_of"] = list(images.pair.class_names)
        for name, values in (("last", fitted.last), ("best", fitted.best)):
            trainer.put(values)
            with_history(trainer.trained(fitted.donor), seen).save(folder / f"{name}.h5")
        trainer.put(fitted.last)
        write_painted(folder, trainer.objective, images.unlabelled)
        write_synthetic(folder, trainer.objective, images, options.synthetic_images)
        return PretrainResult.of(fitted.history, per_epoch)


def with_history(donor: "Donor", seen: dict[str, Any]) -> "Donor":
    """Return a donor whose provenance says what its backbone has seen, all pretrainings in order.

    Args:
        donor: A pretrained network.
        seen: What it was shown, and how.
    """
    before = donor.provenance.get(PRETRAINED_KEY, [])
    return donor.replace(provenance={**donor.provenance, PRETRAINED_KEY: [*before, seen]})


@dataclass(frozen=True)
class PretrainResult:
    """The epochs of a pretraining, as the journal tells them.

    Args:
        epochs: Per epoch "epoch", "loss", "learning_rate", "monitors", "alarms" and "timing".
        best_epoch: By neighbours' labels, or by rank where there are no labels.
    """

    epochs: Sequence[dict[str, Any]]
    best_epoch: int

    @classmethod
    def of(cls, history: "History", updates_per_epoch: int) -> "PretrainResult":
        """Return the result that a history is.

        Args:
            history: All epochs.
            updates_per_epoch: Decides when drift is judged.
        """
        monitors = [record.validation for record in history.epochs]
        epochs = [
            {
                "epoch": record.epoch,
                "loss": record.train_loss,
                "learning_rate": record.learning_rate,
                "monitors": dict(record.validation),
                "alarms": alarms(monitors[: number + 1], updates_per_epoch),
                "timing": {"seconds": dict(record.seconds)},
            }
            for number, record in enumerate(history.epochs)
        ]
        return cls(epochs, history.best_epoch)
