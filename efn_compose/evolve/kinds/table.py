"""The kinds of search there are, one row each, and `[search]`, which chooses between them."""

from dataclasses import dataclass
from typing import Literal

from efn_compose.compose.space import Granularity
from efn_compose.errors import ConfigError
from efn_compose.evolve.kinds.cma import Cma
from efn_compose.evolve.kinds.genetic import Genetic
from efn_compose.evolve.kinds.halving import Halving
from efn_compose.evolve.kinds.kind import SearchKind
from efn_compose.evolve.kinds.lamarck import Lamarck
from efn_compose.evolve.kinds.random import Random
from efn_compose.evolve.kinds.steady import Steady
from efn_compose.settings.build import types_of
from efn_compose.settings.declare import When, section, setting


def _chosen(kind: type[SearchKind]) -> When:
    return When("search.kind", (kind.name,))


@dataclass(frozen=True)
class KindSections:
    """A section for each kind; another kind is another row."""

    genetic: Genetic = section(Genetic, read_when=_chosen(Genetic))
    steady: Steady = section(Steady, read_when=_chosen(Steady))
    random: Random = section(Random, read_when=_chosen(Random))
    cma: Cma = section(Cma, read_when=_chosen(Cma))
    halving: Halving = section(Halving, read_when=_chosen(Halving))
    lamarck: Lamarck = section(Lamarck, read_when=_chosen(Lamarck))


#: By name.
KINDS: dict[str, type[SearchKind]] = types_of(KindSections)


@dataclass(frozen=True)
class SearchOptions:
    """`[search]`: how candidates are made, and what one gene of a composition moves.

    The settings of the kind that is chosen stand in the section of its name.
    """

    kind: str = setting(
        "genetic",
        "genetic: a genetic algorithm over compositions; steady: the same, without waiting for a "
        "generation to end; random: the baseline; cma: CMA-ES over shares; halving: the better half "
        "trains on; lamarck: trained candidates become donors",
        choices=tuple(KINDS),
    )
    granularity: Literal["auto", Granularity] = setting(
        "auto",
        "part of the network that one gene moves; shares: how far that part goes towards a relative; "
        "auto: network_share for three donors or more of one lineage, otherwise block",
    )

    @property
    def part(self) -> Granularity:
        """The part of the network that one gene moves.

        Raises:
            ConfigError: It follows from donors that are not known yet.
        """
        if self.granularity == "auto":
            raise ConfigError(
                "search.granularity = 'auto' is decided once donors are loaded. Received no donors."
            )
        return self.granularity
