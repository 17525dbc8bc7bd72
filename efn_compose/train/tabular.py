"""Small Keras networks for rows of a table: one hidden layer, and a vector for each category.

Entity embeddings: Guo and Berkhahn 2016, arXiv:1604.06737.
"""

import functools
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from efn_compose.train.engine.adam import FusedAdam

#: Rows of an update.
BATCH = 32
#: Half of a category's vector's greatest width, and its greatest start value.
_WIDEST, _START = 8, 0.05


@dataclass(frozen=True)
class TabularShape:
    """All that decides the graph of a network.

    Args:
        features: Numbers of a row.
        categories: Number of codes of each column of categories; code 0 is an unknown category.
        classes: Number of classes.
        units: Of the hidden layer.
        dropout: Share of hidden units left out in training.
        decay: Weight of the squared weights in the loss.
    """

    features: int
    categories: tuple[int, ...]
    classes: int
    units: int
    dropout: float
    decay: float


@functools.lru_cache(maxsize=4)
def tabular_network(shape: TabularShape) -> "TabularNetwork":
    """Return a network of a shape, traced once per process; fitting begins anew each time."""
    return TabularNetwork(shape)


class TabularNetwork:
    """A network that is fitted again and again.

    Args:
        shape: Of its layers.

    Example:
        >>> network = TabularNetwork(TabularShape(2, (), 2, 8, 0.0, 0.0))  # doctest: +SKIP
        >>> network.fit(values, codes, labels, epochs=20, rate=0.01, seed=1)  # doctest: +SKIP
    """

    def __init__(self, shape: TabularShape) -> None:
        self.shape = shape
        self.model = _build(shape)
        self._variables = list(self.model.trainable_variables)
        self._dropout = [layer for layer in self.model.layers if isinstance(layer, layers.Dropout)]
        self._adam = FusedAdam([variable.value for variable in self._variables])
        signature = (
            tf.TensorSpec((None, shape.features), tf.float32),
            tf.TensorSpec((None, len(shape.categories)), tf.int32),
        )
        self._ask = tf.function(
            lambda values, codes: tf.nn.softmax(self.model([values, codes], training=False)),
            input_signature=signature,
            autograph=False,
        )
        self._epoch = tf.function(
            self._run_epoch,
            autograph=False,
            input_signature=(*signature, tf.TensorSpec((None,), tf.int32), tf.TensorSpec(())),
        )

    def fit(
        self,
        values: np.ndarray,
        codes: np.ndarray,
        labels: np.ndarray,
        epochs: int,
        rate: float,
        seed: int,
    ) -> None:
        """Draw new weights and fit them.

        Args:
            values: (row, feature) scaled numbers.
            codes: (row, column) codes of categories.
            labels: (row,) class numbers.
            epochs: Passes over all rows.
            rate: Learning rate of Adam.
            seed: Of weights, order and dropout.
        """
        rng = np.random.default_rng([seed, 17])
        for variable in self._variables:
            variable.assign(_drawn(variable.shape, "embeddings" in variable.path, rng))
        for number, layer in enumerate(self._dropout):
            layer.seed_generator.state.assign([seed, number])
        self._adam.reset()
        codes = codes.astype(np.int32)
        given = values.astype(np.float32), codes, labels.astype(np.int32)
        for _ in range(epochs):
            order = rng.permutation(len(labels))
            self._epoch(*(part[order] for part in given), np.float32(rate))
        self._settle_unknown(codes)

    def __call__(self, values: np.ndarray, codes: np.ndarray) -> np.ndarray:
        """Return probabilities (row, class)."""
        found = self._ask(values.astype(np.float32), codes.astype(np.int32))
        return np.asarray(found, np.float64)

    def _settle_unknown(self, codes: np.ndarray) -> None:
        """Give an unknown category the mean vector of the fitted rows."""
        for number in range(len(self.shape.categories)):
            table = self.model.get_layer(f"category_{number}").embeddings
            vectors = np.array(table.numpy())
            known = codes[:, number][codes[:, number] > 0]
            vectors[0] = vectors[known].mean(axis=0) if len(known) else 0
            table.assign(vectors)

    def _run_epoch(
        self, values: tf.Tensor, codes: tf.Tensor, labels: tf.Tensor, rate: tf.Tensor
    ) -> None:
        def step_at(start: tf.Tensor) -> tuple[tf.Tensor]:
            end = start + BATCH
            with tf.GradientTape() as tape:
                logits = self.model([values[start:end], codes[start:end]], training=True)
                losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels[start:end], logits)
                loss = tf.reduce_mean(losses)
                for variable in self._variables:
                    if len(variable.shape) == 2:
                        loss += self.shape.decay * tf.nn.l2_loss(variable.value)
            gradients = tape.gradient(loss, [variable.value for variable in self._variables])
            self._adam.apply([tf.convert_to_tensor(gradient) for gradient in gradients], rate)
            return (end,)

        count = tf.shape(labels)[0]
        tf.while_loop(lambda start: start < count, step_at, (tf.constant(0),))


def _build(shape: TabularShape) -> keras.Model:
    values = keras.Input((shape.features,), name="values")
    codes = keras.Input((len(shape.categories),), dtype="int32", name="codes")
    parts = [values]
    for number, count in enumerate(shape.categories):
        width = min(_WIDEST, (count + 1) // 2)
        parts.append(layers.Embedding(count, width, name=f"category_{number}")(codes[:, number]))
    x = layers.Concatenate()(parts) if len(parts) > 1 else values
    x = layers.Dense(shape.units, activation="relu", name="hidden")(x)
    if shape.dropout:
        x = layers.Dropout(shape.dropout, seed=0, name="dropout")(x)
    return keras.Model([values, codes], layers.Dense(shape.classes, name="logits")(x))


def _drawn(shape: tuple[int, ...], is_embedding: bool, rng: np.random.Generator) -> np.ndarray:
    if len(shape) == 1:
        return np.zeros(shape, np.float32)
    # Glorot and Bengio 2010 for matrices.
    limit = _START if is_embedding else np.sqrt(6 / sum(shape))
    return rng.uniform(-limit, limit, shape).astype(np.float32)
