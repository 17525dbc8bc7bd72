"""Searches whose genomes would choose from more networks than they can number."""

import dataclasses

from efn_compose.compose.spaces import most_donors
from efn_compose.errors import ConfigError, describe_problems
from efn_compose.evolve.run_config import RunConfig


def require_numbers(config: RunConfig) -> None:
    """Refuse a search that would have more networks at once than genomes can number.

    Donors are numbered, and where trainings go on so are all networks of a generation, and those
    that averages are made of at the end.

    Args:
        config: Of the search, with donors named.

    Raises:
        ConfigError: There may be too many; all numbers are listed.
    """
    granularity = config.search.granularity
    limit = most_donors("block" if granularity == "auto" else granularity)
    donors = len(config.donors.files) * (1 + config.donors.siblings)
    counts = config.kind.numbered_networks(donors, config.budget)
    if max(counts.values()) <= limit:
        return
    settings = [
        f"{len(config.donors.files)} donors.files",
        f"donors.siblings = {config.donors.siblings}",
    ]
    if config.kind.trains_on:
        numbers = dataclasses.asdict(config.kind)
        if config.budget.is_set:
            del numbers["generations"]
        settings += [
            f"{config.kind.name}.{name} = {value}"
            for name, value in numbers.items()
            if isinstance(value, int)
        ]
    raise ConfigError(
        describe_problems(
            f"Genomes can number {limit} networks. This search would have more at once:",
            [f"- {what}: {number}" for what, number in counts.items() if number > limit],
            f"Make one of these smaller: {', '.join(settings)}.",
        )
    )
