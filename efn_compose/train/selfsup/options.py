"""The `[pretrain]` and `[views]` sections: learning from images alone."""

from dataclasses import dataclass
from typing import Any, Literal

from efn_compose.errors import ConfigError
from efn_compose.settings.declare import When, setting
from efn_compose.train.options import TrainOptions

#: Names of the methods; `methods.py` has what they are.
METHODS = (
    "vicreg", "simclr", "byol", "simsiam", "rotation", "autoencoder", "colourisation", "vqvae",
    "gan", "cyclegan",
)  # fmt: skip

#: Those that compare two views of an image.
TWO_VIEWS = METHODS[:4]

#: Those that look at views: these, and the one that hides its few images from the critic by views.
VIEWED = (*TWO_VIEWS, "gan")
WITH_PROJECTOR = When("has_projector", (True,), f"pretrain.methods with {' or '.join(TWO_VIEWS)}")

#: Updates below which a teacher forgets faster.
_FEW_UPDATES = 2000


def _share(default: float, text: str, **more: Any) -> Any:
    return setting(default, text, minimum=0.0, maximum=1.0, **more)


@dataclass(frozen=True)
class PretrainOptions:
    """The `[pretrain]` section.

    Args:
        methods: Names of the methods; several train side by side from the same weights.
        seeds: Trainings per method; their seeds count up from `run.seed`.
        learns: "all" layers, or only the "norm" layers: BatchNorm's gamma and beta.
        epochs: Passes over the images. Few images need many: 500 updates paid where this was measured,
            100 did not, and a run of fewer says how many epochs would make them.
        batch_size: Images per update; each comes in two views.
        learning_rate: Highest rate of Adam.
        weight_decay: Decoupled, per update, times the rate.
        width: Width of the projector's hidden layers; 0: four times the features, at most 2048.
        invariance: VICReg: weight of the distance between views.
        variance: VICReg: weight of the missing spread.
        covariance: VICReg: weight of the dimensions' covariances.
        temperature: SimCLR: what cosines are divided by; 0: 0.2, or 0.5 for batches below 64.
        positives: What the two views of an image are of: of the "image" alone, or of two images of
            one "patient" where a patient has several.
        between: CycleGAN: the names of the two classes of the unlabelled source that it changes into
            each other; empty: its only two.
        synthetic_images: CycleGAN: changed images of each class that are written, with a table.
        momentum: BYOL: the teacher's, rising to 1 by a cosine; 0: 0.996, or 0.99 for less than
            2,000 updates.
        monitor_images: Images on which a pretraining is watched.
    """

    methods: tuple[str, ...] = setting(("vicreg",), "methods, trained side by side")
    seeds: int = setting(1, "trainings per method", minimum=1)
    learns: Literal["all", "norm"] = setting(
        "all", "all layers, or BatchNorm's gamma and beta alone"
    )
    epochs: int = setting(
        10, "passes over the images; 500 updates paid where this was measured", minimum=1
    )
    batch_size: int = setting(64, "images per update", minimum=2)
    learning_rate: float = setting(3e-4, "highest rate of Adam", minimum=1e-12)
    weight_decay: float = setting(0.0, "decoupled weight decay per update", minimum=0.0)
    width: int = setting(
        0, "width of the projector's hidden layers; 0: four times the features", minimum=0,
        read_when=WITH_PROJECTOR,
    )  # fmt: skip
    invariance: float = setting(
        25.0, "weight of the distance between views", minimum=0.0,
        read_when=When("vicreg", (True,), 'pretrain.methods with "vicreg"'),
    )  # fmt: skip
    variance: float = setting(
        25.0, "weight of the missing spread", minimum=0.0,
        read_when=When("vicreg", (True,), 'pretrain.methods with "vicreg"'),
    )  # fmt: skip
    covariance: float = setting(
        1.0, "weight of the dimensions' covariances", minimum=0.0,
        read_when=When("vicreg", (True,), 'pretrain.methods with "vicreg"'),
    )  # fmt: skip
    temperature: float = setting(
        0.0, "divisor of the cosines; 0: chosen by the batch size", minimum=0.0,
        read_when=When("simclr", (True,), 'pretrain.methods with "simclr"'),
    )  # fmt: skip
    momentum: float = _share(
        0.0, "of the teacher at the beginning; 0: by the updates",
        read_when=When("byol", (True,), 'pretrain.methods with "byol"'),
    )  # fmt: skip
    positives: Literal["image", "patient"] = setting(
        "image", "two views of an image, or of two images of one patient", read_when=WITH_PROJECTOR
    )
    between: tuple[str, ...] = setting(
        (), "the two classes that are changed into each other; empty: the only two",
        read_when=When("cyclegan", (True,), 'pretrain.methods with "cyclegan"'),
    )  # fmt: skip
    synthetic_images: int = setting(
        100, "changed images of each class that are written", minimum=0,
        read_when=When("cyclegan", (True,), 'pretrain.methods with "cyclegan"'),
    )  # fmt: skip
    monitor_images: int = setting(512, "images on which a pretraining is watched", minimum=32)

    def __post_init__(self) -> None:
        unknown = [name for name in self.methods if name not in METHODS]
        if unknown or not self.methods:
            raise ConfigError(
                f"pretrain.methods: allowed {', '.join(METHODS)}, one or several. "
                f"Received: {', '.join(unknown) or 'none'}."
            )
        if len(set(self.methods)) < len(self.methods):
            raise ConfigError(f"pretrain.methods: each once. Received: {', '.join(self.methods)}.")
        if len(set(self.between)) not in (0, 2) or len(self.between) > 2:
            raise ConfigError(
                f"pretrain.between: two classes, or none. Received: {', '.join(self.between)}."
            )

    @property
    def has_views(self) -> bool:
        """Whether a method among them looks at views."""
        return any(name in VIEWED for name in self.methods)

    @property
    def has_projector(self) -> bool:
        """Whether a method among them compares two views."""
        return any(name in TWO_VIEWS for name in self.methods)

    @property
    def vicreg(self) -> bool:
        """Whether VICReg is among the methods."""
        return "vicreg" in self.methods

    @property
    def simclr(self) -> bool:
        """Whether SimCLR is among the methods."""
        return "simclr" in self.methods

    @property
    def byol(self) -> bool:
        """Whether BYOL is among the methods."""
        return "byol" in self.methods

    @property
    def cyclegan(self) -> bool:
        """Whether CycleGAN is among the methods."""
        return "cyclegan" in self.methods

    def temperature_for(self, batch: int) -> float:
        """Return SimCLR's temperature for batches of so many images.

        Example:
            >>> PretrainOptions().temperature_for(64), PretrainOptions().temperature_for(32)
            (0.2, 0.5)
        """
        return self.temperature or (0.2 if batch >= 64 else 0.5)

    def momentum_for(self, updates: int) -> float:
        """Return BYOL's first momentum for a training of so many updates.

        Example:
            >>> PretrainOptions().momentum_for(500), PretrainOptions().momentum_for(5000)
            (0.99, 0.996)
        """
        return self.momentum or (0.996 if updates >= _FEW_UPDATES else 0.99)

    def train_options(self) -> TrainOptions:
        """Return the settings of the training."""
        return TrainOptions(
            epochs=self.epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            dropout=0.0,
            absorb="all",
            deterministic=True,
        )


@dataclass(frozen=True)
class ViewOptions:
    """The `[views]` section: what makes two views of an image differ, after `[augment]`.

    Args:
        crop: Smallest share of the image's area that a view shows; 1 shows all. Take 0.5 where a
            crop without the object is another case.
        brightness: Largest shift, as a share of the range.
        contrast: Largest change of contrast.
        saturation: Largest change of saturation.
        hue: Largest turn of the hue, as a share of the colour circle.
        jitter: Probability of these four.
        grey: Probability of losing all colour.
        blur: Probability of a blur; only images above 64 pixels are blurred.
    """

    crop: float = setting(
        0.3, "smallest share of the area that a view shows", minimum=0.05, maximum=1.0
    )
    brightness: float = _share(0.2, "largest shift, as a share of the range")
    contrast: float = _share(0.4, "largest change of contrast")
    saturation: float = _share(0.2, "largest change of saturation")
    hue: float = _share(0.1, "largest turn of the hue, as a share of the circle")
    jitter: float = _share(0.8, "probability of these four")
    grey: float = _share(0.2, "probability of losing all colour")
    blur: float = _share(0.5, "probability of a blur, above 64 pixels")
