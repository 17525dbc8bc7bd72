"""The settings of a search in version 0.1, and their names today."""

from efn_compose.settings.renamed import Merged, Moved, Removed, Row

_CONSTANT = "No experiment gained by another value: leave it out."

#: Of `[executor]`, which searches and trainings share.
OLD_EXECUTOR_SETTINGS: tuple[Row, ...] = (
    Moved("executor.hang_seconds", "executor.patience", 900.0),
    Removed(
        "executor.hang_factor",
        10.0,
        "An answer may take ten times the median of its kind: leave it out.",
    ),
    Removed(
        "executor.start_seconds",
        600.0,
        "A worker's place is waited for as long as a first answer: set executor.patience.",
    ),
)

OLD_SETTINGS: tuple[Row, ...] = (
    *OLD_EXECUTOR_SETTINGS,
    Merged(
        {
            "search.inheritance": "baldwin",
            "search.mode": "generational",
            "search.breeding": "genetic",
        },
        "search.kind",
        {
            ("baldwin", "generational", "genetic"): "genetic",
            ("baldwin", "generational", "random"): "random",
            ("baldwin", "steady", "genetic"): "steady",
            ("halving", "generational", "genetic"): "halving",
            ("halving", "generational", "random"): "halving",
            ("lamarck", "generational", "genetic"): "lamarck",
            ("lamarck", "generational", "random"): "lamarck",
        },
        "no kind of search is this. Set search.kind to genetic, steady, random, halving or lamarck.",
    ),
    Moved("search.population", "{search.kind}.population", 16),
    Moved("search.generations", "{search.kind}.generations", 6),
    Moved("search.lines", "{search.kind}.lines", 1),
    Moved("search.branches", "{search.kind}.branches", 1),
    Moved("search.rungs", "{search.kind}.rungs", ()),
    Moved("search.elites", "{search.kind}.elites", 2),
    Moved("search.noise_repeats", "finals.noise_repeats", 5),
    Moved("search.finalists", "finals.finalists", 4),
    Moved("search.final_seeds", "finals.final_seeds", 5),
    Removed(
        "search.lookahead",
        1,
        "Going on from averages measured behind going on from the latest weights: leave it out.",
    ),
    Removed(
        "search.reference",
        "depth",
        "The plain network now trains for the time of one candidate: leave it out.",
    ),
    Removed("search.tournament", 3, _CONSTANT),
    Removed("search.crossover_rate", 0.8, _CONSTANT),
    Removed("search.mutations", 1.5, _CONSTANT),
    Removed("search.rung_keep", 0.5, _CONSTANT),
    Removed("search.rung_correlation", 0.5, _CONSTANT),
    Moved("fitness.precision", "device.precision", "auto"),
    Moved("fitness.xla", "device.xla", False),
    Moved("fitness.final_rate", "finals.final_rate", 0.1),
    Moved("fitness.recalibrate_images", "data.statistics_images", 1024),
    Removed(
        "fitness.loss",
        "auto",
        "Losses are taken at the best temperature: leave it out.",
    ),
    Removed("fitness.label_smoothing", 0.0, _CONSTANT),
    Removed("donors.align_images", 200, _CONSTANT),
    Removed("donors.absorb_images", 320, _CONSTANT),
    Removed(
        "output.weights_name",
        "efn_magic_weights.h5",
        "Every run writes efn_magic_weights.h5: leave it out, and copy the file where you want it.",
    ),
)
