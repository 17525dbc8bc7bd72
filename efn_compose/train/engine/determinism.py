"""TensorFlow's deterministic kernels, for as long as a training that wants them lasts.

TensorFlow knows them for the whole process only, and has no public way back. Left on, they would change
everything that the process does later: a cross-entropy is then written by other operations, which round
otherwise, and a draw without a seed is refused.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import tensorflow as tf
from tensorflow.python.framework import config


@contextmanager
def deterministic_kernels(wanted: bool = True) -> Iterator[None]:
    """Run everything in the block, in all threads, with TensorFlow's deterministic kernels.

    They hold for what is traced in the block, and for what runs in it: do both in here. Where they were on
    before, they stay on.

    Args:
        wanted: False changes nothing.

    Example:
        >>> with deterministic_kernels():
        ...     config.is_op_determinism_enabled()
        True
    """
    if not wanted or config.is_op_determinism_enabled():
        yield
        return
    tf.config.experimental.enable_op_determinism()
    try:
        yield
    finally:
        config.disable_op_determinism()
