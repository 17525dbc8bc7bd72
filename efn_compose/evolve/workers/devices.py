"""Preparing TensorFlow in a worker process: threads, visible devices, determinism."""

import functools
import os
import warnings
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Device:
    """What a worker runs on; executors say so, since they know what there is.

    Args:
        kind: "cpu", "gpu" or "tpu".
        memory_mb: Its share of a GPU; 0 for all of it.
    """

    kind: str = "cpu"
    memory_mb: int = 0


def prepare_device(device: Device, threads: int) -> Any:
    """Configure TensorFlow before its first operation; later calls change nothing.

    Args:
        device: On "cpu" accelerators are hidden (Ray no longer does so, even for workers
            that asked for none); on "gpu" memory grows on demand where no share is given;
            on "tpu" the local chip is connected to.
        threads: Threads per operation. Part of what a result depends on.

    Returns:
        The `tf.distribute.TPUStrategy` of a TPU worker, None on other devices.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow as tf

    if tf.config.threading.get_intra_op_parallelism_threads() == threads and device.kind == "cpu":
        return None
    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)
        if device.kind == "cpu":
            tf.config.set_visible_devices([], "GPU")
        for gpu in tf.config.get_visible_devices("GPU"):
            if device.memory_mb:
                share = tf.config.LogicalDeviceConfiguration(memory_limit=device.memory_mb)
                tf.config.set_logical_device_configuration(gpu, [share])
            else:
                tf.config.experimental.set_memory_growth(gpu, True)
    except RuntimeError:
        if os.environ.get("TF_NUM_INTRAOP_THREADS") != str(threads):
            warnings.warn(
                "TensorFlow already runs in this process, with the threads and devices it was "
                "given then. Scores may differ in their last bits from those of workers with "
                f"{threads}.",
                stacklevel=2,
            )
    if device.kind == "gpu":
        tf.config.experimental.enable_op_determinism()
    return _tpu_strategy() if device.kind == "tpu" else None


@functools.cache
def _tpu_strategy() -> Any:
    """Connect to the chip that Ray gave this process, and return its strategy of one replica."""
    import tensorflow as tf

    resolver = tf.distribute.cluster_resolver.TPUClusterResolver(tpu="local")
    tf.config.experimental_connect_to_cluster(resolver)
    topology = tf.tpu.experimental.initialize_tpu_system(resolver)
    # One worker, one core: a step's result must not depend on how many cores share it.
    cores = tf.tpu.experimental.DeviceAssignment.build(topology, num_replicas=1)
    return tf.distribute.TPUStrategy(resolver, experimental_device_assignment=cores)
