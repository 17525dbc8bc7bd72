"""Fashion-MNIST (Xiao et al. 2017, arXiv:1708.07747): 70,000 grey images of clothes, 28×28."""

import gzip
import os
import struct
import zlib
from pathlib import Path

import numpy as np

from efn_compose.data.table import GreyImages, ImageTable
from efn_compose.errors import DataError

#: Where the Debian package `dataset-fashion-mnist` puts its files.
DEBIAN_FOLDER = Path("/usr/share/datasets/fashion-mnist")
CLASS_NAMES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
UNSIGNED_BYTE = 8


def load_fashion_mnist(folder: str | os.PathLike[str] = DEBIAN_FOLDER) -> ImageTable:
    """Return all 70,000 images, the 60,000 of the authors' training file first.

    Reads the files of the Debian package where they are, else lets Keras download them.

    Args:
        folder: Folder with the four `…-ubyte.gz` files.

    Raises:
        DataError: A file is damaged, or neither files nor download are to be had.

    Example:
        >>> len(load_fashion_mnist())  # doctest: +SKIP
        70000
    """
    folder = Path(folder)
    if folder.is_dir():
        parts = [
            (
                read_idx(folder / f"{part}-images-idx3-ubyte.gz"),
                read_idx(folder / f"{part}-labels-idx1-ubyte.gz"),
            )
            for part in ("train", "t10k")
        ]
    else:
        parts = _download()
    images, labels = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return ImageTable(GreyImages(images), labels.astype(np.int32), CLASS_NAMES, "fashion_mnist")


def read_idx(path: str | os.PathLike[str]) -> np.ndarray:
    """Return the array in a gzipped IDX file of unsigned bytes.

    Raises:
        DataError: Missing, truncated, or not such a file.

    Example:
        >>> read_idx("train-labels-idx1-ubyte.gz").shape  # doctest: +SKIP
        (60000,)
    """
    try:
        with gzip.open(path) as file:
            content = file.read()
        zeros, kind, rank = struct.unpack(">HBB", content[:4])
        shape = struct.unpack(f">{rank}I", content[4 : 4 + 4 * rank])
        if (zeros, kind) != (0, UNSIGNED_BYTE):
            raise ValueError("not an IDX file of unsigned bytes")
        return np.frombuffer(content, np.uint8, offset=4 + 4 * rank).reshape(shape)
    except (OSError, EOFError, zlib.error, struct.error, ValueError) as error:
        raise DataError(
            f"{path}: {error}. Reinstall it: apt-get install --reinstall dataset-fashion-mnist"
        ) from None


def _download() -> list[tuple[np.ndarray, np.ndarray]]:
    from keras.datasets import fashion_mnist

    try:
        return list(fashion_mnist.load_data())
    # Keras raises bare Exception for a failed download or checksum.
    except Exception as error:
        raise DataError(
            f"Fashion-MNIST is not at {DEBIAN_FOLDER} and Keras could not download it ({error}). "
            "Install it: apt-get install dataset-fashion-mnist"
        ) from None
