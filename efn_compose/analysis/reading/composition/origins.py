"""Where a donor's weights come from, in words, from its provenance."""

from collections.abc import Mapping
from typing import Any

from efn_compose.donors.trained_for import PRETRAINED_KEY, TRAINED_BEFORE_KEY, TRAINED_KEY


def origin_words(provenance: Mapping[str, Any]) -> str:
    """Return the source and the changes made to it since.

    Example:
        >>> origin_words({"source": "a.pth", "sibling": {"share": 0, "share_count": 2}})
        'a.pth; trained on in this run, on share 1 of 2 of the training images'
    """
    parts = [str(provenance.get("source") or _makers_words(provenance) or "unknown")]
    steps = provenance.get("steps")
    for step in steps if isinstance(steps, list) else ():
        if isinstance(step, Mapping):
            parts.append(_step_words(step))
    pretrained = provenance.get(PRETRAINED_KEY)
    for one in pretrained if isinstance(pretrained, list) else ():
        if isinstance(one, Mapping):
            images = one.get("images")
            number = f"{images:,} images" if isinstance(images, int) else "images"
            parts.append(f"pretrained by {one.get('method', 'some method')} on {number}")
    if any(isinstance(provenance.get(key), Mapping) for key in (TRAINED_KEY, TRAINED_BEFORE_KEY)):
        parts.append("trained on labelled images")
    if provenance.get("aligned"):
        parts.append("channels aligned to another donor")
    if provenance.get("absorbed"):
        parts.append("BatchNorm rewritten for other images' statistics, function kept")
    sibling = provenance.get("sibling")
    if isinstance(sibling, Mapping):
        share, total = sibling.get("share"), sibling.get("share_count")
        which = f"share {share + 1} of {total}" if isinstance(share, int) else "a share"
        parts.append(f"trained on in this run, on {which} of the training images")
    return "; ".join(parts)


def _makers_words(provenance: Mapping[str, Any]) -> str:
    """Return what made weights of several donors; nothing where they come from one file."""
    names = ", ".join(_donor_names(provenance))
    what = {"efn_compose.evolve": "found by a search over", "efn_compose.soup": "a soup of"}
    maker = what.get(str(provenance.get("made_by")))
    return f"{maker} {names}" if maker and names else ""


def _donor_names(found: Mapping[str, Any]) -> list[str]:
    donors = found.get("donors")
    return [
        str(donor.get("name"))
        for donor in (donors if isinstance(donors, list) else ())
        if isinstance(donor, Mapping)
    ]


def _step_words(step: Mapping[str, Any]) -> str:
    names = _donor_names(step)
    kind = {"nest": "nested", "direct_sum": "placed side by side"}.get(
        str(step.get("step")), str(step.get("step", "changed"))
    )
    into = f" into {step['target']}" if step.get("target") else ""
    return f"{' and '.join(names)} {kind}{into}".strip()
