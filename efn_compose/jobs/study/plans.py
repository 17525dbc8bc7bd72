"""What each point of a study trains: its network, its start, its recipe, its images."""

import dataclasses
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from efn_compose.arch import ArchSpec
from efn_compose.arch.cost import cost
from efn_compose.donors import Donor
from efn_compose.errors import ConfigError, EfnComposeError
from efn_compose.jobs.study.options import StudyConfig
from efn_compose.jobs.study.points import Axis
from efn_compose.jobs.study.starts import check_start, target_spec
from efn_compose.store.study_files import DATA_AXIS
from efn_compose.train.augment.options import AugmentOptions
from efn_compose.train.options import TrainOptions


@dataclass(frozen=True)
class Plan:
    """Everything that decides the trainings of one point, but for fold and seed.

    Args:
        weights: Name of the donor.
        start: "donor" or "random".
        spec: The network; None where there is none, or where it is a function.
        function: "module:function" that makes the network, or "".
        source: The data set.
        side: Image size in pixels.
        train: The recipe; the base one where the point's settings exclude each other.
        augment: What is done to each training image.
        problem: Why the point cannot be trained; its trainings are rows with this reason.
    """

    weights: str
    start: str
    spec: ArchSpec | None
    function: str
    source: str
    side: int
    train: TrainOptions
    augment: AugmentOptions
    problem: str = ""

    @property
    def network(self) -> str:
        """Name of the network, or of the function."""
        return self.function or (self.spec.variant if self.spec else "none")

    @property
    def architecture(self) -> ArchSpec:
        """The network.

        Raises:
            ConfigError: There is none in the tables.
        """
        if self.spec is None:
            raise ConfigError(self.problem or f"{self.function} is no network of the tables.")
        return self.spec

    @property
    def traced(self) -> Hashable:
        """Everything that a traced network is made for; how many epochs it is used for is not."""
        train = dataclasses.replace(self.train, epochs=max(1, len(self.train.sizes)))
        return self.network, self.spec, train

    def to_json(self, classes: int) -> dict[str, Any]:
        """Return what the report says of a point."""
        known = None if self.spec is None else cost(self.spec, self.side, classes)
        return {
            "network": self.network,
            "parameters": None if known is None else known.parameters,
            "multiply_adds": None if known is None else known.multiply_adds,
            "epochs": None if self.problem else self.train.all_epochs,
        }


def axes_of(
    config: StudyConfig, donors: Mapping[str, Donor], factors: Mapping[str, Sequence[Any]]
) -> list[Axis]:
    """Return all axes, those that make another traced network first.

    Args:
        config: With the axes of its kind filled in.
        donors: By name.
        factors: Levels of settings by "section.key".
    """
    study, data = config.study, config.data
    rows: dict[str, Sequence[Any]] = {
        "weights": list(donors),
        "network": study.networks or (None,),
        "width": study.widths or (None,),
        "depth": study.depths or (None,),
        **factors,
        "start": study.starts,
        DATA_AXIS: study.sources or (data.source,),
        "resolution": study.resolutions or (data.size,),
    }
    return [Axis(name, tuple(dict.fromkeys(levels))) for name, levels in rows.items()]


def make_plans(
    config: StudyConfig,
    donors: Mapping[str, Donor],
    axes: Sequence[Axis],
    points: Sequence[tuple[int, ...]],
) -> list[Plan]:
    """Return the plan of every point; what is impossible is said in its `problem`."""
    plans = []
    for point in points:
        levels = {axis.name: axis.levels[n] for axis, n in zip(axes, point, strict=True)}
        plans.append(_plan(config, donors, levels))
    return plans


def _plan(config: StudyConfig, donors: Mapping[str, Donor], levels: Mapping[str, Any]) -> Plan:
    from efn_compose.train.recipe.optimizers.table import make_optimizer
    from efn_compose.train.tiles import check_sizes

    donor = donors[levels["weights"]]
    problems: list[str] = []
    network = levels["network"]
    function = network if network and ":" in network else ""
    spec: ArchSpec | None = None
    try:
        if not function:
            spec = target_spec(donor, network, levels["width"], levels["depth"])
            if levels["start"] == "donor":
                check_start(donor, spec)
        else:
            problems += _function_problems(levels, is_first=donor is next(iter(donors.values())))
    except EfnComposeError as error:
        problems.append(str(error))
    train, augment = config.train, config.augment
    try:
        train = _replaced(config.train, "train", levels)
        augment = _replaced(config.augment, "augment", levels)
        make_optimizer(train, train.learning_rate)
        check_sizes(train, augment, levels["resolution"])
    except EfnComposeError as error:
        problems.append(str(error))
    if function:
        if train.normalisation != "own":
            problems.append(
                f"train.normalisation = {train.normalisation!r} is of our own networks."
            )
        # What absorbing rewrites are weights of our own networks.
        train = dataclasses.replace(train, absorb="never")
    return Plan(
        weights=levels["weights"],
        start=levels["start"],
        spec=spec,
        function=function,
        source=levels["data"],
        side=levels["resolution"],
        train=train,
        augment=augment,
        problem=" ".join(problems),
    )


def _function_problems(levels: Mapping[str, Any], *, is_first: bool) -> list[str]:
    """Return why a function's network cannot stand at a point."""
    found = []
    if levels["width"] is not None or levels["depth"] is not None:
        found.append("Width and depth coefficients belong to networks of the tables.")
    if levels["start"] == "random":
        found.append("A function's network starts from the weights that the function returns.")
    if not is_first:
        found.append("A function's network has no donor; it stands beside the first one.")
    return found


def _replaced(options: Any, section: str, levels: Mapping[str, Any]) -> Any:
    changes = {
        name.partition(".")[2]: level
        for name, level in levels.items()
        if name.startswith(f"{section}.")
    }
    return dataclasses.replace(options, **changes)
