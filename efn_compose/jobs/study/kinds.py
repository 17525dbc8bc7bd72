"""Ready-made studies: the axes that a kind of study has where none are given."""

import dataclasses
from collections.abc import Sequence

from efn_compose.arch import ArchSpec, arch_spec
from efn_compose.arch.variants import coefficients_of
from efn_compose.donors import Donor
from efn_compose.errors import ConfigError
from efn_compose.jobs.study.options import StudyOptions

#: Steps of "scaling": a network's depth and width, and the image's side, a bit down and up.
COEFFICIENT_STEPS = (1 / 1.6, 1.0, 1.6)
SIDE_STEPS = (0.75, 1.0, 4 / 3)
#: Settings of "methods" and their two levels: off and on, or the two usual choices.
METHODS = (
    "train.learning_rate=0.001|0.003",
    "train.schedule=one_cycle|cosine",
    "train.absorb=never|body",
    "train.pooling=avg|avgmax",
    "train.label_smoothing=0|0.1",
    "train.ema=0|0.98",
    "train.mixup=0|0.2",
    "train.cutmix=0|1",
)


def fill_axes(options: StudyOptions, donors: dict[str, Donor], size: int) -> StudyOptions:
    """Return the options with the axes and the design of their kind, where they name none.

    Args:
        options: As given.
        donors: By name.
        size: `data.size`.

    Raises:
        ConfigError: The kind needs other donors.
    """
    fills_in_methods = options.kind == "methods" and not options.factors
    if options.design == "auto":
        options = dataclasses.replace(options, design="fraction" if fills_in_methods else "full")
    if fills_in_methods:
        return dataclasses.replace(options, factors=METHODS)
    if options.kind == "scaling":
        return _scaling(options, donors, size)
    others = [name for name in ("networks", "widths", "depths") if getattr(options, name)]
    if options.kind == "backbones" and others:
        named = " and ".join(f"study.{name}" for name in others)
        raise ConfigError(
            f"study backbones takes donors as they are. Remove {named}, or take study scaling or "
            "study grid."
        )
    return options


def _scaling(options: StudyOptions, donors: dict[str, Donor], size: int) -> StudyOptions:
    if len(donors) > 1 or len(options.networks) > 1:
        raise ConfigError(
            "study scaling varies one network: one donor, at most one of study.networks. Received: "
            f"{len(donors)} donors, {len(options.networks)} networks."
        )
    own = coefficients_of(_varied(options.networks, donors))
    if own is None and not (options.widths and options.depths):
        raise ConfigError(
            "study scaling: the network has no width and depth coefficients to vary. Name one that "
            "has, or the coefficients: study.networks, study.widths, study.depths."
        )
    width, depth = own or (1.0, 1.0)
    sides = tuple(max(8, round(step * size / 8) * 8) for step in SIDE_STEPS)
    return dataclasses.replace(
        options,
        widths=options.widths or tuple(float(f"{width * s:.2g}") for s in COEFFICIENT_STEPS),
        depths=options.depths or tuple(float(f"{depth * s:.2g}") for s in COEFFICIENT_STEPS),
        resolutions=options.resolutions or tuple(dict.fromkeys(sides)),
    )


def _varied(networks: Sequence[str], donors: dict[str, Donor]) -> ArchSpec:
    """Return the network whose coefficients vary: the one that is named, or the donor's."""
    if not networks:
        return next(iter(donors.values())).spec
    if ":" in networks[0]:
        raise ConfigError(
            f"study scaling varies width and depth, which {networks[0]} has not: it is a function. "
            "Name a network, or take study grid."
        )
    return arch_spec(networks[0])
