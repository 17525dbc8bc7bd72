"""How long networks take per image on this machine: a few measured, the others on a line through them."""

import functools
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from efn_compose.arch import ArchSpec, default_conventions, inventory
from efn_compose.arch.cost import cost
from efn_compose.donors import Donor
from efn_compose.evolve.workers.devices import Device, prepare_device
from efn_compose.nesting.fills import fresh_values

#: Images of a measured epoch, and what a step of it may take of the memory.
_IMAGES, _BATCH, _STEP_BYTES = 64, 32, 2e9


@dataclass(frozen=True)
class Pace:
    """Seconds of one network at one size.

    Args:
        train: Per image that passes with gradients.
        forward: Per image that passes without.
        set_up: Of building and tracing.
    """

    train: float
    forward: float
    set_up: float


def measure_on_processor(threads: int) -> None:
    """Give this process the threads of a worker on the processor, before it measures.

    Where TensorFlow has other threads already, seconds are measured with those; no score is made.

    Args:
        threads: Of a worker; 0 leaves all as they are.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        prepare_device(Device(), threads)


@functools.cache
def measure_pace(spec: ArchSpec, size: int) -> Pace:
    """Train a network on a few random images for two epochs; the second one counts.

    A process measures each network once.

    Args:
        spec: The network.
        size: Height and width of the images in pixels.
    """
    from efn_compose.train.examples import TrainingData
    from efn_compose.train.recipe import Classification, Trainer, TrainOptions, fit

    tensors = {tensor.name: fresh_values(tensor, "he", 1) for tensor in inventory(spec)}
    donor = Donor("fresh", spec, default_conventions(spec), tensors)
    batch = int(np.clip(_STEP_BYTES / (12 * cost(spec, size).activations), 2, _BATCH))
    count = min(_IMAGES, 4 * batch)
    rng = np.random.default_rng(1)
    images = rng.integers(0, 256, (count, size, size, 3), np.uint8)
    labels = (np.arange(count) % 2).astype(np.int32)
    options = TrainOptions(epochs=2, batch_size=batch, absorb="never")
    begun = time.perf_counter()
    trainer = Trainer(donor, Classification(2, options))
    data = TrainingData(("a", "b"), images, labels, images, labels)
    epochs = fit(donor, data, seed=1, trainer=trainer).history.epochs
    wall = time.perf_counter() - begun
    second = epochs[1].seconds
    return Pace(
        train=second["train"] / count,
        forward=(second["bn"] + second["score"]) / (2 * count),
        set_up=wall - 2 * sum(second.values()),
    )


def cost_line(
    measured: Sequence[tuple[ArchSpec, int, float]],
) -> Callable[[ArchSpec, int], float]:
    """Return a function from a network and a size to seconds.

    Times lie on the least-squares line through layers and multiply-adds, no weight negative.

    Args:
        measured: Network, size in pixels, and seconds.

    Example:
        >>> from efn_compose.arch import arch_spec
        >>> seconds = cost_line([(arch_spec("b0"), 32, 1.0), (arch_spec("b0"), 64, 3.0)])
        >>> round(seconds(arch_spec("b0"), 32), 6)
        1.0
    """
    from scipy.optimize import nnls

    def features(spec: ArchSpec, size: int) -> list[float]:
        return [len(spec.blocks) + 2, cost(spec, size).multiply_adds / 1e6]

    rows = np.array([features(spec, size) for spec, size, _ in measured]).reshape(-1, 2)
    values = np.array([seconds for _, _, seconds in measured])
    # Relative errors count, so that small networks are not drowned by large ones.
    scale = np.maximum(values, 1e-9)
    weights = nnls(rows / scale[:, None], values / scale)[0] if len(rows) else np.zeros(2)
    return lambda spec, size: float(np.dot(features(spec, size), weights))
