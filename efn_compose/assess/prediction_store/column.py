"""What is known of a model in a store."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Column:
    """One model over all folds.

    Args:
        name: Unique in a store.
        variant: The network.
        seed: Of its trainings.
        source: The run folder or program that it comes from.
        keep: "last", or "best": the epoch was chosen by the very images that are predicted.
        semi: The method that used unlabelled images, "none" without.
        duplicates: Pairs of equal images in different folds of its training.
    """

    name: str
    variant: str = ""
    seed: int = 0
    source: str = ""
    keep: Literal["last", "best"] = "last"
    semi: str = "none"
    duplicates: int = 0

    @property
    def flattery(self) -> str:
        """Why its out-of-fold predictions look better than they are; empty where nothing says so.

        Example:
            >>> Column("b0", keep="best").flattery
            'its epoch was chosen by the images it predicts'
        """
        reasons = []
        if self.keep == "best":
            reasons.append("its epoch was chosen by the images it predicts")
        if self.duplicates:
            reasons.append(f"{self.duplicates} pairs of equal images are in different folds")
        return "; ".join(reasons)

    def to_json(self) -> dict[str, Any]:
        """Return JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> "Column":
        """Return the column that `to_json` described."""
        return cls(**fields)
