"""Operations of published policies and their strengths, in physical units.

| operation | unit |
|---|---|
| rotate | degrees |
| shear_x, shear_y | tangent of the angle |
| shift_x, shift_y | share of the image's side |
| brightness, contrast, saturation, sharpness | change of the factor: 0.3 is 0.7 or 1.3 |
| posterize | bits per channel that are kept |
| solarize | value from which on a channel is inverted, 0-255 |
| autocontrast, equalize, invert, identity | none |

AutoAugment: Cubuk et al. 2019 (arXiv:1805.09501), sub-policies as torchvision states them.
TrivialAugment: Müller and Hutter 2021 (arXiv:2103.10158), spaces of 31 strengths.
"""

from dataclasses import dataclass

OPERATIONS = (
    "identity", "rotate", "shear_x", "shear_y", "shift_x", "shift_y", "brightness", "saturation",
    "contrast", "sharpness", "posterize", "solarize", "autocontrast", "equalize", "invert",
)  # fmt: skip
#: Operations that go either way: half of the images get the opposite strength.
SIGNED = frozenset(OPERATIONS[1:10])
#: By operation with a strength: the weakest and the strongest that make sense, in its unit.
LIMITS = {
    "rotate": (0.0, 180.0), "shear_x": (0.0, 2.0), "shear_y": (0.0, 2.0), "shift_x": (0.0, 1.0),
    "shift_y": (0.0, 1.0), "brightness": (0.0, 1.0), "saturation": (0.0, 1.0),
    "contrast": (0.0, 1.0), "sharpness": (0.0, 1.0), "posterize": (1.0, 8.0),
    "solarize": (0.0, 255.0),
}  # fmt: skip


@dataclass(frozen=True)
class Range:
    """The strengths of an operation in a space.

    Args:
        operation: Its name.
        weakest: Strength of the first level.
        strongest: Strength of the last level.
    """

    operation: str
    weakest: float = 0.0
    strongest: float = 0.0


#: Levels of TrivialAugment's spaces, the weakest and the strongest included.
LEVELS = 31
#: Shifts were 10 and 32 pixels of images of 32 pixels.
SPACES: dict[str, tuple[Range, ...]] = {
    "trivial": (
        Range("identity"), Range("rotate", 0, 30), Range("shear_x", 0, 0.3),
        Range("shear_y", 0, 0.3), Range("shift_x", 0, 10 / 32), Range("shift_y", 0, 10 / 32),
        Range("brightness", 0, 0.9), Range("saturation", 0, 0.9), Range("contrast", 0, 0.9),
        Range("sharpness", 0, 0.9), Range("posterize", 8, 4), Range("solarize", 255, 0),
        Range("autocontrast"), Range("equalize"),
    ),
    "trivial_wide": (
        Range("identity"), Range("rotate", 0, 135), Range("shear_x", 0, 0.99),
        Range("shear_y", 0, 0.99), Range("shift_x", 0, 1.0), Range("shift_y", 0, 1.0),
        Range("brightness", 0, 0.99), Range("saturation", 0, 0.99), Range("contrast", 0, 0.99),
        Range("sharpness", 0, 0.99), Range("posterize", 8, 2), Range("solarize", 255, 0),
        Range("autocontrast"), Range("equalize"),
    ),
}  # fmt: skip

Step = tuple[str, float, float]
#: One step after another; both happen or not by their own probability.
SubPolicy = tuple[Step, Step]
#: By table: sub-policies of two steps; each step is an operation, its probability, its strength.
AUTOAUGMENT: dict[str, tuple[SubPolicy, ...]] = {
    "autoaugment_cifar10": (
        (("invert", 0.1, 0), ("contrast", 0.2, 0.6)),
        (("rotate", 0.7, 6.6667), ("shift_x", 0.3, 0.4532)),
        (("sharpness", 0.8, 0.1), ("sharpness", 0.9, 0.3)),
        (("shear_y", 0.5, 0.2667), ("shift_y", 0.7, 0.4532)),
        (("autocontrast", 0.5, 0), ("equalize", 0.9, 0)),
        (("shear_y", 0.2, 0.2333), ("posterize", 0.3, 5)),
        (("saturation", 0.4, 0.3), ("brightness", 0.6, 0.7)),
        (("sharpness", 0.3, 0.9), ("brightness", 0.7, 0.9)),
        (("equalize", 0.6, 0), ("equalize", 0.5, 0)),
        (("contrast", 0.6, 0.7), ("sharpness", 0.6, 0.5)),
        (("saturation", 0.7, 0.7), ("shift_x", 0.5, 0.4028)),
        (("equalize", 0.3, 0), ("autocontrast", 0.4, 0)),
        (("shift_y", 0.4, 0.1511), ("sharpness", 0.2, 0.6)),
        (("brightness", 0.9, 0.6), ("saturation", 0.2, 0.8)),
        (("solarize", 0.5, 198.333), ("invert", 0, 0)),
        (("equalize", 0.2, 0), ("autocontrast", 0.6, 0)),
        (("equalize", 0.2, 0), ("equalize", 0.6, 0)),
        (("saturation", 0.9, 0.9), ("equalize", 0.6, 0)),
        (("autocontrast", 0.8, 0), ("solarize", 0.2, 28.3333)),
        (("brightness", 0.1, 0.3), ("saturation", 0.7, 0)),
        (("solarize", 0.4, 113.333), ("autocontrast", 0.9, 0)),
        (("shift_y", 0.9, 0.4532), ("shift_y", 0.7, 0.4532)),
        (("autocontrast", 0.9, 0), ("solarize", 0.8, 170)),
        (("equalize", 0.8, 0), ("invert", 0.1, 0)),
        (("shift_y", 0.7, 0.4532), ("autocontrast", 0.9, 0)),
    ),
    "autoaugment_imagenet": (
        (("posterize", 0.4, 4), ("rotate", 0.6, 30)),
        (("solarize", 0.6, 113.333), ("autocontrast", 0.6, 0)),
        (("equalize", 0.8, 0), ("equalize", 0.6, 0)),
        (("posterize", 0.6, 5), ("posterize", 0.6, 5)),
        (("equalize", 0.4, 0), ("solarize", 0.2, 141.667)),
        (("equalize", 0.4, 0), ("rotate", 0.8, 26.6667)),
        (("solarize", 0.6, 170), ("equalize", 0.6, 0)),
        (("posterize", 0.8, 6), ("equalize", 1, 0)),
        (("rotate", 0.2, 10), ("solarize", 0.6, 28.3333)),
        (("equalize", 0.6, 0), ("posterize", 0.4, 5)),
        (("rotate", 0.8, 26.6667), ("saturation", 0.4, 0)),
        (("rotate", 0.4, 30), ("equalize", 0.6, 0)),
        (("equalize", 0, 0), ("equalize", 0.8, 0)),
        (("invert", 0.6, 0), ("equalize", 1, 0)),
        (("saturation", 0.6, 0.4), ("contrast", 1, 0.8)),
        (("rotate", 0.8, 26.6667), ("saturation", 1, 0.2)),
        (("saturation", 0.8, 0.8), ("solarize", 0.8, 56.6667)),
        (("sharpness", 0.4, 0.7), ("invert", 0.6, 0)),
        (("shear_x", 0.6, 0.1667), ("equalize", 1, 0)),
        (("saturation", 0.4, 0), ("equalize", 0.6, 0)),
        (("equalize", 0.4, 0), ("solarize", 0.2, 141.667)),
        (("solarize", 0.6, 113.333), ("autocontrast", 0.6, 0)),
        (("invert", 0.6, 0), ("equalize", 1, 0)),
        (("saturation", 0.6, 0.4), ("contrast", 1, 0.8)),
        (("equalize", 0.8, 0), ("equalize", 0.6, 0)),
    ),
    "autoaugment_svhn": (
        (("shear_x", 0.9, 0.1333), ("invert", 0.2, 0)),
        (("shear_y", 0.9, 0.2667), ("invert", 0.7, 0)),
        (("equalize", 0.6, 0), ("solarize", 0.6, 85)),
        (("invert", 0.9, 0), ("equalize", 0.6, 0)),
        (("equalize", 0.6, 0), ("rotate", 0.9, 10)),
        (("shear_x", 0.9, 0.1333), ("autocontrast", 0.8, 0)),
        (("shear_y", 0.9, 0.2667), ("invert", 0.4, 0)),
        (("shear_y", 0.9, 0.1667), ("solarize", 0.2, 85)),
        (("invert", 0.9, 0), ("autocontrast", 0.8, 0)),
        (("equalize", 0.6, 0), ("rotate", 0.9, 10)),
        (("shear_x", 0.9, 0.1333), ("solarize", 0.3, 170)),
        (("shear_y", 0.8, 0.2667), ("invert", 0.7, 0)),
        (("equalize", 0.9, 0), ("shift_y", 0.6, 0.3021)),
        (("invert", 0.9, 0), ("equalize", 0.6, 0)),
        (("contrast", 0.3, 0.3), ("rotate", 0.8, 13.3333)),
        (("invert", 0.8, 0), ("shift_y", 0, 0.1007)),
        (("shear_y", 0.7, 0.2), ("solarize", 0.4, 28.3333)),
        (("invert", 0.6, 0), ("rotate", 0.8, 13.3333)),
        (("shear_y", 0.3, 0.2333), ("shift_x", 0.9, 0.1511)),
        (("shear_x", 0.1, 0.2), ("invert", 0.6, 0)),
        (("solarize", 0.7, 198.333), ("shift_y", 0.6, 0.3525)),
        (("shear_y", 0.8, 0.1333), ("invert", 0.8, 0)),
        (("shear_x", 0.7, 0.3), ("shift_y", 0.8, 0.1511)),
        (("shear_y", 0.8, 0.1667), ("autocontrast", 0.7, 0)),
        (("shear_x", 0.7, 0.0667), ("invert", 0.1, 0)),
    ),
}
