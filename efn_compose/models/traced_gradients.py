"""Gives up what TensorFlow keeps of custom gradients, so that a traced network can be freed.

TensorFlow registers each custom gradient that it traces under a new name and never forgets it.
The registration holds the whole graph: some 20 MB for a small network. Swish has a custom gradient,
and so have depthwise convolutions on small maps.
"""

from collections.abc import MutableMapping
from typing import Any

from tensorflow.python.framework import ops

_PREFIX = "CustomGradient-"


class TracedGradients:
    """The custom gradients that are traced from now on, until they are given up.

    Example:
        >>> traced = TracedGradients()
        >>> traced.forget()  # once nothing that was traced since is needed
        0
    """

    def __init__(self) -> None:
        self._before = frozenset(_registered())

    def forget(self) -> int:
        """Give up what was traced since; return how many custom gradients that were.

        What was traced since can still be run, but its gradient cannot be traced any more.
        """
        registered = _registered()
        names = [
            name for name in registered if name.startswith(_PREFIX) and name not in self._before
        ]
        for name in names:
            del registered[name]
        return len(names)


def _registered() -> MutableMapping[str, Any]:
    # No public function takes a name back. A later TensorFlow without this table keeps its graphs.
    return getattr(ops.gradient_registry, "_registry", {})
