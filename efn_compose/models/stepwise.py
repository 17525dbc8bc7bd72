"""Run a network one operation at a time, without building a Keras model.

Aligning, re-estimating statistics and refitting all need the same thing: to see
what enters and leaves each layer, and to change a layer just before it is used.
Nothing is traced, so that a network runs seconds after its weights are known.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from efn_compose.arch import HEAD_LAYER, ArchSpec, BlockSpec, Conventions

#: Called with a layer's name and its input; may replace that layer's tensors.
BeforeLayer = Callable[[str, tf.Tensor], None]
#: Called with the name of a layer, activation or block and its output.
AfterLayer = Callable[[str, tf.Tensor], None]


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
        self._activation = activations[conventions.activation]

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
        """Return the logits, or the pooled features of a network without a head.

        Args:
            inputs: (image, height, width, 3), preprocessed.
            before: Sees the input of every convolution, BatchNorm and the head.
            after: Sees the output of every layer ("stem_conv", "stem_bn"), every
                activation ("stem_activation", "stage2_block1_se_activation"),
                every gated feature map ("stage2_block1_se_excite"), every block
                ("stage2_block1") and "pool".
            last_block: Stop after this block and return its output,
                (image, height, width, channel).

        Returns:
            (image, class), (image, channel), or a block's output.
        """
        self._before, self._after = before, after
        x = tf.cast(inputs, self.dtype)
        x = self._conv(x, "stem_conv", self.spec.stem_stride)
        x = self._act(self._norm(x, "stem_bn"), "stem_activation")
        for block in self.spec.blocks:
            x = self._block(x, block)
            if block.name == last_block:
                return x
        if self.spec.top_channels:
            x = self._act(self._norm(self._conv(x, "top_conv"), "top_bn"), "top_activation")
        x = self._seen("pool", tf.reduce_mean(x, axis=(1, 2)))
        if f"{HEAD_LAYER}/kernel" not in self.tensors:
            return x
        self._enter(HEAD_LAYER, x)
        x = tf.matmul(x, self._tensor(HEAD_LAYER, "kernel")) + self._tensor(HEAD_LAYER, "bias")
        return self._seen(HEAD_LAYER, x)

    def predict(self, inputs: np.ndarray, batch_size: int = 32, **callbacks: Any) -> np.ndarray:
        """Return what `run` returns, computed in batches, as an array."""
        starts = range(0, len(inputs), batch_size)
        parts = [
            self.run(inputs[start : start + batch_size], **callbacks).numpy() for start in starts
        ]
        return np.concatenate(parts)

    def _tensor(self, layer: str, role: str) -> tf.Tensor:
        return tf.cast(self.tensors[f"{layer}/{role}"], self.dtype)

    def _enter(self, layer: str, x: tf.Tensor) -> None:
        if self._before is not None:
            self._before(layer, x)

    def _seen(self, point: str, x: tf.Tensor) -> tf.Tensor:
        if self._after is not None:
            self._after(point, x)
        return x

    def _padded(self, x: tf.Tensor, kernel: int, stride: int) -> tuple[tf.Tensor, str]:
        if stride == 1 or self.conventions.padding == "same":
            return x, "SAME"
        side = kernel // 2
        return tf.pad(x, ((0, 0), (side, side), (side, side), (0, 0))), "VALID"

    def _conv(self, x: tf.Tensor, layer: str, stride: int = 1) -> tf.Tensor:
        self._enter(layer, x)
        kernel = self._tensor(layer, "kernel")
        x, padding = self._padded(x, kernel.shape[0], stride)
        x = tf.nn.conv2d(x, kernel, stride, padding)
        if f"{layer}/bias" in self.tensors:
            x += self._tensor(layer, "bias")
        return self._seen(layer, x)

    def _depthwise(self, x: tf.Tensor, layer: str, stride: int) -> tf.Tensor:
        self._enter(layer, x)
        kernel = self._tensor(layer, "depthwise_kernel")
        x, padding = self._padded(x, kernel.shape[0], stride)
        return self._seen(layer, tf.nn.depthwise_conv2d(x, kernel, (1, stride, stride, 1), padding))

    def _norm(self, x: tf.Tensor, layer: str) -> tf.Tensor:
        self._enter(layer, x)
        variance = self.tensors[f"{layer}/moving_variance"].astype(np.float64)
        scale = self.tensors[f"{layer}/gamma"] / np.sqrt(variance + self.conventions.bn_epsilon)
        shift = self.tensors[f"{layer}/beta"] - self.tensors[f"{layer}/moving_mean"] * scale
        return self._seen(layer, x * tf.cast(scale, self.dtype) + tf.cast(shift, self.dtype))

    def _act(self, x: tf.Tensor, point: str) -> tf.Tensor:
        return self._seen(point, self._activation(x))

    def _squeeze_excite(self, x: tf.Tensor, name: str) -> tf.Tensor:
        gate = tf.reduce_mean(x, axis=(1, 2), keepdims=True)
        gate = self._act(self._conv(gate, f"{name}_se_reduce"), f"{name}_se_activation")
        gate = tf.sigmoid(self._conv(gate, f"{name}_se_expand"))
        return self._seen(f"{name}_se_excite", x * gate)

    def _block(self, inputs: tf.Tensor, block: BlockSpec) -> tf.Tensor:
        name, x = block.name, inputs
        stride = block.stride
        if block.has_expand:
            x = self._conv(x, f"{name}_expand_conv", stride if block.kind == "fused" else 1)
            x = self._act(self._norm(x, f"{name}_expand_bn"), f"{name}_expand_activation")
        if block.kind == "mbconv":
            x = self._depthwise(x, f"{name}_depthwise_conv", stride)
            x = self._act(self._norm(x, f"{name}_depthwise_bn"), f"{name}_depthwise_activation")
        if block.se_channels:
            x = self._squeeze_excite(x, name)
        x = self._conv(x, f"{name}_project_conv", stride if block.is_single_conv else 1)
        x = self._norm(x, f"{name}_project_bn")
        if block.is_single_conv:
            x = self._act(x, f"{name}_project_activation")
        return self._seen(name, x + inputs if block.has_skip else x)
