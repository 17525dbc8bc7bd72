"""Numbers of images that fit into a device's memory at once."""

import resource
from collections.abc import Callable, Iterator

import tensorflow as tf

from efn_compose.arch import ArchSpec
from efn_compose.arch.cost import cost

#: Largest batch without gradients, and the bytes that its largest maps may take.
_MOST, _LEAST, _BYTES = 256, 8, 2**30
#: Maps of that size alive at a time: input, output, and one being made.
_ALIVE = 3
#: Tensors of each layer's output that a step keeps for its gradient, at least: convolution,
#: BatchNorm, activation.
_KEPT = 3
#: A step may take so much more than the step of half its batch foretells.
_MARGIN = 1.2


def inference_batch(spec: ArchSpec, size: int) -> int:
    """Return how many images pass at once where no gradient is needed: a power of two.

    BatchNorm statistics depend on it, so it follows from the network and the image size
    alone, not from the machine.

    Args:
        spec: The network.
        size: Height and width of the images in pixels.

    Example:
        >>> from efn_compose.arch import arch_spec
        >>> inference_batch(arch_spec("b0"), 32), inference_batch(arch_spec("b0"), 224)
        (256, 64)
    """
    bytes_each = 4 * _ALIVE * cost(spec, size).largest_map
    most = min(_MOST, _BYTES // bytes_each)
    return max(_LEAST, 1 << (int(most).bit_length() - 1) if most else 0)


def peak_bytes(device: str) -> int:
    """Return the most memory this process ever took on its device.

    Args:
        device: "gpu" asks the card; anything else the main memory.
    """
    if device == "gpu":
        return int(tf.config.experimental.get_memory_info("GPU:0")["peak"])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def training_bytes(spec: ArchSpec, size: int) -> int:
    """Return the least bytes that a training step keeps per image: the outputs of its layers.

    Args:
        spec: The network.
        size: Height and width of the images in pixels.
    """
    return 4 * _KEPT * cost(spec, size).activations


def largest_batch(
    step: Callable[[int], None],
    peak: Callable[[], int],
    limit: float,
    most: int,
    bytes_each: int,
    first: int = 8,
) -> Iterator[tuple[int, int]]:
    """Try training steps with doubling batches, and yield those that fitted.

    A batch is tried only if the growth so far foretells that it fits: on processors one that
    does not fit would be killed, not refused.

    Args:
        step: Makes a step of this many images.
        peak: Returns the peak of memory in bytes.
        limit: Bytes that may be taken.
        most: Largest batch worth trying.
        bytes_each: What an image takes at least.
        first: Batch to begin with.

    Yields:
        Batch size and peak in bytes, ascending; nothing where even the first does not fit.

    Example:
        >>> taken = []
        >>> found = largest_batch(taken.append, lambda: 100 * taken[-1], 7000, 512, bytes_each=90)
        >>> list(found)
        [(8, 800), (16, 1600), (32, 3200)]
    """
    batch, growth = min(first, most), 0
    step(max(1, batch // 2))  # what building and tracing take belongs to no image
    before = peak()
    while batch <= most and before + _MARGIN * growth <= limit:
        try:
            step(batch)
        except (tf.errors.ResourceExhaustedError, MemoryError):
            return
        now = peak()
        if now > limit:
            return
        yield batch, now
        growth = max(2 * (now - before), batch * bytes_each)
        before, batch = now, 2 * batch
