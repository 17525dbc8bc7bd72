"""Weight standardisation: each filter without its mean, at one length."""

import numpy as np

#: Added to a filter's variance; of the order of rounding, so that a standardised kernel stays itself.
EPSILON = 1e-10


def standardised_kernel(kernel: np.ndarray) -> np.ndarray:
    """Return a kernel whose every filter has mean 0 and length 1.

    Qiao et al. 2019 (arXiv:1903.10520) and BiT (Kolesnikov et al. 2019, arXiv:1912.11370) give a
    filter the standard deviation 1, hence a length that grows with what it sums. GroupNorm behind
    it takes no notice of length. At length 1 outputs are about as large as inputs.

    Args:
        kernel: (height, width, in, out), any float dtype.

    Returns:
        An array of the same shape and dtype. A filter of one repeated value becomes 0.

    Example:
        >>> found = standardised_kernel(np.array([1.0, 3.0]).reshape(1, 1, 2, 1))
        >>> found.round(3).ravel().tolist()
        [-0.707, 0.707]
    """
    values = kernel.astype(np.float64)
    axes, count = (0, 1, 2), values[..., 0].size
    centred = values - values.mean(axis=axes)
    found = centred / np.sqrt((values.var(axis=axes) + EPSILON) * count)
    return found.astype(kernel.dtype)
