"""The `[objective]` section: what a training is for."""

from dataclasses import dataclass
from typing import Literal

from efn_compose.errors import ConfigError
from efn_compose.settings.declare import When, setting

_MASKS = When("kind", ("segment",))


@dataclass(frozen=True)
class ObjectiveOptions:
    """The `[objective]` section.

    Args:
        kind: "classify" tells images apart, "segment" the pixels of an image.
        decoder: What stands on the backbone: "classic", a "mirror" of its stages, or "auto": the
            weight file's own decoder, a classic one where it has none.
        losses: Which losses of masks are added up. "lovasz" takes part in the last third of a
            training only; alone, cross-entropy stands in for it until then.

    Raises:
        ConfigError: There are no such losses.

    Example:
        >>> ObjectiveOptions(kind="segment").losses
        ('cross_entropy', 'dice')
    """

    kind: Literal["classify", "segment"] = setting(
        "classify", "goal of the training; segment: a class for every pixel"
    )
    decoder: Literal["auto", "classic", "mirror"] = setting(
        "auto", "decoder on the backbone; auto: the file's own, or a classic one", read_when=_MASKS
    )
    losses: tuple[str, ...] = setting(
        ("cross_entropy", "dice"),
        "losses of masks, added up: cross_entropy, dice, focal, tversky, lovasz",
        read_when=_MASKS,
    )

    def __post_init__(self) -> None:
        allowed = ("cross_entropy", "dice", "focal", "tversky", "lovasz")
        wrong = [name for name in self.losses if name not in allowed]
        if wrong or not self.losses or len(set(self.losses)) < len(self.losses):
            raise ConfigError(
                f"objective.losses: allowed one or more of {', '.join(allowed)}, each once. "
                f"Received: {', '.join(self.losses) or 'none'}."
            )
