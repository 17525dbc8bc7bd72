"""BatchNorm statistics of new channels, measured on images; the donor's stay untouched."""

import numpy as np

from efn_compose.arch import STATISTIC_ROLES
from efn_compose.nesting.embed import Embedding
from efn_compose.nesting.plan import tensors_by_name
from efn_compose.nesting.running.forward import NumpyNetwork, batch_statistics


def calibrate_new_channels(
    embedding: Embedding, inputs: np.ndarray, *, dtype: str = "float32"
) -> dict[str, np.ndarray]:
    """Measure the statistics of every channel that no donor owns.

    One pass in network order: each BatchNorm is measured on what the layers
    before it, already measured, feed it. Replicas keep the statistics of what
    they copy and dead channels stay as they are; in extra repeats all are measured.

    Args:
        embedding: The nested network.
        inputs: Preprocessed images (image, height, width, 3); some tens suffice.
        dtype: Of the arithmetic.

    Returns:
        Whole `moving_mean` and `moving_variance` arrays by canonical name.

    Example:
        >>> embedding.statistics = calibrate_new_channels(embedding, inputs)  # doctest: +SKIP
    """
    by_name = tensors_by_name(embedding.plan.target, embedding.plan.classes)
    measured: dict[str, np.ndarray] = {}

    def measure(
        layer: str, x: np.ndarray, mean: np.ndarray, variance: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        tensor = by_name[f"{layer}/moving_mean"]
        occupants = embedding.plan.occupants(tensor)
        kept = [occupant.index[0] for occupant in occupants if not occupant.is_copy]
        if kept and embedding.fill in ("replicate", "zero"):
            return mean, variance
        batch_mean, batch_variance = batch_statistics(layer, x, mean, variance)
        for positions in kept:
            batch_mean[positions], batch_variance[positions] = mean[positions], variance[positions]
        for role, values in zip(STATISTIC_ROLES, (batch_mean, batch_variance), strict=True):
            measured[f"{layer}/{role}"] = values
        return batch_mean, batch_variance

    NumpyNetwork(embedding.as_source(), dtype, statistics=measure).features(inputs)
    return measured
