"""CIE L*a*b* of sRGB under D65: lightness apart from colour, distances as eyes see them."""

from typing import Any

import numpy as np
import tensorflow as tf

#: Colours of sRGB lie within this, either way.
COLOUR_RANGE = 110.0

_TO_XYZ = np.array(
    [
        [0.412453, 0.357580, 0.180423],
        [0.212671, 0.715160, 0.072169],
        [0.019334, 0.119193, 0.950227],
    ]
)
_WHITE = np.array([0.95047, 1.0, 1.08883])
_BEND, _SLOPE, _SHIFT = 0.008856, 7.787, 16 / 116


def rgb_to_lab(pixels: np.ndarray) -> np.ndarray:
    """Return L* (0 to 100), a* and b* of images.

    Args:
        pixels: (..., 3) sRGB, 0-255.

    Example:
        >>> rgb_to_lab(np.array([255.0, 255.0, 255.0])).round(1).tolist()[0]
        100.0
    """
    return _lab(np.asarray(pixels, np.float64), np)


def lab_colours(pixels: tf.Tensor) -> tf.Tensor:
    """Return a* and b* of images, (..., 2) float32; traced.

    Args:
        pixels: (..., 3) sRGB, 0-255.
    """
    return _lab(tf.cast(pixels, tf.float32), tf)[..., 1:]


def lab_to_rgb(lab: np.ndarray) -> np.ndarray:
    """Return sRGB, 0-255, of L*, a* and b*; colours outside sRGB are cut off.

    Args:
        lab: (..., 3).

    Example:
        >>> pixels = np.array([200.0, 30.0, 90.0])
        >>> lab_to_rgb(rgb_to_lab(pixels)).round(2).tolist()
        [200.0, 30.0, 90.0]
    """
    lightness = (lab[..., 0] + 16) / 116
    bent = np.stack([lab[..., 1] / 500 + lightness, lightness, lightness - lab[..., 2] / 200], -1)
    xyz = np.where(bent > _BEND ** (1 / 3), bent**3, (bent - _SHIFT) / _SLOPE) * _WHITE
    linear = np.clip(xyz @ np.linalg.inv(_TO_XYZ).T, 0, None)
    curved = np.where(linear > 0.0031308, 1.055 * linear ** (1 / 2.4) - 0.055, 12.92 * linear)
    return 255 * np.clip(curved, 0, 1)


def _lab(pixels: Any, library: Any) -> Any:
    """Return L*, a* and b* by numpy or TensorFlow."""
    share = pixels / 255
    maximum = library.maximum
    # Each branch is kept where it is defined, so that gradients of the other one are finite.
    linear = library.where(
        share > 0.04045, ((maximum(share, 0.04045) + 0.055) / 1.055) ** 2.4, share / 12.92
    )
    matrix = (_TO_XYZ / _WHITE[:, None]).T
    if library is tf:
        matrix = tf.constant(matrix, pixels.dtype)
    xyz = linear @ matrix if library is np else tf.tensordot(linear, matrix, 1)
    bent = library.where(xyz > _BEND, maximum(xyz, _BEND) ** (1 / 3), _SLOPE * xyz + _SHIFT)
    x, y, z = (bent[..., axis] for axis in range(3))
    return library.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)
