"""The licences of donors, and the one that follows for weights made from them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from efn_compose.donors.provenance import records

UNKNOWN = "unknown"
#: Between licences in an SPDX expression, as `resulting_licence` puts them together.
_AND = " AND "
_PERMISSIVE = ("apache-2.0", "mit", "bsd-2-clause", "bsd-3-clause", "cc0-1.0", "cc-by-4.0", "isc")


@dataclass(frozen=True)
class ResultingLicence:
    """The licence that follows for weights made from donors.

    Args:
        name: SPDX expression, or "unknown".
        words: Its meaning, in one or two sentences.
        is_known: Whether every donor's licence is known.
    """

    name: str
    words: str
    is_known: bool


def licences_of(provenance: Mapping[str, Any]) -> tuple[str, ...]:
    """Return every licence in a provenance, also those of networks nested beside the first.

    An SPDX expression such as "Apache-2.0 AND MIT" counts as its licences.

    Example:
        >>> licences_of({"licence": "MIT", "steps": [{"others": [{"licence": "Apache-2.0"}]}]})
        ('Apache-2.0', 'MIT')
    """
    return tuple(sorted(_collect(provenance)))


def resulting_licence(provenances: Iterable[Mapping[str, Any]]) -> ResultingLicence:
    """Return the licence that weights made from all of these donors are under.

    All donors count, also those that gave no filter: siblings and BatchNorm statistics aside,
    the search compared with them, and it is safer to name one too many.

    Args:
        provenances: One per donor.

    Example:
        >>> resulting_licence([{"licence": "Apache-2.0"}, {"licence": "Apache-2.0"}]).name
        'Apache-2.0'
    """
    per_donor = [licences_of(provenance) for provenance in provenances]
    known = sorted({licence for found in per_donor for licence in found if licence != UNKNOWN})
    unknown = sum(not found or UNKNOWN in found for found in per_donor)
    expression = _AND.join(known)
    if not per_donor or unknown:
        name = f"{expression}{_AND}{UNKNOWN}" if expression else UNKNOWN
        words = (
            f"The licence of {unknown} of {len(per_donor)} donors is not known. Find it out before "
            "you pass the weights on."
            if per_donor
            else "No donor is described."
        )
        return ResultingLicence(name, words, False)
    restricted = [licence for licence in known if _forbids_commerce(licence)]
    other = [x for x in known if x.lower() not in _PERMISSIVE and x not in restricted]
    if restricted:
        words = f"{', '.join(restricted)} forbids commercial use, so the result must not be sold."
    elif other:
        words = (
            f"{', '.join(other)} may ask that derived work is passed on under the same terms: "
            "read it before you publish the weights."
        )
    elif len(known) == 1:
        words = "All donors are under it; keep the notice when you pass the weights on."
    else:
        words = "All are permissive; keep every notice when you pass the weights on."
    return ResultingLicence(expression, words, True)


def _forbids_commerce(licence: str) -> bool:
    text = licence.lower()
    return "-nc" in text or "noncommercial" in text or "non-commercial" in text


def _collect(provenance: Mapping[str, Any]) -> set[str]:
    found: set[str] = set()
    for record in records(provenance):
        for licence in (record.get("licence"), record.get("license")):
            if isinstance(licence, str):
                # Weights made from several donors are under the licences of all.
                found |= set(filter(None, licence.split(_AND))) or {UNKNOWN}
    return found
