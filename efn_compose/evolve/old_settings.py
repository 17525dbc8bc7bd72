"""The settings of a search in version 0.1, and their names today."""

from efn_compose.settings.renamed import Merged, Moved, Removed, Row

_CONSTANT = "No experiment gained by another value: leave it out."

OLD_SETTINGS: tuple[Row, ...] = (
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
)
