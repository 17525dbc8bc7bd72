"""RandAugment with each image's own operations, as products of the image's two matrices.

Ten operations are affine in space or in colour, so any number of them is one resampling and
one colour map. The paper's others are not, or depend on the image, and are left out: posterize,
equalize, sharpness, solarize and autocontrast.
"""

import tensorflow as tf

from efn_compose.train.augment.colour import MIDDLE, saturation
from efn_compose.train.augment.draws import Draws
from efn_compose.train.augment.geometry import matrix, rotation

OPERATIONS = (
    "identity",
    "rotate",
    "shear_x",
    "shear_y",
    "shift_x",
    "shift_y",
    "brightness",
    "contrast",
    "saturation",
    "invert",
)


def chosen_operations(draws: Draws, ops: int, name: str = "randaugment") -> tf.Tensor:
    """Return (image, ops) numbers of operations, uniform and independent."""
    return tf.cast(draws.uniform(f"{name}_choice", ops) * len(OPERATIONS), tf.int32)


def compose_operations(
    draws: Draws,
    ops: int,
    strength: float,
    space: tf.Tensor,
    turn: tf.Tensor,
    offset: tf.Tensor,
    name: str = "randaugment",
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Return an image's matrices with its operations behind them.

    Args:
        draws: The images' draws.
        ops: Operations per image.
        strength: 0 to 1, share of each operation's range (30 degrees, shear 0.3, shift
            0.45 of half a side, factors 0.1 to 1.9).
        space: (image, 3, 3) from `geometry`.
        turn: (image, 3, 3) from `colour`.
        offset: (image, 3).
        name: Chains of other names draw otherwise.
    """
    choice = chosen_operations(draws, ops, name)
    signed = draws.uniform(f"{name}_size", ops, -strength, strength)
    for slot in range(ops):
        is_op = {op: choice[:, slot] == number for number, op in enumerate(OPERATIONS)}
        size = signed[:, slot]

        def amount(
            op: str,
            largest: float,
            size: tf.Tensor = size,
            is_op: dict[str, tf.Tensor] = is_op,
        ) -> tf.Tensor:
            return tf.where(is_op[op], size * largest, 0.0)

        one = tf.ones_like(size)
        space = space @ rotation(amount("rotate", 30.0))
        space = space @ matrix(
            one,
            amount("shear_x", 0.3),
            amount("shear_y", 0.3),
            one,
            amount("shift_x", 0.45),
            amount("shift_y", 0.45),
        )
        mix = saturation(1 + amount("saturation", 0.9))
        turn, offset = mix @ turn, tf.linalg.matvec(mix, offset)
        contrast = (1 + amount("contrast", 0.9))[:, None]
        brightness = (1 + amount("brightness", 0.9))[:, None]
        sign = tf.where(is_op["invert"], -1.0, 1.0)[:, None]
        shift = tf.where(is_op["invert"], 255.0, 0.0)[:, None]
        factor = contrast * brightness * sign
        turn = turn * factor[..., None]
        offset = offset * factor + MIDDLE * (1 - contrast) + shift
    return space, turn, offset
