"""The `[tta]` section: several views of an image, and their merged answer."""

from dataclasses import dataclass
from typing import Literal

from efn_compose.settings.declare import When, setting

#: Number of views of each kind; "drawn" has any number.
VIEW_COUNTS = {"none": 1, "flip": 2, "flips": 4, "dihedral": 8, "crops": 6}


@dataclass(frozen=True)
class TtaOptions:
    """The `[tta]` section.

    Args:
        views: "none"; "flip": as it is and mirrored left-right; "flips": both axes, 4 views;
            "dihedral": all 8 flips and quarter turns of a square; "crops": the whole, the centre
            and the four corners; "drawn": draws of the `[augment]` section, the first as it is.
        count: Views of "drawn".
        crop: Side of a crop, as a share of the image's.
        merge: "mean" or "median" of the probabilities, or mean "rank" among the images, which
            orders them but is no probability.
    """

    views: Literal["none", "flip", "flips", "dihedral", "crops", "drawn"] = setting(
        "none", "views of each image"
    )
    count: int = setting(
        8,
        "number of drawn views",
        minimum=1,
        maximum=256,
        read_when=When("views", ("drawn",)),
    )
    crop: float = setting(
        0.875,
        "side of a crop, as a share of the image's",
        minimum=0.1,
        maximum=1.0,
        read_when=When("views", ("crops",)),
    )
    merge: Literal["mean", "median", "rank"] = setting(
        "mean",
        "way to merge the answers of the views",
        read_when=When("views", ("flip", "flips", "dihedral", "crops", "drawn")),
    )
