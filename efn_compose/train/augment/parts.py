"""The parts of an augmentation one by one, to see what each does."""

import dataclasses
import textwrap
from dataclasses import dataclass
from typing import Any

from efn_compose.train.augment.options import AugmentOptions

#: Characters of a value in a caption.
_LONGEST = 60
#: Each part's setting, the settings that describe it further, and whether it is a probability.
PARTS: dict[str, tuple[tuple[str, ...], bool]] = {
    "flip_x": ((), True),
    "flip_y": ((), True),
    "rotation": ((), False),
    "stretch": ((), False),
    "brightness": ((), False),
    "contrast": ((), False),
    "hue": ((), False),
    "grid": (("grid_cells",), True),
    "holes": (("hole_size",), False),
    "auto": ((), False),
    "randaugment_ops": (("randaugment_strength",), False),
    "hairs": ((), True),
    "ruler": ((), True),
}


@dataclass(frozen=True)
class Part:
    """One part that is on.

    Args:
        name: Its setting.
        caption: Setting and value, and what describes it further.
        help: The setting's help text.
        alone: Options with this part only, in every image.
    """

    name: str
    caption: str
    help: str
    alone: AugmentOptions


def parts_of(options: AugmentOptions) -> list[Part]:
    """Return the parts of an augmentation that are on, in the order of its settings.

    Example:
        >>> [part.caption for part in parts_of(AugmentOptions(rotation=30, holes=2))]
        ['flip_x = 0.5', 'rotation = 30', 'holes = 2, hole_size = 0.25']
    """
    nothing = AugmentOptions(flip_x=0.0)
    helps = {field.name: field.metadata["help"] for field in dataclasses.fields(options)}
    found = []
    for name, (further, is_probability) in PARTS.items():
        value = getattr(options, name)
        if not value or value == "none":
            continue
        kept: dict[str, Any] = {other: getattr(options, other) for other in further}
        shown = ", ".join(f"{key} = {_text(item)}" for key, item in {name: value, **kept}.items())
        kept[name] = 1.0 if is_probability else value
        alone = dataclasses.replace(nothing, **kept)
        found.append(Part(name, shown, helps[name], alone))
    return found


def _text(value: object) -> str:
    if isinstance(value, int | float):
        return f"{value:g}"
    # A policy that is written out has many sub-policies.
    return textwrap.shorten(str(value), _LONGEST, placeholder=" …")
