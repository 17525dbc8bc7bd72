"""What is watched in a pretraining: whether outputs collapse, and how far features leave the donor's."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from efn_compose.data.table import UNLABELLED

#: Neighbours that vote on a label, and those that are compared with the donor's.
_VOTERS, _NEIGHBOURS = 20, 10
#: Updates after which neighbours must still agree with the donor's.
_EARLY = 50


@dataclass(frozen=True, eq=False)
class Reference:
    """The donor's features of the images that are watched, before the first update.

    Args:
        features: (image, feature).
        labels: (image,) class numbers, -1 where there is none.
        rank: Effective rank of the features.
        neighbours: (image, neighbour) numbers of each image's nearest others.
        knn: Share of labels that their neighbours tell; None without labels.
    """

    features: np.ndarray
    labels: np.ndarray
    rank: float
    neighbours: np.ndarray
    knn: float | None

    @classmethod
    def of(cls, features: np.ndarray, labels: np.ndarray) -> "Reference":
        """Return the reference that some features are.

        Args:
            features: (image, feature).
            labels: (image,) class numbers, -1 where there is none.
        """
        near = nearest(features, min(_NEIGHBOURS, len(features) - 1))
        return cls(features, labels, effective_rank(features), near, knn_accuracy(features, labels))


def monitor(features: np.ndarray, reference: Reference) -> dict[str, float]:
    """Return the monitors of one epoch's features by name.

    Args:
        features: (image, feature) of the watched images.
        reference: Of the same images.

    Returns:
        "rank", and "rank_share" of the donor's. "neighbours": share of the 10 nearest images that are the
        donor's too. With labels "knn", and "knn_gain" over the donor's.
    """
    rank = effective_rank(features)
    found = {
        "rank": rank,
        "rank_share": rank / reference.rank,
        "neighbours": agreement(features, reference.neighbours),
    }
    knn = knn_accuracy(features, reference.labels)
    if knn is not None and reference.knn is not None:
        found |= {"knn": knn, "knn_gain": knn - reference.knn}
    return found


def spread(outputs: np.ndarray) -> float:
    """Return the mean standard deviation of outputs of length 1, times the root of their dimensions.

    Args:
        outputs: (image, dimension).

    Example:
        >>> round(spread(np.random.default_rng(0).normal(size=(2000, 64))), 2)
        1.0
        >>> spread(np.ones((5, 3)))
        0.0
    """
    return float(_unit(outputs).std(axis=0).mean() * np.sqrt(outputs.shape[1]))


def effective_rank(features: np.ndarray) -> float:
    """Return the exponential of the entropy of the singular values (Roy and Vetterli 2007).

    Args:
        features: (image, feature); their mean is taken off.

    Returns:
        1 for features on a line, n for n equally strong dimensions.

    Example:
        >>> round(effective_rank(np.concatenate([np.eye(3), -np.eye(3)])), 6)
        3.0
    """
    values = np.asarray(features, np.float64)
    values = np.linalg.svd(values - values.mean(axis=0), compute_uv=False)
    if not values.sum():
        return 0.0
    shares = values / values.sum()
    shares = shares[shares > 0]
    return float(np.exp(-(shares * np.log(shares)).sum()))


def nearest(features: np.ndarray, count: int) -> np.ndarray:
    """Return the numbers of each image's nearest others by cosine, (image, neighbour)."""
    unit = _unit(features)
    cosines = unit @ unit.T
    np.fill_diagonal(cosines, -np.inf)
    return np.argsort(-cosines, axis=1, kind="stable")[:, :count]


def agreement(features: np.ndarray, neighbours: np.ndarray) -> float:
    """Return the mean share of each image's nearest others that are among the given ones.

    Args:
        features: (image, feature).
        neighbours: (image, neighbour) numbers.
    """
    count = neighbours.shape[1]
    found = nearest(features, count)
    shared = [len(np.intersect1d(*pair)) for pair in zip(found, neighbours, strict=True)]
    return float(np.mean(shared) / count)


def knn_accuracy(features: np.ndarray, labels: np.ndarray) -> float | None:
    """Return the share of labels that the labelled neighbours of each image tell; None without labels.

    Up to 20 neighbours vote, each with its cosine; fewer where classes are small.

    Args:
        features: (image, feature).
        labels: (image,) class numbers, -1 where there is none.
    """
    known = np.flatnonzero(labels != UNLABELLED)
    classes = len(np.unique(labels[known]))
    if classes < 2:
        return None
    count = max(1, min(_VOTERS, len(known) // (2 * classes)))
    return knn_votes(features[known], labels[known], count)


def knn_votes(features: np.ndarray, labels: np.ndarray, count: int) -> float:
    """Return the accuracy of each image's nearest others voting by their cosine.

    Args:
        features: (image, feature).
        labels: (image,) class numbers.
        count: Neighbours that vote.
    """
    unit = _unit(features)
    near = nearest(features, count)
    votes = np.zeros((len(labels), int(labels.max()) + 1))
    for place in near.T:
        cosines = (unit * unit[place]).sum(axis=1)
        votes[np.arange(len(labels)), labels[place]] += 1 + cosines
    return float((votes.argmax(axis=1) == labels).mean())


def alarms(epochs: Sequence[Mapping[str, float]], updates_per_epoch: int) -> list[str]:
    """Return the alarms of the last of some epochs, in words.

    Args:
        epochs: Monitors of all epochs so far.
        updates_per_epoch: Says how early the last epoch is.

    Example:
        >>> alarms([{"spread": 0.1, "rank_share": 1.0, "neighbours": 0.9}], 8)
        ['collapse: all outputs are nearly alike (spread 0.10, healthy near 1, alarm below 0.3)']
    """
    now, before = epochs[-1], epochs[-2] if len(epochs) > 1 else {"rank_share": 1.0}
    found = []
    if now.get("spread", 1.0) < 0.3:
        found.append(
            f"collapse: all outputs are nearly alike (spread {now['spread']:.2f}, healthy near 1, "
            "alarm below 0.3)"
        )
    if now.get("std", 1.0) < 0.1:
        found.append(
            f"collapse: outputs shrink to a point (standard deviation {now['std']:.3f}, healthy near "
            "1, alarm below 0.1)"
        )
    share = now["rank_share"]
    if share < 0.1 or share < before["rank_share"] / 2:
        found.append(
            f"lost dimensions: features have {share:.0%} of the donor's effective rank, "
            f"{before['rank_share']:.0%} an epoch before (alarm below 10 %, or when it halves)"
        )
    if now["neighbours"] < 0.1 and len(epochs) * updates_per_epoch >= _EARLY:
        found.append(
            f"drift: only {now['neighbours']:.0%} of nearest images are the donor's (alarm below "
            "10 %). Lower pretrain.learning_rate."
        )
    if len(epochs) > 1 and all(epoch.get("knn_gain", 0.0) < -0.02 for epoch in epochs[-2:]):
        found.append(
            f"labels: neighbours tell {-100 * now['knn_gain']:.1f} points fewer labels than the "
            "donor's, for two epochs. Take an earlier epoch (best.h5), or another method."
        )
    if abs(now.get("critic_gap", 0.0)) > 10:
        found.append(
            f"critic: real and generated images differ by {now['critic_gap']:.1f} (healthy below 4, "
            "alarm above 10): it has won"
        )
    if now.get("perplexity_share", 1.0) < 0.05 and len(epochs) * updates_per_epoch >= _EARLY:
        found.append(
            f"codes: as few as {now['perplexity_share']:.1%} of them are used (alarm below 5 %)"
        )
    if now.get("teacher_moved", 1.0) < 1e-7:
        found.append("teacher: it does not move, so that nothing new can be learnt from it")
    return found


def _unit(values: np.ndarray) -> np.ndarray:
    """Return rows of length 1, float64; rows of zeros stay."""
    values = np.asarray(values, np.float64)
    return values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-12)
