"""The record of a training's epochs."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from efn_compose.train.objectives.objective import Deciding


@dataclass(frozen=True)
class EpochRecord:
    """One epoch.

    Args:
        epoch: From 1, warm-up epochs included.
        phase: "warm_up" or "train".
        size: Height and width of the training images, in pixels.
        learning_rate: Of the epoch's last update.
        train_loss: Mean loss of the training images; of classes, in nats.
        validation: The objective's scores, such as "loss", "accuracy" and "auc"; empty without
            validation images.
        seconds: "train", "bn" and "score".
    """

    epoch: int
    phase: str
    size: int
    learning_rate: float
    train_loss: float
    validation: Mapping[str, float] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return JSON values; only the values under "timing" differ between equal runs."""
        values = asdict(self)
        return values | {"timing": {"seconds": values.pop("seconds")}}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "EpochRecord":
        """Return the record of `to_json`."""
        kept = {key: value for key, value in values.items() if key != "timing"}
        return cls(**kept, seconds=values["timing"]["seconds"])


@dataclass
class History:
    """All epochs of a training so far.

    Args:
        epochs: In order.
        best_epoch: Number of the best one by the monitored score; 0 before the first score.
        learning_rate: The highest rate, found or given.
    """

    epochs: list[EpochRecord] = field(default_factory=list)
    best_epoch: int = 0
    learning_rate: float = 0.0

    def best_of(self, deciding: Deciding) -> int:
        """Return the number of the epoch with the best validation score, the first of equals."""
        scored = [record for record in self.epochs if record.validation]
        if not scored:
            return 0
        score, sign = deciding.score, deciding.sign
        return min(scored, key=lambda record: sign * record.validation[score]).epoch

    def to_json(self) -> dict[str, Any]:
        """Return JSON values."""
        return {
            "epochs": [record.to_json() for record in self.epochs],
            "best_epoch": self.best_epoch,
            "learning_rate": self.learning_rate,
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "History":
        """Return the history of `to_json`."""
        epochs = [EpochRecord.from_json(record) for record in values["epochs"]]
        return cls(epochs, values["best_epoch"], values["learning_rate"])
