"""Images in a plain `.npy` or `.npz` file, taken as they are: neither drawn from nor resized."""

import os
import zipfile

import numpy as np

from efn_compose.errors import DataError, RunError
from efn_compose.store.arrays import read_arrays


def read_image_array(path: str | os.PathLike[str]) -> tuple[np.ndarray, np.ndarray | None]:
    """Read images, and labels where there are some, from a `.npy` or `.npz` file.

    Args:
        path: An array (image, height, width, 3), values 0-255; in an `.npz` under
            the name "images", labels (image,) under "labels".

    Returns:
        Images (image, height, width, 3), and labels (image,) or None.

    Raises:
        DataError: The file is missing, of another format, or of another shape.

    Example:
        >>> read_image_array("photos.npz")[0].shape  # doctest: +SKIP
        (64, 128, 128, 3)
    """
    try:
        if zipfile.is_zipfile(path):
            arrays = read_arrays(path)
            images, labels = arrays["images"], arrays.get("labels")
        else:
            images, labels = np.load(path, allow_pickle=False), None
    except (RunError, OSError, ValueError, KeyError, EOFError) as error:
        raise DataError(
            f"{path}: cannot read images ({error}). Give a .npy file, or an .npz file with "
            "'images' (image, height, width, 3) and, for a new classifier, 'labels'."
        ) from None
    if images.ndim != 4 or images.shape[-1] != 3 or not len(images):
        raise DataError(f"{path}: images must be (image, height, width, 3), not {images.shape}.")
    return images, labels
