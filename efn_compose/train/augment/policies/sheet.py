"""Columns of a contact sheet: every operation of a published policy, alone, at its strongest."""

import numpy as np

from efn_compose.train.augment.contact_sheet import Column
from efn_compose.train.augment.policies.tables import OPERATIONS, SIGNED, SPACES
from efn_compose.train.augment.policies.written import NAMES, sub_policies

#: By operation: the unit of its strength, as a caption has it.
UNITS = {
    "rotate": "°", "shear_x": "", "shear_y": "", "shift_x": " of the side",
    "shift_y": " of the side", "posterize": " bits", "solarize": " of 255",
}  # fmt: skip
#: Operations of which less is stronger.
_FALLING = ("posterize", "solarize")


def strongest(policy: str) -> dict[str, float]:
    """Return the strongest strength of each operation of a policy, in the order of `OPERATIONS`.

    Example:
        >>> strongest("trivial")["rotate"], strongest("trivial_wide")["posterize"]
        (30, 2)
    """
    if policy in SPACES:
        found = [(row.operation, row.strongest) for row in SPACES[policy]]
    else:
        found = [(name, size) for pair in sub_policies(policy) for name, _, size in pair]
    order = [name for name in OPERATIONS if any(name == other for other, _ in found)]
    return {
        name: (min if name in _FALLING else max)(size for other, size in found if other == name)
        for name in order
    }


def operation_columns(images: np.ndarray, policy: str) -> list[Column]:
    """Return a column for each way of each operation of a policy, at its strongest.

    Args:
        images: (image, size, size, 3) uint8.
        policy: A name of `SPACES` or `AUTOAUGMENT`, or sub-policies written out.
    """
    import tensorflow as tf

    from efn_compose.train.augment.geometry import resample
    from efn_compose.train.augment.policies.operations import apply_pixels, space_of

    columns = []
    title = policy if policy in NAMES else "policy"
    for name, size in strongest(policy).items():
        for strength in (size, -size) if name in SIGNED else (size,):
            number = tf.fill([len(images)], OPERATIONS.index(name))
            sizes = tf.fill([len(images)], float(strength))
            moved = resample(tf.cast(images, tf.float32), space_of(number, sizes))
            pixels = np.rint(apply_pixels(moved, number, sizes).numpy()).astype(np.uint8)
            has_strength = name in SIGNED or name in UNITS
            caption = f"{name} {strength:g}{UNITS.get(name, '')}" if has_strength else name
            columns.append(Column(f"{title}: each operation at its strongest", caption, pixels))
    return columns
