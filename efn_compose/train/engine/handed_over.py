"""Images as tensors without a copy: a tensor takes over the memory of an array."""

import numpy as np
import tensorflow as tf

from efn_compose.numerics.pixel_array import ALIGNMENT


def handed_over(images: np.ndarray) -> tf.Tensor:
    """Return images as a tensor; on processors it takes over their memory.

    `tf.constant` copies an array twice: once so that nobody changes it later, and once more where its
    memory does not begin at a multiple of 64 bytes. The tensor keeps the memory alive, and **nobody may
    write into the array afterwards**. An accelerator gets its copy at once, as ever.

    Args:
        images: uint8 (image, height, width, 3), of `aligned_pixels`; others are copied.

    Example:
        >>> from efn_compose.numerics.pixel_array import aligned_pixels
        >>> handed_over(aligned_pixels((2, 8, 8, 3))).shape.as_list()
        [2, 8, 8, 3]
    """
    is_ready = images.size and images.flags.c_contiguous and images.flags.writeable
    if not is_ready or images.ctypes.data % ALIGNMENT or has_accelerator():
        return tf.constant(images)
    return tf.experimental.dlpack.from_dlpack(images.__dlpack__())


def has_accelerator() -> bool:
    """Return whether tensors are put on another device than the processor."""
    devices = tf.config.list_logical_devices()
    return any(device.device_type in ("GPU", "TPU") for device in devices)
