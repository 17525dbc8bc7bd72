"""The `[train]` section: the settings of a training."""

import tomllib
from dataclasses import dataclass, field
from typing import Any, Literal

from efn_compose.errors import ConfigError, describe_problems

Schedule = Literal[
    "constant", "cosine", "triangular", "one_cycle", "cosine_restarts", "two_forward_one_back"
]
Precision = Literal["float32", "mixed_bfloat16", "mixed_float16"]


def _number(default: float, text: str, low: float = 0.0, high: float | None = None) -> float:
    bounds = {"minimum": low, "help": text} | ({} if high is None else {"maximum": high})
    return field(default=default, metadata=bounds)


@dataclass(frozen=True)
class TrainOptions:
    """The `[train]` section.

    Args:
        epochs: Passes over the training images, warm-up not counted.
        batch_size: Images per forward pass.
        accumulate: Batches whose gradients are summed for one update.
        optimizer: Any optimizer of Keras by name, or "padam".
        optimizer_settings: Its further arguments, as "momentum=0.9".
        learning_rate: The highest rate of the schedule.
        find_rate: Replace it by the rate that a range test finds.
        weight_decay: Decoupled, per update, times the rate.
        clip_norm: Largest norm of all gradients together; 0: any.
        schedule: Of the rate; "two_forward_one_back" keeps it and moves the weights. See
            `schedules`.
        cycle_epochs: Length of a triangular cycle, and of the first cosine period.
        cycle_growth: Length of a cosine period, relative to the one before.
        lowest_rate: Rate at the beginning and the end of a cycle, as a share of the highest rate.
        warm_up_epochs: Epochs before all others in which BatchNorm's gamma and beta alone learn.
        warm_up_classifier: Whether the classifier learns then, too.
        pooling: "avg", or "avgmax": average and maximum, concatenated.
        dropout: Rate before the classifier.
        drop_connect: Rate of stochastic depth at the last block.
        label_smoothing: Share of the target that is spread over all classes.
        focal_gamma: Exponent of the focal loss; 0: cross-entropy.
        balance_classes: Weigh classes by the inverse of their frequency.
        class_weights: Weights of your own, one per class, instead.
        mixup: Alpha of MixUp; 0: off.
        cutmix: Alpha of CutMix; 0: off. With both on, batches take turns.
        augmix: Weight of AugMix's consistency loss; 0: off.
        sizes: Progressive resizing: image sizes in turn, for equal shares of the epochs.
        ema: Decay of a moving average of the weights. The average is scored and kept; 0: off.
        absorb: Rewrite the BatchNorm of the starting weights for the training images, so that
            the first batches do not undo their knowledge. "body" leaves the last BatchNorm to
            the fresh classifier, "all" absorbs that one too.
        absorb_images: Training images that the statistics are taken from.
        recalibrate_images: Training images that BatchNorm statistics are re-estimated on after
            every epoch; 0: keep Keras' moving averages.
        precision: Of activations; weights and loss stay float32.
        monitor: The validation score that chooses the best epoch.
        keep: Which epoch's weights a training returns. The best epoch's score flatters, since
            it was chosen by the images it is scored on.
        deterministic: TensorFlow's deterministic kernels, for the whole process: equal bits
            from run to run on any number of threads, and from a GPU.
        frozen_backbone: For comparison: only the head learns.
        hidden_units: For comparison: widths of further layers before the classifier.

    Raises:
        ConfigError: Settings exclude each other.
    """

    epochs: int = field(default=10, metadata={"minimum": 1, "help": "passes over the images"})
    batch_size: int = field(default=32, metadata={"minimum": 1, "help": "images per batch"})
    accumulate: int = field(
        default=1, metadata={"minimum": 1, "help": "batches whose gradients make one update"}
    )
    optimizer: str = field(default="adam", metadata={"help": "any optimizer of Keras, or padam"})
    optimizer_settings: tuple[str, ...] = field(
        default=(), metadata={"help": 'further arguments of the optimizer: "momentum=0.9"'}
    )
    learning_rate: float = _number(1e-3, "highest learning rate of the schedule", 1e-12)
    find_rate: bool = field(
        default=False, metadata={"help": "find the learning rate by a range test first"}
    )
    weight_decay: float = _number(0.0, "decoupled weight decay per update")
    clip_norm: float = _number(0.0, "largest norm of all gradients together; 0: any")
    schedule: Schedule = field(
        default="one_cycle", metadata={"help": "course of the learning rate"}
    )
    cycle_epochs: float = _number(
        2.0, "epochs of a triangular cycle, or of the first cosine period", 0.01
    )
    cycle_growth: float = _number(2.0, "length of a cosine period, relative to the one before", 1.0)
    lowest_rate: float = _number(
        0.04, "rate at both ends of a cycle, as a share of the highest", 0.0, 1.0
    )
    warm_up_epochs: int = field(
        default=0,
        metadata={
            "minimum": 0,
            "help": "first epochs, in which BatchNorm's gamma and beta alone learn",
        },
    )
    warm_up_classifier: bool = field(
        default=False, metadata={"help": "the classifier learns in the warm-up, too"}
    )
    pooling: Literal["avg", "avgmax"] = field(
        default="avg", metadata={"help": "avgmax: average and maximum, concatenated"}
    )
    dropout: float = _number(0.2, "dropout rate before the classifier", 0.0, 0.95)
    drop_connect: float = _number(0.0, "rate of stochastic depth at the last block", 0.0, 0.95)
    label_smoothing: float = _number(
        0.0, "share of the target that is spread over all classes", 0.0, 1.0
    )
    focal_gamma: float = _number(0.0, "exponent of the focal loss; 0: cross-entropy")
    balance_classes: bool = field(
        default=False, metadata={"help": "weigh classes by inverse frequency"}
    )
    class_weights: tuple[float, ...] = field(
        default=(), metadata={"help": "your own weights, one per class"}
    )
    mixup: float = _number(0.0, "alpha of MixUp; 0: off")
    cutmix: float = _number(0.0, "alpha of CutMix; 0: off")
    augmix: float = _number(0.0, "weight of AugMix's consistency loss; 0: off")
    sizes: tuple[int, ...] = field(
        default=(), metadata={"help": "image sizes in turn, for equal shares of the epochs"}
    )
    ema: float = _number(0.0, "decay of the moving average of the weights; 0: off", 0.0, 0.999999)
    absorb: Literal["body", "all", "never"] = field(
        default="body", metadata={"help": "rewrite BatchNorm for the training images first"}
    )
    absorb_images: int = field(
        default=320, metadata={"minimum": 2, "help": "training images to absorb"}
    )
    recalibrate_images: int = field(
        default=1024,
        metadata={"minimum": 0, "help": "training images for BatchNorm after each epoch; 0: off"},
    )
    precision: Precision = field(default="float32", metadata={"help": "precision of activations"})
    monitor: Literal["loss", "accuracy", "auc"] = field(
        default="loss", metadata={"help": "score that chooses the best epoch"}
    )
    keep: Literal["last", "best"] = field(
        default="last", metadata={"help": "epoch whose weights are scored; the best one flatters"}
    )
    deterministic: bool = field(
        default=False, metadata={"help": "same bits on any number of threads"}
    )
    frozen_backbone: bool = field(
        default=False, metadata={"help": "only the head learns; for comparison"}
    )
    hidden_units: tuple[int, ...] = field(
        default=(),
        metadata={"help": "widths of further layers before the classifier; for comparison"},
    )

    def __post_init__(self) -> None:
        problems = []
        if self.balance_classes and self.class_weights:
            problems.append("- balance_classes and class_weights exclude each other")
        if any(weight < 0 for weight in self.class_weights):
            problems.append(f"- class_weights: allowed 0 or more. Received: {self.class_weights}")
        if any(size < 8 for size in self.sizes):
            problems.append(f"- sizes: allowed 8 or more pixels. Received: {self.sizes}")
        if len(self.sizes) > self.epochs:
            problems.append(
                f"- sizes: {len(self.sizes)} sizes need as many epochs. Received: {self.epochs}"
            )
        if self.frozen_backbone and self.warm_up_epochs:
            problems.append("- warm_up_epochs trains BatchNorm, which frozen_backbone forbids")
        if any(units < 1 for units in self.hidden_units):
            problems.append(f"- hidden_units: allowed 1 or more. Received: {self.hidden_units}")
        if self.augmix and (self.mixup or self.cutmix):
            problems.append("- augmix compares views of one image; mixup and cutmix mix two")
        try:
            self.optimizer_arguments()
        except ConfigError as error:
            problems.append(f"- {error}")
        if problems:
            raise ConfigError(describe_problems("[train] cannot be used.", problems))

    def optimizer_arguments(self) -> dict[str, Any]:
        """Return `optimizer_settings` as arguments by name.

        Example:
            >>> TrainOptions(optimizer_settings=("momentum=0.9", "nesterov=true")).optimizer_arguments()
            {'momentum': 0.9, 'nesterov': True}
        """
        found: dict[str, Any] = {}
        for text in self.optimizer_settings:
            try:
                found |= tomllib.loads(text)
            except tomllib.TOMLDecodeError:
                raise ConfigError(
                    f'optimizer_settings: expected "name=value", such as "momentum=0.9". '
                    f"Received: {text!r}."
                ) from None
        return found

    @property
    def all_epochs(self) -> int:
        """Epochs with those of the warm-up."""
        return self.warm_up_epochs + self.epochs

    def size_in(self, epoch: int, full_size: int) -> int:
        """Return the image size of an epoch, counted from 0 after the warm-up.

        Example:
            >>> options = TrainOptions(epochs=4, sizes=(32, 48))
            >>> [options.size_in(epoch, 48) for epoch in range(4)]
            [32, 32, 48, 48]
        """
        if not self.sizes:
            return full_size
        return self.sizes[min(epoch * len(self.sizes) // self.epochs, len(self.sizes) - 1)]
