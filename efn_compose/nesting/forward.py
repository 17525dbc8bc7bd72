"""A numpy forward pass: any dtype, any size of network, one tensor in memory at a time.

It needs no TensorFlow, builds no graph, and reads each tensor when its layer
runs, so that a network larger than memory can be checked. It is the reference
that nesting is verified with; training uses the Keras model.
"""

from collections.abc import Callable

import numpy as np

from efn_compose.arch import HEAD_LAYER, BlockSpec
from efn_compose.nesting.weight_source import WeightSource

#: Called with a BatchNorm layer's name, its input (image, height, width, channel)
#: and its stored mean and variance; returns the mean and variance to use.
Statistics = Callable[[str, np.ndarray, np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
#: Called with a layer's, activation's or block's name and its output.
Observer = Callable[[str, np.ndarray], None]

_SPATIAL = (0, 1, 2)


def batch_statistics(
    _layer: str, inputs: np.ndarray, _mean: np.ndarray, _variance: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the batch's own mean and variance: BatchNorm as in training."""
    return inputs.mean(axis=_SPATIAL), inputs.var(axis=_SPATIAL)


class NumpyNetwork:
    """A network as a walk over its layers.

    Args:
        weights: Where tensors are read from.
        dtype: Of all arithmetic, "float32" or "float64".
        statistics: Replaces BatchNorm statistics on the way; `batch_statistics`
            runs the network as in training. Default: the stored ones.
        observe: Sees every layer's output.
        before: Sees the input of every convolution and of the classifier.

    Example:
        >>> network = NumpyNetwork(WeightSource.of(donor), "float64")  # doctest: +SKIP
        >>> logits = network.run(donor.preprocess(images))  # doctest: +SKIP
    """

    def __init__(
        self,
        weights: WeightSource,
        dtype: str = "float64",
        *,
        statistics: Statistics | None = None,
        observe: Observer | None = None,
        before: Observer | None = None,
    ) -> None:
        self.weights = weights
        self.dtype = dtype
        self._statistics = statistics
        self._observe = observe
        self._before = before
        self._symmetric = weights.conventions.padding == "symmetric"
        self._epsilon = weights.conventions.bn_epsilon

    def run(self, inputs: np.ndarray) -> np.ndarray:
        """Return logits (image, class), or pooled features where there is no classifier.

        Args:
            inputs: Preprocessed images (image, height, width, 3).
        """
        features = self.features(inputs)
        return features if self.weights.classes is None else self.classify(features)

    def features(self, inputs: np.ndarray) -> np.ndarray:
        """Return pooled features (image, channel) for preprocessed images."""
        x = self.stem(inputs)
        for block in self.weights.spec.blocks:
            x = self.block(x, block)
        return self.top(x)

    def stem(self, inputs: np.ndarray) -> np.ndarray:
        """Return the stem's output for preprocessed images."""
        x = np.asarray(inputs).astype(self.dtype)
        return self._conv_norm_act(x, "stem", self.weights.spec.stem_stride)

    def top(self, x: np.ndarray) -> np.ndarray:
        """Return pooled features (image, channel) for the last block's output."""
        if self.weights.spec.top_channels:
            x = self._conv_norm_act(x, "top", 1)
        return self._see("pool", x.mean(axis=(1, 2)))

    def classify(self, features: np.ndarray) -> np.ndarray:
        """Return logits (image, class) for pooled features."""
        self._enter(HEAD_LAYER, features)
        kernel, bias = self._read(f"{HEAD_LAYER}/kernel"), self._read(f"{HEAD_LAYER}/bias")
        return self._see(HEAD_LAYER, features @ kernel + bias)

    def block(self, inputs: np.ndarray, block: BlockSpec) -> np.ndarray:
        """Return a block's output, skip included."""
        x = self.project(self.branch(inputs, block), block)
        if block.has_skip:
            x = x + inputs
        return self._see(block.name, x)

    def branch(self, inputs: np.ndarray, block: BlockSpec) -> np.ndarray:
        """Return what enters a block's project convolution."""
        name, x = block.name, inputs
        if block.has_expand:
            stride = block.stride if block.kind == "fused" else 1
            x = self._conv_norm_act(x, f"{name}_expand", stride)
        if block.kind == "mbconv":
            kernel = self._read(f"{name}_depthwise_conv/depthwise_kernel")
            x = self._see(f"{name}_depthwise_conv", self._depthwise(x, kernel, block.stride))
            x = self.act(self.norm(x, f"{name}_depthwise_bn"), f"{name}_depthwise_activation")
        if block.se_channels:
            x = self._squeeze_excite(x, name)
        return x

    def project(self, x: np.ndarray, block: BlockSpec) -> np.ndarray:
        """Return a block's project convolution and BatchNorm (and activation, in single convs)."""
        if block.is_single_conv:
            return self._conv_norm_act(x, f"{block.name}_project", block.stride)
        return self.norm(self._conv(x, f"{block.name}_project_conv", 1), f"{block.name}_project_bn")

    def norm(self, x: np.ndarray, layer: str) -> np.ndarray:
        """Return a BatchNorm layer's output."""
        mean, variance = self._read(f"{layer}/moving_mean"), self._read(f"{layer}/moving_variance")
        if self._statistics is not None:
            mean, variance = self._statistics(layer, x, mean, variance)
        scale = self._read(f"{layer}/gamma") / np.sqrt(variance + self._epsilon)
        return self._see(layer, x * scale + (self._read(f"{layer}/beta") - mean * scale))

    def act(self, x: np.ndarray, name: str) -> np.ndarray:
        """Return the network's activation of an array."""
        kind = self.weights.conventions.activation
        if kind == "swish":
            return self._see(name, x * sigmoid(x))
        return self._see(name, np.clip(x, 0, 6) if kind == "relu6" else np.maximum(x, 0))

    def _read(self, name: str) -> np.ndarray:
        return self.weights.read(name).astype(self.dtype, copy=False)

    def _enter(self, layer: str, x: np.ndarray) -> None:
        if self._before is not None:
            self._before(layer, x)

    def _see(self, name: str, x: np.ndarray) -> np.ndarray:
        if self._observe is not None:
            self._observe(name, x)
        return x

    def _conv_norm_act(self, x: np.ndarray, prefix: str, stride: int) -> np.ndarray:
        x = self.norm(self._conv(x, f"{prefix}_conv", stride), f"{prefix}_bn")
        return self.act(x, f"{prefix}_activation")

    def _conv(self, x: np.ndarray, layer: str, stride: int) -> np.ndarray:
        self._enter(layer, x)
        kernel = self._read(f"{layer}/kernel")
        if kernel.shape[:2] == (1, 1) and stride == 1:
            return self._see(layer, x @ kernel[0, 0])
        total = None
        for row, column, window in self._windows(x, kernel.shape[0], stride):
            part = window @ kernel[row, column]
            total = part if total is None else np.add(total, part, out=total)
        return self._see(layer, total)

    def _depthwise(self, x: np.ndarray, kernel: np.ndarray, stride: int) -> np.ndarray:
        total = None
        for row, column, window in self._windows(x, kernel.shape[0], stride):
            part = window * kernel[row, column, :, 0]
            total = part if total is None else np.add(total, part, out=total)
        return total

    def _windows(self, x: np.ndarray, kernel: int, stride: int):
        """Yield for each kernel position the inputs it meets, zero-padded at the border."""
        pads = [self._padding(length, kernel, stride) for length in x.shape[1:3]]
        height, width = (
            (length + sum(pad) - kernel) // stride + 1
            for length, pad in zip(x.shape[1:3], pads, strict=True)
        )
        padded = np.pad(x, ((0, 0), *pads, (0, 0)))
        for row in range(kernel):
            for column in range(kernel):
                rows = slice(row, row + (height - 1) * stride + 1, stride)
                columns = slice(column, column + (width - 1) * stride + 1, stride)
                yield row, column, padded[:, rows, columns]

    def _padding(self, length: int, kernel: int, stride: int) -> tuple[int, int]:
        if self._symmetric and stride > 1:
            return kernel // 2, kernel // 2
        total = max((-(-length // stride) - 1) * stride + kernel - length, 0)
        return total // 2, total - total // 2

    def _squeeze_excite(self, x: np.ndarray, block: str) -> np.ndarray:
        gate = x.mean(axis=(1, 2), keepdims=True)
        for layer in (f"{block}_se_reduce", f"{block}_se_expand"):
            self._enter(layer, gate)
            gate = gate @ self._read(f"{layer}/kernel")[0, 0] + self._read(f"{layer}/bias")
            if layer.endswith("reduce"):
                gate = self.act(gate, f"{block}_se_activation")
        return self._see(f"{block}_se_excite", x * self._see(f"{block}_se_gate", sigmoid(gate)))


def sigmoid(x: np.ndarray) -> np.ndarray:
    """Return 1 / (1 + exp(-x)) without overflow."""
    return 0.5 * (1 + np.tanh(0.5 * x))
