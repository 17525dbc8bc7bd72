"""The settings of a training in version 0.1 that are gone, and how its runs are read."""

from efn_compose.evolve.old_settings import OLD_EXECUTOR_SETTINGS
from efn_compose.settings.renamed import Removed, Reworded, Row

_CUT = "Cut the folds with efn-compose folds, which takes {flag}, and give its file as validation.file."

#: Of `[validation]`, which trainings and studies share. `efn-compose folds` says it with the same word.
OLD_VALIDATION_SETTINGS: tuple[Row, ...] = (Reworded("validation.duplicates", {"list": "report"}),)

OLD_SETTINGS: tuple[Row, ...] = (
    *OLD_EXECUTOR_SETTINGS,
    *OLD_VALIDATION_SETTINGS,
    Removed("validation.worst_rate", None, _CUT.format(flag="--worst-rate")),
    Removed("validation.worst_size_distance", None, _CUT.format(flag="--worst-size-distance")),
    Removed(
        "train.warm_up_classifier",
        False,
        "In the warm-up BatchNorm's gamma and beta learn alone: leave it out.",
    ),
    Removed("train.absorb_images", 320, "No experiment gained by another value: leave it out."),
    Removed(
        "semi.decay",
        0.99,
        "Teacher and training have one average: set train.ema to this value.",
    ),
)
