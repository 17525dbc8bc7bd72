"""A soup whose weights are learned: how much of each donor, segment by segment, by gradient.

Each segment of the network (stem, block, top) is a weighted mean of the donors, the
weights a softmax of free numbers. Since the network's weights are linear in them, their
gradient needs no second backward pass: it is the inner product of the loss' gradient
with the donors' own tensors (learned soup of Wortsman et al. 2022, arXiv:2203.05482,
with weights per layer as there in appendix I).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

from efn_compose.arch import HEAD_LAYER, ArchSpec, Conventions, inventory
from efn_compose.compose.averaging import Tensors, average_tensor
from efn_compose.compose.space import TOP, segment_of, segments
from efn_compose.models import model_variables
from efn_compose.models.traced_gradients import traced_once

#: Rate of Adam for the free numbers, as in the paper.
SOUP_RATE = 0.1
#: Rate of Adam for a classifier that begins at random.
HEAD_RATE = 1e-2


@dataclass(frozen=True)
class LearnedSoup:
    """The learned weights.

    Args:
        weights: (segment, donor), each row summing to 1; segments in network order.
        losses: Training loss of each step, in nats.
    """

    weights: np.ndarray
    losses: tuple[float, ...]


class SoupLearner:
    """Learns segment weights of donors on one model and one set of labelled images.

    Args:
        model: From preprocessed input to logits; its weights are overwritten.
        spec: The network.
        conventions: Its preprocessing is applied here.
        classes: Width of the classifier.
        donors: Arrays by canonical name, of one lineage. Where all have a classifier of
            that width it belongs to the last segment; otherwise one is learned along.

    Example:
        >>> learner = SoupLearner(model, spec, conventions, 10, donors)  # doctest: +SKIP
        >>> learner.learn(images, labels, order, seed=1).weights.shape  # doctest: +SKIP
        (18, 4)
    """

    def __init__(
        self,
        model: keras.Model,
        spec: ArchSpec,
        conventions: Conventions,
        classes: int,
        donors: Sequence[Tensors],
    ) -> None:
        self.model, self.donors = model, donors
        self._variables = model_variables(model, spec, classes)
        self._mean = tf.constant(conventions.preprocessing.mean, tf.float32)
        self._scale = 1 / tf.constant(conventions.preprocessing.std, tf.float32)
        name = f"{HEAD_LAYER}/kernel"
        shape = tuple(self._variables[name].shape)
        self.learns_head = any(name not in d or d[name].shape != shape for d in donors)
        names = segments(spec)
        place = {name: number for number, name in enumerate(names)} | {TOP: len(names) - 1}
        self._tensors = {
            tensor.name: (tensor, place[TOP if tensor.layer == HEAD_LAYER else segment_of(tensor)])
            for tensor in inventory(spec, None if self.learns_head else classes)
        }
        self.segment_count = len(names)
        images = tf.TensorSpec((None, None, None, 3), tf.uint8)
        self._backward = traced_once(
            self._loss_and_gradients, images, tf.TensorSpec((None,), tf.int32)
        )

    def learn(
        self,
        images: np.ndarray | tf.Tensor,
        labels: tf.Tensor,
        order: np.ndarray,
        *,
        seed: int = 0,
        rate: float = SOUP_RATE,
    ) -> LearnedSoup:
        """Take one step of Adam per batch, from equal weights on.

        BatchNorm reads the batch; its statistics must be re-estimated for whatever is
        made with the weights.

        Args:
            images: uint8 (image, height, width, 3).
            labels: int32 (image,).
            order: Image numbers (step, image).
            seed: Decides a fresh classifier.
            rate: Of the free numbers behind the weights.
        """
        logits = np.zeros((self.segment_count, len(self.donors)))
        head = self._fresh_head(seed) if self.learns_head else {}
        images = tf.convert_to_tensor(images)
        soup_step = _Adam({"logits": logits}, rate)
        head_step = _Adam(head, HEAD_RATE)
        losses = []
        for numbers in order:
            loss, gradients = self.gradients(
                softmax(logits), head, tf.gather(images, numbers), tf.gather(labels, numbers)
            )
            losses.append(loss)
            soup_step.take({"logits": self.logit_gradient(logits, gradients)})
            head_step.take({name: gradients[name] for name in head})
        return LearnedSoup(softmax(logits), tuple(losses))

    def gradients(
        self, weights: np.ndarray, head: Tensors, images: tf.Tensor, labels: tf.Tensor
    ) -> tuple[float, dict[str, np.ndarray]]:
        """Return the loss of a soup on a batch, and its gradient by canonical name.

        Args:
            weights: (segment, donor).
            head: A classifier; empty where it is the donors'.
            images: uint8 (image, height, width, 3).
            labels: int32 (image,).
        """
        for name, (tensor, segment) in self._tensors.items():
            self._variables[name].value.assign(
                average_tensor(tensor, self.donors, weights[segment])
            )
        for name, values in head.items():
            self._variables[name].value.assign(values.astype(np.float32))
        loss, gradients = self._backward(images, labels)
        return float(loss), {name: values.numpy() for name, values in gradients.items()}

    def logit_gradient(self, logits: np.ndarray, gradients: Mapping[str, np.ndarray]) -> np.ndarray:
        """Return the loss' gradient with respect to the numbers behind the weights.

        Args:
            logits: (segment, donor), the weights before the softmax.
            gradients: Of the loss with respect to the network's weights.
        """
        by_weight = np.zeros(logits.shape)
        for name, (_, segment) in self._tensors.items():
            if name in gradients:
                flat = gradients[name].ravel()
                for number, donor in enumerate(self.donors):
                    by_weight[segment, number] += float(flat @ donor[name].ravel())
        weights = softmax(logits)
        mean = (weights * by_weight).sum(axis=1, keepdims=True)
        gradient: np.ndarray = weights * (by_weight - mean)
        return gradient

    def _fresh_head(self, seed: int) -> dict[str, np.ndarray]:
        kernel, bias = f"{HEAD_LAYER}/kernel", f"{HEAD_LAYER}/bias"
        shape = tuple(self._variables[kernel].shape)
        limit = np.sqrt(6.0 / sum(shape))
        draw = np.random.default_rng([seed, 1]).uniform(-limit, limit, shape)
        return {kernel: draw, bias: np.zeros(shape[1])}

    def _loss_and_gradients(
        self, images: tf.Tensor, labels: tf.Tensor
    ) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        watched = {n: v.value for n, v in self._variables.items() if v.trainable}
        with tf.GradientTape() as tape:
            inputs = (tf.cast(images, tf.float32) - self._mean) * self._scale
            logits = self.model(inputs, training=True)
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
            loss = tf.reduce_mean(losses)
        found = tape.gradient(loss, list(watched.values()))
        return loss, dict(zip(watched, found, strict=True))


class _Adam:
    """Adam (Kingma and Ba 2015) on a few numpy arrays, changed in place."""

    def __init__(self, values: Mapping[str, np.ndarray], rate: float) -> None:
        self._values, self._rate, self._count = values, rate, 0
        self._moments = {n: (np.zeros_like(v), np.zeros_like(v)) for n, v in values.items()}

    def take(self, gradients: Mapping[str, np.ndarray]) -> None:
        self._count += 1
        for name, (first, second) in self._moments.items():
            gradient = gradients[name]
            first += 0.1 * (gradient - first)
            second += 0.001 * (gradient**2 - second)
            size = np.sqrt(second / (1 - 0.999**self._count)) + 1e-8
            self._values[name][...] -= self._rate * first / (1 - 0.9**self._count) / size


def softmax(logits: np.ndarray) -> np.ndarray:
    """Return weights (segment, donor) that are positive and sum to 1 over donors.

    Example:
        >>> softmax(np.zeros((1, 2))).tolist()
        [[0.5, 0.5]]
    """
    powers: np.ndarray = np.exp(logits - logits.max(axis=1, keepdims=True))
    weights: np.ndarray = powers / powers.sum(axis=1, keepdims=True)
    return weights
