"""Model Stock: an average that is drawn towards the common ancestor, layer by layer.

Fine-tunings of one checkpoint lie on a thin shell around a centre that nobody knows. The
angle between two of them, seen from the checkpoint, says how far away the centre is, and so
how far an average of few networks should go back (Jang et al. 2024, arXiv:2403.19522).
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from efn_compose.arch import HEAD_LAYER, TensorSpec, inventory
from efn_compose.compose.averaging import average_tensor
from efn_compose.donors import Donor, require_harmonised
from efn_compose.donors.lineage import require_one_lineage
from efn_compose.errors import ComposeError


@dataclass(frozen=True)
class StockSoup:
    """A Model Stock average.

    Args:
        donor: The average.
        ratios: Share of the fine-tunings by layer, 0 to 1; the rest is the ancestor's.
    """

    donor: Donor
    ratios: Mapping[str, float]


def model_stock(ancestor: Donor, donors: Sequence[Donor]) -> StockSoup:
    """Average fine-tunings of one checkpoint with the checkpoint itself, layer by layer.

    For N fine-tunings whose differences to the ancestor have the mean cosine c in a layer,
    the fine-tunings' mean counts t = N c / (1 + (N - 1) c), and the ancestor 1 - t. Opposite
    differences (c < 0) give the ancestor. Where the ancestor has no classifier of the
    fine-tunings' width, their classifiers are averaged.

    Args:
        ancestor: The checkpoint that all donors were fine-tuned from, harmonised with them.
        donors: Two or more harmonised fine-tunings.

    Raises:
        ComposeError: There is only one fine-tuning.
        IncompatibleDonorsError: Not harmonised, or of several lineages.

    Example:
        >>> model_stock(imagenet, [tuned_a, tuned_b]).ratios["stem_conv"]  # doctest: +SKIP
        0.71
    """
    if len(donors) < 2:
        raise ComposeError(
            "Model Stock measures the angle between fine-tunings, so it needs two or more. "
            f"Received: {len(donors)}."
        )
    require_harmonised([*(d.without_head() for d in donors), ancestor.without_head()])
    require_harmonised(donors)
    require_one_lineage([*donors, ancestor], "Model Stock")
    classes = donors[0].classes
    has_heads = classes is not None and ancestor.classes == classes
    layers: dict[str, list[TensorSpec]] = {}
    for tensor in inventory(donors[0].spec, classes):
        layers.setdefault(tensor.layer, []).append(tensor)
    ratios: dict[str, float] = {}
    tensors: dict[str, np.ndarray] = {}
    for layer, members in layers.items():
        is_new = layer == HEAD_LAYER and not has_heads
        ratio = 1.0 if is_new else _ratio(ancestor, donors, members)
        parts = [donor.tensors for donor in donors]
        shares = [ratio / len(donors)] * len(donors)
        if not is_new:
            parts, shares = [*parts, ancestor.tensors], [*shares, 1 - ratio]
        ratios[layer] = ratio
        tensors |= {tensor.name: average_tensor(tensor, parts, shares) for tensor in members}
    return StockSoup(donors[0].replace(name="model_stock", tensors=tensors), ratios)


def stock_ratio(cosine: float, count: int) -> float:
    """Return the share of the mean of fine-tunings, from the cosine between their differences.

    Args:
        cosine: Mean over pairs; below 0 counts as 0.
        count: Number of fine-tunings.

    Example:
        >>> stock_ratio(1.0, 2), stock_ratio(0.5, 2), stock_ratio(-0.2, 2)
        (1.0, 0.6666666666666666, 0.0)
    """
    cosine = min(max(cosine, 0.0), 1.0)
    return count * cosine / (1 + (count - 1) * cosine)


def _ratio(ancestor: Donor, donors: Sequence[Donor], layer: Sequence[TensorSpec]) -> float:
    """Return a layer's share of the fine-tunings; 1 where none of them changed it."""
    deltas = [
        np.concatenate(
            [
                donor.tensors[tensor.name].astype(np.float64).ravel()
                - ancestor.tensors[tensor.name].ravel()
                for tensor in layer
                if tensor.is_trainable
            ]
        )
        for donor in donors
    ]
    norms = [float(np.linalg.norm(delta)) for delta in deltas]
    if not any(norms):
        return 1.0
    cosines = [
        float(one @ other) / (norm * other_norm) if norm and other_norm else 0.0
        for (one, norm), (other, other_norm) in itertools.combinations(
            zip(deltas, norms, strict=True), 2
        )
    ]
    return stock_ratio(float(np.mean(cosines)), len(donors))
