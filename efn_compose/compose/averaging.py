"""Weighted means and weighted differences of tensors; statistics of BatchNorm are pooled."""

from collections.abc import Mapping, Sequence

import numpy as np

from efn_compose.arch import TensorSpec

Tensors = Mapping[str, np.ndarray]


def average_tensor(
    tensor: TensorSpec, donors: Sequence[Tensors], share: Sequence[float] | np.ndarray
) -> np.ndarray:
    """Return the weighted mean of one tensor over donors.

    A moving variance becomes the mixture's variance: it counts the distance between the
    donors' means. It is a first guess all the same and must be re-estimated.

    Args:
        tensor: Which tensor.
        donors: Arrays by canonical name.
        share: (donor,), summing to 1; a donor whose weight is 1 comes out as it is.

    Returns:
        An array of the donors' dtype; the donor's own where one weight is 1.

    Example:
        >>> average_tensor(inventory(spec)[0], [a, b], [0.75, 0.25])  # doctest: +SKIP
    """
    share = np.asarray(share, np.float64)
    parts = [donor[tensor.name] for donor in donors]
    whole = np.flatnonzero(share == 1)
    if whole.size and np.count_nonzero(share) == 1:
        return parts[int(whole[0])]
    if tensor.role == "moving_variance":
        means = [donor[f"{tensor.layer}/moving_mean"] for donor in donors]
        return _pooled_variance(parts, means, share)
    return weighted_mean(parts, share)


def shifted_tensor(
    tensor: TensorSpec, ancestor: Tensors, relatives: Sequence[Tensors], shares: Sequence[float]
) -> np.ndarray:
    """Return an ancestor's tensor, moved by shares of its relatives' differences to it.

    The sum is taken in float64 and rounded once. A moving variance becomes that of the mixture, as
    for a weighted mean; it must be re-estimated.

    Args:
        tensor: Which tensor.
        ancestor: Arrays by canonical name.
        relatives: The same of each relative.
        shares: (relative,); one share of 1 alone gives that relative as it is, none the ancestor.

    Returns:
        An array of the ancestor's dtype.

    Example:
        >>> shifted_tensor(inventory(spec)[0], base, [a, b], [0.5, 1.25])  # doctest: +SKIP
    """
    taken = [(one, share) for one, share in zip(relatives, shares, strict=True) if share]
    base = ancestor[tensor.name]
    if not taken:
        return base
    if len(taken) == 1 and taken[0][1] == 1:
        return taken[0][0][tensor.name]
    parts = [one[tensor.name] for one, _ in taken]
    if tensor.role == "moving_variance":
        means = [one[f"{tensor.layer}/moving_mean"] for one in (ancestor, *(r for r, _ in taken))]
        weights = np.array([1 - sum(share for _, share in taken), *(share for _, share in taken)])
        return _pooled_variance([base, *parts], means, weights)
    start = base.astype(np.float64)
    total = start.copy()
    for values, (_, share) in zip(parts, taken, strict=True):
        difference = values - start
        difference *= share
        total += difference
    return total.astype(base.dtype)


def weighted_mean(parts: Sequence[np.ndarray], share: np.ndarray) -> np.ndarray:
    """Return the weighted mean of arrays, in their own precision; parts of weight 0 are not read."""
    total, scratch = np.zeros_like(parts[0]), np.empty_like(parts[0])
    for weight, values in zip(share.tolist(), parts, strict=True):
        if weight:
            np.multiply(values, total.dtype.type(weight), out=scratch)
            total += scratch
    return total


def _pooled_variance(
    variances: Sequence[np.ndarray], means: Sequence[np.ndarray], share: np.ndarray
) -> np.ndarray:
    """Return the variance of a mixture; not negative for extrapolating weights either."""
    centre = sum(
        weight * mean.astype(np.float64) for weight, mean in zip(share, means, strict=True)
    )
    pooled = sum(
        weight * (variance + (mean - centre) ** 2)
        for weight, variance, mean in zip(share, variances, means, strict=True)
    )
    floor = np.min(variances, axis=0) * 0.1
    return np.maximum(pooled, floor).astype(variances[0].dtype)
