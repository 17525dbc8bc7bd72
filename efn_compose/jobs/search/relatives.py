"""Searches over shares: for donors of one lineage, and by default where there are enough of them."""

import dataclasses
from collections.abc import Sequence

from efn_compose.compose.space import Granularity
from efn_compose.donors import Donor
from efn_compose.donors.lineage import lineages
from efn_compose.errors import ConfigError, IncompatibleDonorsError, describe_problems
from efn_compose.evolve.run_config import RunConfig
from efn_compose.settings.unread import find_ignored

#: Donors of one lineage from which on genes are shares by default: an ancestor and two ways to go.
_ENOUGH = 3


def with_granularity(config: RunConfig, donors: Sequence[Donor]) -> tuple[RunConfig, str]:
    """Return a configuration whose granularity suits the donors where it was "auto", and a note about it.

    Args:
        config: Of the search.
        donors: Of one network.

    Returns:
        The configuration; and a sentence where genes became shares, otherwise nothing.

    Raises:
        ConfigError: Settings are given that this granularity does not read.
    """
    if config.search.granularity != "auto":
        return config, ""
    granularity, note = _suiting(config, donors)
    search = dataclasses.replace(config.search, granularity=granularity)
    decided = dataclasses.replace(config, search=search)
    if problems := find_ignored(decided, {}):
        raise ConfigError(
            describe_problems(
                f"search.granularity = 'auto' stands for {granularity!r} with these donors.",
                [f"- {problem}" for problem in problems],
            )
        )
    return decided, note


def _suiting(config: RunConfig, donors: Sequence[Donor]) -> tuple[Granularity, str]:
    """Return the granularity that "auto" stands for, and a note where genes are shares."""
    if config.kind.trains_on:
        return "block", ""
    if config.kind.share_setting or config.donors.ancestor:
        return "network_share", ""
    if len(donors) < _ENOUGH or config.donors.siblings or len(lineages(donors)) > 1:
        return "block", ""
    return "network_share", (
        f"All {len(donors)} donors are of one lineage, so a gene is how far to go from their ancestor "
        "towards one of them (docs/howto/which_search.md). --set search.granularity=block composes them "
        "block by block."
    )


def require_relatives(config: RunConfig, donors: Sequence[Donor]) -> None:
    """Refuse donors that a search over shares cannot have.

    Args:
        config: Of the search, whose genes are shares.
        donors: Of one network.

    Raises:
        ConfigError: `donors.ancestor` names none of them.
        IncompatibleDonorsError: They descend from several trainings.
    """
    granularity, ancestor = config.search.part, config.donors.ancestor
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
