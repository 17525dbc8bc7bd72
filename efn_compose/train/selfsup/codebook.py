"""A codebook: vectors are replaced by the nearest of some entries, which follow what they stand for."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

#: How slowly an entry forgets the vectors that it stood for.
DECAY = 0.99
#: An entry is dead where it stands for less than this share of what an average one does.
_DEAD = 0.05


class Codebook(keras.layers.Layer):
    """Vector quantisation with entries that are moving averages (van den Oord et al. 2017, appendix A.1).

    The gradient passes through as if nothing had been replaced.

    Args:
        entries: Number of entries.
        dimensions: Of each.
        name: Of the layer.
    """

    def __init__(self, entries: int, dimensions: int, name: str) -> None:
        super().__init__(name=name)
        self.entries, self.dimensions = entries, dimensions
        shape = (entries, dimensions)
        zeros, ones = keras.initializers.Zeros(), keras.initializers.Ones()
        self.codes = self.add_weight(shape=shape, initializer=zeros, trainable=False, name="codes")
        self.sums = self.add_weight(shape=shape, initializer=zeros, trainable=False, name="sums")
        self.counts = self.add_weight(
            shape=(entries,), initializer=ones, trainable=False, name="counts"
        )

    def call(self, vectors: Any) -> Any:
        """Return the entries in place of vectors (..., dimension)."""
        codes = tf.convert_to_tensor(self.codes.value)
        chosen = tf.gather(codes, nearest_entries(vectors, codes))
        return vectors + tf.stop_gradient(chosen - vectors)

    def draw(self, generator: np.random.Generator) -> None:
        """Draw normal entries that stand for nothing: the first update restarts them in its batch."""
        values = generator.standard_normal((self.entries, self.dimensions)).astype(np.float32)
        self.codes.assign(values)
        self.sums.assign(np.zeros_like(values))
        self.counts.assign(np.zeros(self.entries, np.float32))

    def follow(self, vectors: tf.Tensor, moment: tf.Tensor) -> None:
        """Move every entry towards the mean of the vectors that it stands for; restart dead ones.

        Args:
            vectors: (..., dimension) of one batch.
            moment: Number of the update, which decides where a dead entry restarts.
        """
        flat = tf.stop_gradient(tf.reshape(vectors, (-1, self.dimensions)))
        codes = tf.convert_to_tensor(self.codes.value)
        chosen = tf.one_hot(nearest_entries(flat, codes), self.entries)
        counts = DECAY * self.counts.value + (1 - DECAY) * tf.reduce_sum(chosen, axis=0)
        sums = DECAY * self.sums.value + (1 - DECAY) * tf.matmul(chosen, flat, transpose_a=True)
        total = tf.shape(flat)[0]
        average = tf.cast(total, tf.float32) / self.entries
        is_dead = counts < _DEAD * average
        seed = tf.stack([tf.cast(moment, tf.int32), self.entries])
        places = tf.random.stateless_uniform((self.entries,), seed, 0, total, tf.int32)
        counts = tf.where(is_dead, average, counts)
        sums = tf.where(is_dead[:, None], average * tf.gather(flat, places), sums)
        self.counts.assign(counts)
        self.sums.assign(sums)
        self.codes.assign(sums / counts[:, None])


def nearest_entries(vectors: tf.Tensor, codes: tf.Tensor) -> tf.Tensor:
    """Return the number of the nearest entry of each vector, int64 (...).

    Args:
        vectors: (..., dimension).
        codes: (entry, dimension).
    """
    # The vector's own length is the same for all entries.
    length = tf.reduce_sum(tf.square(codes), axis=1)
    return tf.argmin(length - 2 * tf.tensordot(vectors, codes, [[-1], [1]]), axis=-1)


def perplexity(chosen: np.ndarray, entries: int) -> float:
    """Return how many entries are used, weighed by how often: the exponential of the entropy.

    Args:
        chosen: Numbers of entries.
        entries: How many there are.

    Example:
        >>> round(perplexity(np.array([0, 1, 0, 1]), 8), 6)
        2.0
    """
    shares = np.bincount(chosen.ravel(), minlength=entries) / chosen.size
    shares = shares[shares > 0]
    return float(np.exp(-(shares * np.log(shares)).sum()))
