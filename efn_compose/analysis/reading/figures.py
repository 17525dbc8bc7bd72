"""Numbers as people read them: losses, shares, durations, counts."""

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from efn_compose.evolve.verdict.verdict import Difference, interval_factor, standard_error

MINUS = "\N{MINUS SIGN}"
NOTHING = "–"
#: Whose name in a record of legs says too little.
_PROGRESS = {"journal": "journal lines"}


def loss_text(value: float | None, digits: int = 4) -> str:
    """Return a loss in nats.

    Example:
        >>> loss_text(0.51234), loss_text(None)
        ('0.5123', '–')
    """
    return NOTHING if value is None else f"{value:.{digits}f}".replace("-", MINUS)


def mean_and_error(values: Sequence[float], digits: int = 4, scale: float = 1.0) -> str:
    """Return mean ± standard error of repeated measurements.

    Example:
        >>> mean_and_error([0.5, 0.5])
        '0.5000 ± 0.0000'
    """
    if not values:
        return NOTHING
    mean = math.fsum(values) / len(values) * scale
    text = f"{mean:.{digits}f}".replace("-", MINUS)
    if len(values) < 2:
        return text
    return f"{text} ± {standard_error(values) * scale:.{digits}f}"


def difference_text(difference: Difference | None, digits: int = 4) -> str:
    """Return a signed paired difference ± its standard error.

    Example:
        >>> difference_text(Difference(-0.01, 0.002))
        '−0.0100 ± 0.0020'
    """
    if difference is None:
        return NOTHING
    return f"{signed(difference.mean, digits)} ± {difference.standard_error:.{digits}f}"


def interval_text(difference: Difference, count: int, digits: int = 4) -> str:
    """Return the 95 % confidence interval of a paired difference.

    Example:
        >>> interval_text(Difference(0.0, 0.01), 5)
        '−0.0278 to +0.0278'
    """
    reach = interval_factor(count) * difference.standard_error
    ends = (difference.mean - reach, difference.mean + reach)
    return f"{signed(ends[0], digits)} to {signed(ends[1], digits)}"


def signed(value: float, digits: int = 4) -> str:
    """Return a number with its sign.

    Example:
        >>> signed(0.5, 1), signed(-0.5, 1)
        ('+0.5', '−0.5')
    """
    return f"{value:+.{digits}f}".replace("-", MINUS)


def percent(share: float | None, digits: int = 0) -> str:
    """Return a share of 1 as percent.

    Example:
        >>> percent(0.061, 1)
        '6.1 %'
    """
    return NOTHING if share is None else f"{share * 100:.{digits}f} %".replace("-", MINUS)


def duration(seconds: float | None) -> str:
    """Return a duration in the two largest units that matter.

    Example:
        >>> duration(0.034), duration(7.41), duration(58.2), duration(75), duration(7322), duration(2e5)
        ('34 ms', '7.4 s', '58 s', '1 min 15 s', '2 h 2 min', '2 d 7 h')
    """
    if seconds is None:
        return NOTHING
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.0f} s" if seconds > 9.95 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    return f"{hours // 24} d {hours % 24} h"


def count(number: int, noun: str, plural: str = "") -> str:
    """Return a count with its noun.

    Example:
        >>> count(1, "image"), count(1200, "image")
        ('1 image', '1,200 images')
    """
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def date_text(moment: object) -> str:
    """Return an ISO moment as people write it, in UTC; anything else as it is.

    Example:
        >>> date_text("2026-02-02T02:40:00+00:00")
        '2 February 2026, 02:40 UTC'
    """
    try:
        found = datetime.fromisoformat(str(moment)).astimezone(UTC)
    except (ValueError, OverflowError):
        return str(moment)
    return f"{found.day} {found:%B %Y, %H:%M} UTC"


def progress_text(begun: Mapping[str, int], ended: Mapping[str, int]) -> str:
    """Return how far a leg brought a run.

    Args:
        begun: Counts by name, when the leg began; those left out are 0.
        ended: The same when the leg ended.

    Example:
        >>> progress_text({"journal": 1}, {"journal": 4, "epochs": 2})
        'journal lines 1 to 4, epochs 0 to 2'
    """
    return ", ".join(
        f"{_PROGRESS.get(name, name)} {begun.get(name, 0)} to {end}" for name, end in ended.items()
    )
