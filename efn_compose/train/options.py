"""The `[train]` section: the settings of a training."""

import tomllib
from dataclasses import dataclass
from typing import Any, Literal

from efn_compose.errors import ConfigError, describe_problems
from efn_compose.settings.declare import When, setting
from efn_compose.train.engine.options import HEAD_START_HELP, HeadStart

Schedule = Literal[
    "constant", "cosine", "triangular", "one_cycle", "cosine_restarts", "two_forward_one_back"
]
Normalisation = Literal["own", "frozen", "group", "standardised"]
Precision = Literal["float32", "mixed_bfloat16", "mixed_float16"]
#: Schedules that begin or end at a share of the highest rate.
_WITH_LOWEST = ("triangular", "one_cycle", "cosine_restarts")

_OF_CLASSES = When("objective.kind", ("classify",))


@dataclass(frozen=True)
class TrainOptions:
    """The `[train]` section.

    Args:
        epochs: Passes over the training images, warm-up not counted.
        batch_size: Images per forward pass.
        accumulate: Batches whose gradients are summed for one update.
        optimizer: An optimizer of Keras by name, or "padam". Ftrl and ScheduleFreeAdamW are refused:
            they throw the weights away that a training begins with.
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
        pooling: "avg", or "avgmax": average and maximum, concatenated.
        head_start: How a new classifier begins: drawn from the seed, or in closed form at the means of
            the classes' features, the same for every seed.
        dropout: Rate before the classifier.
        drop_connect: Rate of stochastic depth at the last block.
        label_smoothing: Share of the target that is spread over all classes.
        focal_gamma: Exponent of the focal loss; 0: cross-entropy.
        balance_classes: Weigh classes by the inverse of their frequency.
        class_weights: Weights of your own, one per class, instead.
        mixup: Alpha of MixUp; 0: off.
        cutmix: Alpha of CutMix; 0: off. With both on, batches take turns.
        augmix: Weight of AugMix's consistency loss; 0: off.
        advprop: Weight of AdvProp's adversarial images beside the clean ones (Xie et al. 2020,
            arXiv:1911.09665); 0: off. They have BatchNorm statistics of their own, which are
            neither scored nor written. Expect no more on clean images, and more on noisy ones.
        advprop_radius: How far an adversarial image may be from the clean one, in grey levels.
        advprop_steps: Steps of the attack. Each is one more pass through the network, forward and
            back.
        sizes: Progressive resizing: image sizes in turn, for equal shares of the epochs.
        ema: Decay of a moving average of the weights. The average is scored and kept; 0: off.
        absorb: Rewrite the BatchNorm of the starting weights for the training images, so that
            the first batches do not undo their knowledge. "body" leaves the last BatchNorm to
            the fresh classifier, "all" absorbs that one too.
        normalisation: For batches of one to four images, whose statistics are mostly noise. "frozen"
            keeps each BatchNorm as `absorb` left it, gamma and beta included. "group"
            puts GroupNorm in place of BatchNorm. "standardised" standardises the kernels of
            convolutions too, as BiT does (Kolesnikov et al. 2019, arXiv:1912.11370); starting
            weights then lose the mean of each filter. Weights with GroupNorm open as any others,
            and can be trained and predicted with; they cannot be composed, nested or exchanged.
        recalibrate_images: Training images that BatchNorm statistics are re-estimated on after
            every epoch; 0: keep Keras' moving averages.
        precision: Of activations; weights and loss stay float32.
        monitor: The validation score that chooses the best epoch; which there are, the objective says.
        keep: Which epoch's weights a training returns. The best epoch's score flatters, since
            it was chosen by the images it is scored on.
        deterministic: TensorFlow's deterministic kernels, while this training lasts: equal bits
            from run to run, on several threads and on a GPU too. Another number of threads
            still rounds otherwise.
        frozen_backbone: For comparison: only the head learns.
        hidden_units: For comparison: widths of further layers before the classifier.

    Raises:
        ConfigError: Settings exclude each other.
    """

    epochs: int = setting(10, "passes over the images", minimum=1)
    batch_size: int = setting(32, "images per batch", minimum=1)
    accumulate: int = setting(1, "batches whose gradients make one update", minimum=1)
    optimizer: str = setting("adam", "an optimizer of Keras that keeps the first weights, or padam")
    optimizer_settings: tuple[str, ...] = setting(
        (), 'further arguments of the optimizer: "momentum=0.9"'
    )
    learning_rate: float = setting(
        1e-3, "highest learning rate of the schedule, and the rate of the warm-up", minimum=1e-12
    )
    find_rate: bool = setting(False, "find the highest rate by a range test first")
    weight_decay: float = setting(0.0, "decoupled weight decay per update", minimum=0.0)
    clip_norm: float = setting(
        0.0, "largest norm of all gradients together; 0: no limit", minimum=0.0
    )
    schedule: Schedule = setting("one_cycle", "course of the learning rate")
    cycle_epochs: float = setting(
        2.0,
        "epochs of a triangular cycle, or of the first cosine period",
        minimum=0.01,
        read_when=When("schedule", ("triangular", "cosine_restarts")),
    )
    cycle_growth: float = setting(
        2.0,
        "length of a cosine period, relative to the one before",
        minimum=1.0,
        read_when=When("schedule", ("cosine_restarts",)),
    )
    lowest_rate: float = setting(
        0.04,
        "rate at both ends of a cycle, as a share of the highest",
        minimum=0.0,
        maximum=1.0,
        read_when=When("schedule", _WITH_LOWEST),
    )
    warm_up_epochs: int = setting(
        0, "first epochs, in which BatchNorm's gamma and beta alone learn", minimum=0
    )
    pooling: Literal["avg", "avgmax"] = setting(
        "avg", "avgmax: average and maximum, concatenated", read_when=_OF_CLASSES
    )
    head_start: HeadStart = setting("random", HEAD_START_HELP, read_when=_OF_CLASSES)
    dropout: float = setting(
        0.2, "dropout rate before the classifier", minimum=0.0, maximum=0.95, read_when=_OF_CLASSES
    )
    drop_connect: float = setting(
        0.0, "rate of stochastic depth at the last block", minimum=0.0, maximum=0.95
    )
    label_smoothing: float = setting(
        0.0,
        "share of the target that is spread over all classes",
        minimum=0.0,
        maximum=1.0,
        read_when=_OF_CLASSES,
    )
    focal_gamma: float = setting(
        0.0, "exponent of the focal loss; 0: cross-entropy", minimum=0.0, read_when=_OF_CLASSES
    )
    balance_classes: bool = setting(
        False, "weigh classes by inverse frequency", read_when=_OF_CLASSES
    )
    class_weights: tuple[float, ...] = setting(
        (), "your own weights, one per class", read_when=_OF_CLASSES
    )
    mixup: float = setting(0.0, "alpha of MixUp; 0: off", minimum=0.0, read_when=_OF_CLASSES)
    cutmix: float = setting(0.0, "alpha of CutMix, of masks too; 0: off", minimum=0.0)
    augmix: float = setting(
        0.0, "weight of AugMix's consistency loss; 0: off", minimum=0.0, read_when=_OF_CLASSES
    )
    advprop: float = setting(
        0.0, "weight of AdvProp's adversarial images; 0: off", minimum=0.0, read_when=_OF_CLASSES
    )
    advprop_radius: float = setting(
        1.0, "largest change of a pixel, in grey levels", minimum=0.0, maximum=255.0,
        read_when=When("advprop"),
    )  # fmt: skip
    advprop_steps: int = setting(
        1, "steps of the attack", minimum=1, maximum=20, read_when=When("advprop")
    )
    sizes: tuple[int, ...] = setting((), "image sizes in turn, for equal shares of the epochs")
    ema: float = setting(
        0.0, "decay of the moving average of the weights; 0: off", minimum=0.0, maximum=0.999999
    )
    absorb: Literal["body", "all", "never"] = setting(
        "body", "rewrite BatchNorm for the training images first"
    )
    normalisation: Normalisation = setting(
        "own",
        "for batches of 1 to 4. frozen: BatchNorm stays as absorbed; group: GroupNorm; "
        "standardised: kernels standardised too",
    )
    recalibrate_images: int = setting(
        1024, "training images for BatchNorm after each epoch; 0: off", minimum=0,
        read_when=When("normalisation", ("own",)),
    )  # fmt: skip
    precision: Precision = setting("float32", "precision of activations")
    monitor: str = setting(
        "loss",
        "score that chooses the best epoch: loss, accuracy or auc; of masks loss, iou or dice",
    )
    keep: Literal["last", "best"] = setting(
        "last", "epoch whose weights are scored; the best one flatters"
    )
    deterministic: bool = setting(False, "same bits every time, with threads and GPUs too")
    frozen_backbone: bool = setting(False, "only the head learns; for comparison")
    hidden_units: tuple[int, ...] = setting(
        (), "widths of further layers before the classifier; for comparison", read_when=_OF_CLASSES
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
                f"- sizes: {len(self.sizes)} sizes need {len(self.sizes)} epochs or more. "
                f"Received: epochs = {self.epochs}"
            )
        if self.frozen_backbone and self.warm_up_epochs:
            problems.append("- warm_up_epochs trains BatchNorm, which frozen_backbone forbids")
        if any(units < 1 for units in self.hidden_units):
            problems.append(f"- hidden_units: allowed 1 or more. Received: {self.hidden_units}")
        if self.normalisation == "frozen" and self.warm_up_epochs:
            problems.append("- warm_up_epochs trains BatchNorm, which normalisation = frozen keeps")
        if self.normalisation != "own" and self.frozen_backbone:
            problems.append("- frozen_backbone keeps all weights; set normalisation to own")
        if self.normalisation != "own" and self.advprop:
            problems.append(
                "- advprop has a second BatchNorm, whose statistics are those of its batches; "
                f"normalisation = {self.normalisation} takes none of them"
            )
        if self.augmix and self.advprop:
            problems.append("- advprop attacks single images; augmix needs three views of each")
        if self.augmix and (self.mixup or self.cutmix):
            problems.append("- augmix compares views of one image; mixup and cutmix mix two")
        try:
            self.optimizer_arguments()
        except ConfigError as error:
            problems.append(f"- {error}")
        if problems:
            raise ConfigError(describe_problems("[train] cannot be used.", problems))

    @property
    def has_group_norm(self) -> bool:
        """Whether the network gets GroupNorm in place of BatchNorm."""
        return self.normalisation in ("group", "standardised")

    @property
    def takes_batch_statistics(self) -> bool:
        """Whether there is a BatchNorm that takes the statistics of the training's batches."""
        return self.normalisation == "own" and not self.frozen_backbone

    @property
    def statistics_images(self) -> int:
        """Training images that BatchNorm is re-estimated on after every epoch; 0: none."""
        return self.recalibrate_images if self.takes_batch_statistics else 0

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
