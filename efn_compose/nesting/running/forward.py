"""A numpy forward pass: any dtype, any size of network, one tensor in memory at a time.

It needs no TensorFlow, builds no graph, and reads each tensor when its layer
runs, so that a network larger than memory can be checked. It is the reference
that nesting is verified with; training uses the Keras model.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from efn_compose.arch import (
    GROUP_CHANNELS,
    STATISTIC_ROLES,
    BlockSpec,
    Operation,
    block_operations,
    body,
    follow,
    unet_walk,
    walk,
)
from efn_compose.nesting.running.weight_source import WeightSource
from efn_compose.numerics.moments import ChannelMoments

#: Called with a BatchNorm layer's name, its input (image, height, width, channel)
#: and its stored mean and variance; returns the mean and variance to use.
Statistics = Callable[[str, np.ndarray, np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]
#: Called with a layer's, activation's or block's name and its output.
Observer = Callable[[str, np.ndarray], None]


def batch_statistics(
    _layer: str, inputs: np.ndarray, _mean: np.ndarray, _variance: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the batch's own mean and variance: BatchNorm as in training."""
    moments = ChannelMoments.of(inputs)
    return moments.mean, moments.variance


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
        return follow(walk(self.weights.spec), self._image(inputs), self._perform)

    def masks(self, inputs: np.ndarray) -> np.ndarray:
        """Return a decoder's outputs (image, height, width, output) for preprocessed images."""
        return follow(unet_walk(self.weights.spec), self._image(inputs), self._perform)

    def stem(self, inputs: np.ndarray) -> np.ndarray:
        """Return the stem's output for preprocessed images."""
        operations = body(self.weights.spec)
        first = next(number for number, operation in enumerate(operations) if operation.block)
        return follow(operations[:first], self._image(inputs), self._perform)

    def top(self, x: np.ndarray) -> np.ndarray:
        """Return pooled features (image, channel) for the last block's output."""
        operations = walk(self.weights.spec)
        last = max(number for number, operation in enumerate(operations) if operation.block)
        return follow(operations[last + 1 :], x, self._perform)

    def classify(self, features: np.ndarray) -> np.ndarray:
        """Return logits (image, class) for pooled features."""
        dense = walk(self.weights.spec, self.weights.classes)[-1]
        return self._perform(dense, features)

    def block(self, inputs: np.ndarray, block: BlockSpec) -> np.ndarray:
        """Return a block's output, skip included."""
        return follow(self._operations(block), inputs, self._perform)

    def before_project(self, inputs: np.ndarray, block: BlockSpec) -> np.ndarray:
        """Return what enters a block's project convolution."""
        operations = self._operations(block)
        entering = operations[: _last_conv(operations)]
        return follow(entering, inputs, self._perform) if entering else inputs

    def project(self, x: np.ndarray, block: BlockSpec) -> np.ndarray:
        """Return a block's project convolution and BatchNorm (and activation, in single convs)."""
        operations = self._operations(block)
        leaving = [op for op in operations[_last_conv(operations) :] if op.kind != "add"]
        return follow(leaving, x, self._perform)

    def _operations(self, block: BlockSpec) -> tuple[Operation, ...]:
        return block_operations(self.weights.spec, block.name)

    def _image(self, inputs: np.ndarray) -> np.ndarray:
        return np.asarray(inputs).astype(self.dtype)

    def _perform(self, operation: Operation, *inputs: np.ndarray) -> np.ndarray:
        """Do one operation: the method of its kind, between the two callbacks."""
        if self._before is not None and operation.kind in ("conv", "dense", "output"):
            self._before(operation.name, inputs[0])
        x = getattr(self, f"_{operation.kind}")(operation, *inputs)
        if self._observe is not None:
            self._observe(operation.name, x)
            if operation.is_block_output:
                self._observe(operation.block, x)
        return x

    def _tensor(self, operation: Operation, role: str) -> np.ndarray:
        values = self.weights.read(f"{operation.name}/{role}")
        return values.astype(self.dtype, copy=False)

    def _conv(self, operation: Operation, x: np.ndarray) -> np.ndarray:
        kernel = self._tensor(operation, "kernel")
        if operation.kernel == operation.stride == 1:
            total = x @ kernel[0, 0]
        else:
            total = self._sum_of_windows(
                operation, x, lambda part, row, col: part @ kernel[row, col]
            )
        return total + self._tensor(operation, "bias") if operation.has_bias else total

    def _depthwise(self, operation: Operation, x: np.ndarray) -> np.ndarray:
        kernel = self._tensor(operation, "depthwise_kernel")[..., 0]
        return self._sum_of_windows(operation, x, lambda part, row, col: part * kernel[row, col])

    def _norm(self, operation: Operation, x: np.ndarray) -> np.ndarray:
        mean, variance = (self._tensor(operation, role) for role in STATISTIC_ROLES)
        if self._statistics is not None:
            mean, variance = self._statistics(operation.name, x, mean, variance)
        # Read only now: whoever gives statistics may change scale and shift with them.
        scale = self._tensor(operation, "gamma") / np.sqrt(variance + self._epsilon)
        return x * scale + (self._tensor(operation, "beta") - mean * scale)

    def _group_norm(self, operation: Operation, x: np.ndarray) -> np.ndarray:
        groups = x.reshape(*x.shape[:3], -1, GROUP_CHANNELS)
        mean, variance = (of(groups, axis=(1, 2, 4), keepdims=True) for of in (np.mean, np.var))
        x = ((groups - mean) / np.sqrt(variance + self._epsilon)).reshape(x.shape)
        return x * self._tensor(operation, "gamma") + self._tensor(operation, "beta")

    def _activation(self, operation: Operation, x: np.ndarray) -> np.ndarray:
        kind = self.weights.conventions.activation
        return FUNCTIONS[kind if operation.function == "network" else operation.function](x)

    def _squeeze(self, operation: Operation, x: np.ndarray) -> np.ndarray:
        return x.mean(axis=(1, 2), keepdims=True)

    def _excite(self, operation: Operation, x: np.ndarray, gate: np.ndarray) -> np.ndarray:
        return x * gate

    def _add(self, operation: Operation, x: np.ndarray, shortcut: np.ndarray) -> np.ndarray:
        return x + shortcut

    def _enlarge(self, operation: Operation, x: np.ndarray, like: np.ndarray) -> np.ndarray:
        height, width = like.shape[1:3]
        large = x.repeat(operation.stride, axis=1).repeat(operation.stride, axis=2)
        return large[:, :height, :width]

    _output = _conv

    def _pool(self, operation: Operation, x: np.ndarray) -> np.ndarray:
        return x.mean(axis=(1, 2))

    def _dense(self, operation: Operation, x: np.ndarray) -> np.ndarray:
        return x @ self._tensor(operation, "kernel") + self._tensor(operation, "bias")

    def _sum_of_windows(
        self,
        operation: Operation,
        x: np.ndarray,
        product: Callable[[np.ndarray, int, int], np.ndarray],
    ) -> np.ndarray:
        """Return the sum over kernel positions of what each makes of the inputs it meets."""
        windows = self._windows(x, operation.kernel, operation.stride)
        row, column, window = next(windows)
        total = product(window, row, column)
        for row, column, window in windows:
            np.add(total, product(window, row, column), out=total)
        return total

    def _windows(
        self, x: np.ndarray, kernel: int, stride: int
    ) -> Iterator[tuple[int, int, np.ndarray]]:
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


def _last_conv(operations: Sequence[Operation]) -> int:
    """Return the place of a block's project convolution, its last."""
    return max(number for number, operation in enumerate(operations) if operation.kind == "conv")


def sigmoid(x: np.ndarray) -> np.ndarray:
    """Return 1 / (1 + exp(-x)) without overflow."""
    return 0.5 * (1 + np.tanh(0.5 * x))


#: Activations by name.
FUNCTIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "swish": lambda x: x * sigmoid(x),
    "relu6": lambda x: np.clip(x, 0, 6),
    "relu": lambda x: np.maximum(x, 0),
    "sigmoid": sigmoid,
}
