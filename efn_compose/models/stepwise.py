"""Run a network one operation at a time, without building a Keras model.

Aligning, re-estimating statistics and refitting all need the same thing: to see
what enters and leaves each layer, and to change a layer just before it is used.
Nothing is traced, so that a network runs seconds after its weights are known.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from efn_compose.arch import (
    BN_ROLES,
    GROUP_CHANNELS,
    HEAD_LAYER,
    ArchSpec,
    Conventions,
    Operation,
    decoder_operations,
    follow,
    until_block,
    walk,
)
from efn_compose.models.enlarge import enlarged

#: Called with a layer's name and its input; may replace that layer's tensors.
BeforeLayer = Callable[[str, tf.Tensor], None]
#: Called with the name of a layer, activation or block and its output.
AfterLayer = Callable[[str, tf.Tensor], None]

#: Operations whose input `before` sees.
_WITH_TENSORS = ("conv", "depthwise", "norm", "dense", "output")


class StepwiseNetwork:
    """A network as a walk over its layers in inference mode.

    Args:
        spec: The network.
        conventions: Padding, BatchNorm epsilon, activation.
        tensors: Arrays by canonical name. The mapping is copied, the arrays are not.
        dtype: "float32", or "float64" for exactness tests.

    Attributes:
        tensors: The arrays in use; `before` may put new ones here.

    Example:
        >>> network = StepwiseNetwork.of(donor)  # doctest: +SKIP
        >>> logits = network.run(donor.preprocess(images))  # doctest: +SKIP
    """

    def __init__(
        self,
        spec: ArchSpec,
        conventions: Conventions,
        tensors: Mapping[str, np.ndarray],
        dtype: str = "float32",
    ) -> None:
        self.spec = spec
        self.conventions = conventions
        self.tensors = dict(tensors)
        self.dtype = dtype
        self._before: BeforeLayer | None = None
        self._after: AfterLayer | None = None
        activations = {"swish": tf.nn.silu, "relu6": tf.nn.relu6, "relu": tf.nn.relu}
        network = activations[conventions.activation]
        self._functions = {"network": network, "sigmoid": tf.sigmoid, "relu": tf.nn.relu}

    @classmethod
    def of(cls, donor: Any, dtype: str = "float32") -> "StepwiseNetwork":
        """Return the network of a donor."""
        return cls(donor.spec, donor.conventions, donor.tensors, dtype)

    def run(
        self,
        inputs: np.ndarray | tf.Tensor,
        *,
        before: BeforeLayer | None = None,
        after: AfterLayer | None = None,
        last_block: str | None = None,
    ) -> tf.Tensor:
        """Return the logits, or the pooled features of a network without a head; a decoder's outputs.

        Args:
            inputs: (image, height, width, 3), preprocessed.
            before: Sees the input of every convolution, BatchNorm and the head.
            after: Sees the output of every operation of the walk by its name
                ("stem_conv", "stem_activation", "stage2_block1_se_excite", "pool"),
                and of every block by the block's ("stage2_block1").
            last_block: Stop after this block and return its output,
                (image, height, width, channel).

        Returns:
            (image, class), (image, channel), or a block's output.
        """
        self._before, self._after = before, after
        operations = walk(self.spec, self._classes())
        operations += decoder_operations(self.spec)
        if last_block is not None:
            operations = until_block(operations, last_block)
        return follow(operations, tf.cast(inputs, self.dtype), self._perform)

    def predict(self, inputs: np.ndarray, batch_size: int = 32, **callbacks: Any) -> np.ndarray:
        """Return what `run` returns, computed in batches, as an array."""
        starts = range(0, len(inputs), batch_size)
        parts = [
            self.run(inputs[start : start + batch_size], **callbacks).numpy() for start in starts
        ]
        return np.concatenate(parts)

    def _classes(self) -> int | None:
        kernel = self.tensors.get(f"{HEAD_LAYER}/kernel")
        return None if kernel is None else kernel.shape[1]

    def _perform(self, operation: Operation, *inputs: tf.Tensor) -> tf.Tensor:
        """Do one operation: the method of its kind, between the two callbacks."""
        if self._before is not None and operation.kind in _WITH_TENSORS:
            self._before(operation.name, inputs[0])
        x = getattr(self, f"_{operation.kind}")(operation, *inputs)
        if self._after is not None:
            self._after(operation.name, x)
            if operation.is_block_output:
                self._after(operation.block, x)
        return x

    def _tensor(self, operation: Operation, role: str) -> tf.Tensor:
        return tf.cast(self.tensors[f"{operation.name}/{role}"], self.dtype)

    def _padded(self, x: tf.Tensor, kernel: int, stride: int) -> tuple[tf.Tensor, str]:
        if stride == 1 or self.conventions.padding == "same":
            return x, "SAME"
        side = kernel // 2
        return tf.pad(x, ((0, 0), (side, side), (side, side), (0, 0))), "VALID"

    def _conv(self, operation: Operation, x: tf.Tensor) -> tf.Tensor:
        kernel = self._tensor(operation, "kernel")
        x, padding = self._padded(x, kernel.shape[0], operation.stride)
        x = tf.nn.conv2d(x, kernel, operation.stride, padding)
        return x + self._tensor(operation, "bias") if operation.has_bias else x

    def _depthwise(self, operation: Operation, x: tf.Tensor) -> tf.Tensor:
        kernel, stride = self._tensor(operation, "depthwise_kernel"), operation.stride
        x, padding = self._padded(x, kernel.shape[0], stride)
        return tf.nn.depthwise_conv2d(x, kernel, (1, stride, stride, 1), padding)

    def _norm(self, operation: Operation, x: tf.Tensor) -> tf.Tensor:
        gamma, beta, mean, variance = (
            self.tensors[f"{operation.name}/{role}"] for role in BN_ROLES
        )
        scale = gamma / np.sqrt(variance.astype(np.float64) + self.conventions.bn_epsilon)
        shift = beta - mean * scale
        return x * tf.cast(scale, self.dtype) + tf.cast(shift, self.dtype)

    def _group_norm(self, operation: Operation, x: tf.Tensor) -> tf.Tensor:
        shape = tf.shape(x)
        groups = tf.reshape(x, (shape[0], shape[1], shape[2], -1, GROUP_CHANNELS))
        mean, variance = tf.nn.moments(groups, (1, 2, 4), keepdims=True)
        spread = tf.sqrt(variance + self.conventions.bn_epsilon)
        x = tf.reshape((groups - mean) / spread, shape)
        return x * self._tensor(operation, "gamma") + self._tensor(operation, "beta")

    def _activation(self, operation: Operation, x: tf.Tensor) -> tf.Tensor:
        return self._functions[operation.function](x)

    def _squeeze(self, operation: Operation, x: tf.Tensor) -> tf.Tensor:
        return tf.reduce_mean(x, axis=(1, 2), keepdims=True)

    def _excite(self, operation: Operation, x: tf.Tensor, gate: tf.Tensor) -> tf.Tensor:
        return x * gate

    def _add(self, operation: Operation, x: tf.Tensor, shortcut: tf.Tensor) -> tf.Tensor:
        return x + shortcut

    def _enlarge(self, operation: Operation, x: tf.Tensor, like: tf.Tensor) -> tf.Tensor:
        return enlarged(x, operation.stride, like)

    _output = _conv

    def _pool(self, operation: Operation, x: tf.Tensor) -> tf.Tensor:
        return tf.reduce_mean(x, axis=(1, 2))

    def _dense(self, operation: Operation, x: tf.Tensor) -> tf.Tensor:
        return tf.matmul(x, self._tensor(operation, "kernel")) + self._tensor(operation, "bias")
