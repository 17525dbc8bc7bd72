"""Lets traced networks be freed: TensorFlow keeps the graphs of custom gradients for good.

TensorFlow registers each custom gradient that it traces under a new name and never takes the name
back. The registration holds the whole graph: some 20 MB for a small network. Swish has a custom
gradient, and so have depthwise convolutions on small maps.
"""

from collections.abc import Callable, MutableMapping
from functools import wraps
from typing import Any

import tensorflow as tf
from tensorflow.python.framework import ops

#: Scaled pixels of any number of images of any size.
PIXELS = tf.TensorSpec((None, None, None, 3), tf.float32)
_PREFIX = "CustomGradient-"


def traced_once(function: Callable[..., Any], *signature: tf.TensorSpec) -> Any:
    """Return a `tf.function` that is traced once, and whose graph is freed with it.

    Its own gradient cannot be made: see `forgetting_gradients`.

    Args:
        function: Of tensors.
        signature: Their shapes and types.

    Example:
        >>> double = traced_once(lambda x: 2 * x, tf.TensorSpec((), tf.float32))
        >>> float(double(1.5))
        3.0
    """
    return tf.function(forgetting_gradients(function), input_signature=signature, autograph=False)


def forgetting_gradients(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that leaves no custom gradient registered when it is traced.

    Gradients inside the function are made while it is traced, as ever. Those of the traced function
    itself can no longer be made: it is for updates, and for answers that nobody differentiates.

    Args:
        function: Of tensors, to be given to `tf.function`.

    Example:
        >>> swish = tf.function(forgetting_gradients(tf.nn.silu), autograph=False)
        >>> float(swish(tf.constant(0.0)))
        0.0
    """

    @wraps(function)
    def traced(*tensors: Any) -> Any:
        registered = _registered()
        before = set(registered)
        try:
            return function(*tensors)
        finally:
            for name in [name for name in registered if name not in before]:
                if name.startswith(_PREFIX):
                    del registered[name]

    return traced


def _registered() -> MutableMapping[str, Any]:
    # No public function takes a name back. A later TensorFlow without this table keeps its graphs.
    return getattr(ops.gradient_registry, "_registry", {})
