"""The `[augment]` section: random changes to each image."""

from dataclasses import dataclass
from typing import Any

from efn_compose.settings.declare import When, setting
from efn_compose.train.augment.policies.written import canonical_policy


def _share(default: float, text: str, **more: Any) -> Any:
    return setting(default, text, minimum=0.0, maximum=1.0, **more)


@dataclass(frozen=True)
class AugmentOptions:
    """Strengths of augmentation; 0 turns a part off. The defaults only mirror left-right.

    Args:
        flip_x: Probability of mirroring left-right.
        flip_y: Probability of mirroring top-bottom.
        rotation: Largest angle, in degrees, either way.
        stretch: Largest change of each side's scale: 0.2 draws from 1/1.2 to 1.2.
        brightness: Largest shift, as a share of the range.
        contrast: Largest change of contrast: 0.2 draws factors from 0.8 to 1.2.
        hue: Largest turn of the hue, as a share of the colour circle.
        grid: Probability of shuffling tiles.
        grid_cells: Tiles per side; must divide the image's side.
        holes: Squares blanked out (1 is cutout, more is coarse dropout).
        hole_size: Side of a square, as a share of the image's side.
        auto: A policy, applied after the parts above: TrivialAugment, with the space for small
            networks (trivial) or the wide one (trivial_wide); AutoAugment's table for a data set
            (autoaugment_cifar10, autoaugment_imagenet, autoaugment_svhn); a file that
            `efn-compose policy` writes; or sub-policies written out. What a file says is taken over.
        randaugment_ops: Operations per image of RandAugment (Cubuk et al. 2020,
            arXiv:1909.13719), each image drawing its own.
        randaugment_strength: 0 to 1, the share of each operation's range.
        hairs: Probability of dark hairs across the image (dermoscopy).
        ruler: Probability of a ruler's ticks along an edge (dermoscopy).
    """

    flip_x: float = _share(0.5, "probability of mirroring left-right")
    flip_y: float = _share(0.0, "probability of mirroring top-bottom")
    rotation: float = setting(0.0, "largest angle, in degrees", minimum=0.0, maximum=180.0)
    stretch: float = _share(0.0, "largest change of each side's scale")
    brightness: float = _share(0.0, "largest shift, as a share of the range")
    contrast: float = _share(0.0, "largest change of contrast")
    hue: float = _share(0.0, "largest turn of the hue, as a share of the circle")
    grid: float = _share(0.0, "probability of shuffling tiles")
    grid_cells: int = setting(4, "tiles per side", minimum=2, read_when=When("grid"))
    holes: int = setting(0, "squares that are blanked out", minimum=0)
    hole_size: float = _share(
        0.25, "side of a square, as a share of the image's side", read_when=When("holes")
    )
    auto: str = setting(
        "none", "a policy: trivial, trivial_wide, autoaugment_…, a policy file, or written out"
    )
    randaugment_ops: int = setting(
        0, "RandAugment's operations per image; 0: off", minimum=0, maximum=4
    )
    randaugment_strength: float = _share(
        0.3,
        "strength of RandAugment, as a share of each operation's range",
        read_when=When("randaugment_ops"),
    )
    hairs: float = _share(0.0, "probability of drawn hairs (dermoscopy)")
    ruler: float = _share(0.0, "probability of a drawn ruler (dermoscopy)")

    def __post_init__(self) -> None:
        """Take over what a policy file says, so that the file need not travel or stay."""
        object.__setattr__(self, "auto", canonical_policy(self.auto))
