"""How a resident model runs on its device: number formats, compilation, strategy.

Processors compute in float32. GPUs take mixed precision: activations of 16 bits, weights, sums and
statistics of 32. TPUs do so in bfloat16, compiled, under a `TPUStrategy`.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf

from efn_compose.models.fast_layers import FusedBatchNormalization, LayerKinds, fast_layers
from efn_compose.models.traced_gradients import forgetting_gradients
from efn_compose.train.engine.options import Precision, best_precision

#: Of an accelerator's memory, what images may take for good; networks need the rest.
_SHARE_FOR_IMAGES = 0.25
#: Of an accelerator's memory, what may be used at all: some is lost between pieces.
USABLE_SHARE = 0.9


@dataclass(frozen=True)
class Placement:
    """Where and how.

    Args:
        device: "cpu", "gpu" or "tpu".
        precision: A Keras dtype policy; "auto" takes float32 on processors, float16 on GPUs
            and bfloat16 on TPUs.
        compiled: Whether XLA compiles the steps; TPUs always do.
        strategy: The `tf.distribute.TPUStrategy` of a TPU worker, with one replica.
        layers: Classes of layers; the device's fastest that compute the same by default.

    Example:
        >>> Placement("gpu").policy, Placement().policy
        ('mixed_float16', 'float32')
    """

    device: str = "cpu"
    precision: Precision = "auto"
    compiled: bool = False
    strategy: tf.distribute.Strategy | None = None
    layers: LayerKinds | None = None

    @property
    def policy(self) -> str:
        """The dtype policy of the network's layers."""
        return best_precision(self.device) if self.precision == "auto" else self.precision

    def kinds(self, size: int | None) -> LayerKinds:
        """Return the classes of layers to build of, for images of a size in pixels, None for any."""
        if self.layers is not None:
            return self.layers
        if self.device == "tpu" or self.compiled:
            return LayerKinds()  # XLA fuses BatchNorm by itself
        return (
            fast_layers(size) if self.device == "cpu" else LayerKinds(norm=FusedBatchNormalization)
        )

    @contextmanager
    def building(self) -> Iterator[None]:
        """Build a model and its variables in here."""
        before = keras.config.dtype_policy()
        with ExitStack() as stack:
            if self.strategy is not None:
                stack.enter_context(self.strategy.scope())
            keras.config.set_dtype_policy(self.policy)
            stack.callback(keras.config.set_dtype_policy, before)
            yield

    def traced(
        self, function: Callable[..., Any], signature: Sequence[tf.TensorSpec]
    ) -> Callable[..., Any]:
        """Return a function that is traced once and runs on the device.

        Args:
            function: Of tensors. Its loops are `tf.while_loop`: to translate Python's took a fifth of the
                time that tracing a small network takes.
            signature: Their shapes; sizes left open need no second trace. Compiled
                functions want all sizes known, so there they are traced once per shape.
        """
        strategy = self.strategy
        if strategy is not None:
            run = tf.function(
                forgetting_gradients(lambda *tensors: strategy.run(function, args=tensors)),
                autograph=False,
            )

            def one_replica(*tensors: tf.Tensor) -> Any:
                found = run(*tensors)
                return None if found is None else strategy.experimental_local_results(found)[0]

            return one_replica
        function = forgetting_gradients(function)
        if self.compiled:
            return tf.function(function, jit_compile=True, autograph=False)
        return tf.function(function, input_signature=signature, autograph=False)

    def has_room(self, image_bytes: int) -> bool:
        """Return whether images of so many bytes may stay on the device for good."""
        return self.device != "gpu" or image_bytes <= _SHARE_FOR_IMAGES * accelerator_bytes()


def replica_state(value: Any, dtype: Any = None) -> tf.Variable:
    """Return a variable, not trained, that a replica may set inside a loop."""
    return tf.Variable(
        value,
        trainable=False,
        dtype=dtype,
        synchronization=tf.VariableSynchronization.ON_READ,
        aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
    )


def accelerator_bytes() -> float:
    """Return the memory of this process' accelerator in bytes, infinite where none says."""
    for gpu in tf.config.list_logical_devices("GPU"):
        limit = _gpu_limit(gpu.name)
        if limit:
            return limit
    return float("inf")


def _gpu_limit(name: str) -> float:
    """Return the bytes a logical GPU may take; 0 where TensorFlow does not say."""
    from tensorflow.python.client import device_lib

    return next((d.memory_limit for d in device_lib.list_local_devices() if d.name == name), 0)
