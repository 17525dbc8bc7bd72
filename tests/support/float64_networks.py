"""Donors in float64 and what they answer, computed without TensorFlow."""

import numpy as np
from random_donors import random_donor

from efn_compose.arch import ArchSpec, arch_spec, default_conventions
from efn_compose.donors import Donor
from efn_compose.nesting.running.forward import NumpyNetwork, batch_statistics
from efn_compose.nesting.running.weight_source import WeightSource


def random_images(count: int = 6, side: int = 33, seed: int = 5) -> np.ndarray:
    """Return preprocessed random inputs (image, side, side, 3) of differing contrast."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(count, side, side, 3)) * rng.uniform(0.3, 2, (count, 1, 1, 1))


def float64_donor(
    variant: str | ArchSpec, seed: int = 0, side: int = 33, **options: object
) -> Donor:
    """Return a random donor in float64, its BatchNorm statistics taken on such random inputs."""
    spec = variant if isinstance(variant, ArchSpec) else arch_spec(variant)
    scaling = default_conventions(spec).preprocessing
    pixels = random_images(24, side, seed=1000 + seed) * scaling.std + scaling.mean
    return random_donor(spec, seed, dtype="float64", **({"images": pixels} | options))


def logits_of(donor: Donor, images: np.ndarray, training: bool = False) -> np.ndarray:
    """Return float64 logits of a donor, with moving or with batch statistics."""
    statistics = batch_statistics if training else None
    return NumpyNetwork(WeightSource.of(donor), statistics=statistics).run(images)


def relative_difference(result: np.ndarray, expected: np.ndarray) -> float:
    """Return the largest difference in units of how much the expectation varies over inputs."""
    return float(np.abs(result - expected).max() / expected.std(axis=0).mean())
