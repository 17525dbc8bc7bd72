"""What a trained network's file says of its training: the size of the images, the names of the classes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

#: Key of `Donor.provenance`.
TRAINED_KEY = "trained_for"
#: What a backbone has learnt from, as its donor's provenance has it: images without labels, a list with
#: an entry per pretraining; and labelled ones, for a classifier that it does not have any more.
PRETRAINED_KEY, TRAINED_BEFORE_KEY = "pretrained", "trained_before"


@dataclass(frozen=True)
class TrainedFor:
    """What the network was trained to tell apart, and how large the images were.

    Args:
        size: Height and width in pixels; 0: not known.
        class_names: One per class; empty: not known.
    """

    size: int = 0
    class_names: tuple[str, ...] = ()

    @classmethod
    def of(cls, provenance: Mapping[str, Any], classes: int) -> "TrainedFor":
        """Return what a file says; nothing where it says nothing, or not of so many classes.

        Args:
            provenance: Of the donor.
            classes: Width of the classifier, or of the decoder's last layer.

        Example:
            >>> TrainedFor.of({"trained_for": {"size": 64, "class_names": ["cat", "dog"]}}, 2)
            TrainedFor(size=64, class_names=('cat', 'dog'))
        """
        match provenance.get(TRAINED_KEY):
            case {"size": int(size), "class_names": [*names]} if len(names) == classes:
                return cls(size, tuple(map(str, names)))
        return cls()

    def added_to(self, provenance: Mapping[str, Any]) -> dict[str, Any]:
        """Return a provenance that says this."""
        said = {"size": self.size, "class_names": list(self.class_names)}
        return {**provenance, TRAINED_KEY: said}
