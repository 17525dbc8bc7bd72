"""Searches over donors of one lineage: refused without one, recommended with one."""

from collections.abc import Sequence

from efn_compose.compose import ShareGenomeSpace
from efn_compose.donors import Donor
from efn_compose.donors.lineage import lineages
from efn_compose.errors import ConfigError, IncompatibleDonorsError, describe_problems
from efn_compose.evolve.run_config import RunConfig


def require_relatives(config: RunConfig, donors: Sequence[Donor]) -> None:
    """Refuse donors that a search over shares cannot have.

    Args:
        config: Of the search, whose genes are shares.
        donors: Of one network.

    Raises:
        ConfigError: `donors.ancestor` names none of them.
        IncompatibleDonorsError: They descend from several trainings.
    """
    granularity, ancestor = config.search.granularity, config.donors.ancestor
    names = [donor.name for donor in donors]
    if ancestor and ancestor not in names:
        raise ConfigError(
            f"donors.ancestor = {ancestor!r} names no donor. Allowed: {', '.join(names)}, or nothing "
            "for the donor that lies nearest to all others."
        )
    if len(groups := lineages(donors)) > 1:
        raise IncompatibleDonorsError(
            describe_problems(
                f"A search over shares (search.granularity = {granularity!r}) needs donors that "
                f"descend from one training. These are of {len(groups)} lineages:",
                ["- " + ", ".join(repr(names[number]) for number in group) for group in groups],
                "Give donors of one lineage, or search another granularity.",
            )
        )


def relatives_note(config: RunConfig, donors: Sequence[Donor]) -> str:
    """Return a note where all donors are of one lineage and no gene says how far to go; empty otherwise.

    Args:
        config: Of the search.
        donors: Of one network.
    """
    if config.kind.trains_on or config.search.granularity in ShareGenomeSpace.granularities:
        return ""
    if len(donors) < 2 or len(lineages(donors)) > 1:
        return ""
    return (
        f"All {len(donors)} donors are of one lineage. --set search.granularity=network_share searches "
        "how far to go from their ancestor towards each of them (docs/howto/which_search.md)."
    )
