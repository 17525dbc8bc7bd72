"""Random float64 donors whose logits depend on their input, made without TensorFlow."""

import numpy as np

from efn_compose.arch import ArchSpec, arch_spec, default_conventions, inventory
from efn_compose.donors import Donor
from efn_compose.nesting.forward import NumpyNetwork, batch_statistics
from efn_compose.nesting.weight_source import WeightSource


def random_images(count: int = 6, side: int = 33, seed: int = 5) -> np.ndarray:
    """Return preprocessed random inputs (image, side, side, 3) of differing contrast."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=(count, side, side, 3)) * rng.uniform(0.3, 2, (count, 1, 1, 1))


def random_donor(
    variant: str | ArchSpec,
    seed: int = 0,
    classes: int | None = 7,
    side: int = 33,
    **conventions: object,
) -> Donor:
    """Return a random donor, BatchNorm calibrated on images of a size and then perturbed.

    Without the calibration a deep random network hardly depends on its input, and
    any embedding of it would look exact.
    """
    import dataclasses

    rng = np.random.default_rng(seed)
    spec = arch_spec(variant) if isinstance(variant, str) else variant
    tensors = {}
    for tensor in inventory(spec, classes):
        shape = tensor.shape
        if tensor.role in ("kernel", "depthwise_kernel"):
            fan = np.prod(shape[:2] if tensor.role == "depthwise_kernel" else shape[:-1])
            tensors[tensor.name] = rng.normal(size=shape) * np.sqrt(2 / fan)
        elif tensor.role == "gamma":
            tensors[tensor.name] = rng.uniform(0.6, 1.4, shape)
        elif tensor.role == "moving_variance":
            tensors[tensor.name] = np.ones(shape)
        else:
            tensors[tensor.name] = rng.normal(size=shape) * 0.2
    rules = dataclasses.replace(default_conventions(spec), **conventions)
    donor = Donor(f"random{seed}", spec, rules, tensors)

    def calibrate(layer, inputs, _mean, _variance):
        mean, variance = batch_statistics(layer, inputs, _mean, _variance)
        noise = rng.normal(size=mean.shape) * np.sqrt(variance)
        tensors[f"{layer}/moving_mean"] = mean + 0.1 * noise
        tensors[f"{layer}/moving_variance"] = variance * rng.uniform(0.8, 1.25, mean.shape) + 1e-4
        return mean, variance

    source = WeightSource.of(donor)
    NumpyNetwork(source, statistics=calibrate).run(random_images(24, side, seed=1000 + seed))
    return donor


def logits_of(donor: Donor, images: np.ndarray, training: bool = False) -> np.ndarray:
    """Return float64 logits of a donor, with moving or with batch statistics."""
    statistics = batch_statistics if training else None
    return NumpyNetwork(WeightSource.of(donor), statistics=statistics).run(images)


def relative_difference(result: np.ndarray, expected: np.ndarray) -> float:
    """Return the largest difference in units of how much the expectation varies over inputs."""
    return float(np.abs(result - expected).max() / expected.std(axis=0).mean())
