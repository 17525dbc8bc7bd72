"""A classifier of class means: no gradients, and a scale that images it has not seen decide."""

import numpy as np

from efn_compose.numerics.ridge import LinearFit

#: Share of each target that is spread over all classes: without errors no scale would be the best.
SMOOTHING = 0.02
_HALVINGS = 40


def class_mean_head(features: np.ndarray, targets: np.ndarray) -> LinearFit:
    """Return the linear classifier that prefers the class whose mean lies nearest.

    Features are standardised. The logit of class c is s · (z · m − |m|² / 2) + log p, where m is the
    mean of c's images and p their share, one image of every class added (linear discriminant analysis
    with equal, spherical covariances). The scale s minimises the cross-entropy of images that are left
    out of means and shares. At 0 it leaves the shares alone.

    Args:
        features: (image, feature).
        targets: (image, class), shares of each image's label; images whose row is 0 have none and are
            left out.

    Returns:
        Kernel (feature, class) and bias (class,), float64, from features to logits.

    Example:
        >>> corners = np.array([[0.0, 0.0], [0.0, 1.0], [4.0, 0.0], [4.0, 1.0]])
        >>> fit = class_mean_head(corners, np.eye(2)[[0, 0, 1, 1]])
        >>> (corners @ fit.kernel + fit.bias).argmax(axis=1).tolist()
        [0, 0, 1, 1]
    """
    known = targets.sum(axis=1) > 0
    features, targets = features[known].astype(np.float64), targets[known].astype(np.float64)
    width, classes = features.shape[1], targets.shape[1]
    if not len(features):
        return LinearFit(np.zeros((width, classes)), np.zeros(classes))
    centre, spread = features.mean(axis=0), features.std(axis=0)
    spread = np.where(spread > 1e-6 * max(spread.max(), 1e-30), spread, np.inf)
    standard = (features - centre) / spread
    counts = targets.sum(axis=0)
    means = _over(targets.T @ standard, counts[:, None])
    scale = best_scale(*left_out(standard, targets), targets)
    kernel = scale * means.T / spread[:, None]
    shares = np.log((counts + 1) / (counts.sum() + classes))
    bias = shares - scale * np.square(means).sum(axis=1) / 2 - centre @ kernel
    return LinearFit(kernel, bias)


def left_out(standard: np.ndarray, targets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return what each image is told by class means and shares that were taken without it.

    Args:
        standard: (image, feature), standardised.
        targets: (image, class), shares of each image's label.

    Returns:
        How near each class' mean is, z · m − |m|² / 2, and the logarithm of its share, both
        (image, class).
    """
    counts, sums = targets.sum(axis=0), targets.T @ standard
    rest = counts - targets
    # Without image i the sum of class c is sums[c] − targets[i, c] · z[i].
    own = np.square(standard).sum(axis=1, keepdims=True)
    along = standard @ sums.T
    near = _over(along - targets * own, rest)
    length = np.square(sums).sum(axis=1) - 2 * targets * along + np.square(targets) * own
    shares = np.log((rest + 1) / (rest.sum(axis=1, keepdims=True) + targets.shape[1]))
    return near - _over(length, np.square(rest)) / 2, shares


def best_scale(near: np.ndarray, shares: np.ndarray, targets: np.ndarray) -> float:
    """Return the s of least cross-entropy of the logits s · near + shares, 0 or more.

    The cross-entropy is convex in s, so that halving an interval finds it.

    Args:
        near: (image, class).
        shares: (image, class).
        targets: (image, class), shares of each image's label.
    """
    near = near - near.mean(axis=1, keepdims=True)
    unit = float(np.sqrt(np.square(near).mean()))
    if unit <= 1e-12 or not np.isfinite(unit):
        return 0.0
    weight = targets.sum(axis=1, keepdims=True)
    wanted = (1 - SMOOTHING) * targets + SMOOTHING * weight / targets.shape[1]

    def slope(scale: float) -> float:
        logits = scale / unit * near + shares
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        return float(((weight * odds / odds.sum(axis=1, keepdims=True) - wanted) * near).sum())

    low, high = 0.0, 1.0
    if slope(low) >= 0:
        return 0.0
    while slope(high) < 0 and high < 1e6:
        low, high = high, 2 * high
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if slope(middle) < 0 else (low, middle)
    return (low + high) / 2 / unit


def _over(values: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Divide sums by counts; where nothing was counted the mean is 0, that of all images."""
    return np.divide(values, counts, out=np.zeros_like(values), where=counts > 1e-9)
