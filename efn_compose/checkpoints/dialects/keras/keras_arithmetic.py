"""Arithmetic with constants before a Keras model's stem: "x / 127.5 - 1" as configurations store it.

tf_keras stores it as layers of class `TFOpLambda` with a function's name, Keras 3 as layers whose
class is the operation. Both keep the constant with what the layer is called with.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from efn_compose.checkpoints.dialects.keras.keras_config import LayerConfig

#: What each operation makes of scale and offset of the map so far.
_EFFECTS: dict[str, Callable[[Any, Any, Any], tuple[Any, Any]]] = {
    "multiply": lambda scale, offset, value: (scale * value, offset * value),
    "divide": lambda scale, offset, value: (scale / value, offset / value),
    "add": lambda scale, offset, value: (scale, offset + value),
    "subtract": lambda scale, offset, value: (scale, offset - value),
}
#: How configurations call them: a function's last part, or a class, in lower case.
_SPELLINGS = {
    "multiply": "multiply", "mul": "multiply",
    "truediv": "divide", "divide": "divide", "truedivide": "divide", "div": "divide",
    "add": "add", "subtract": "subtract", "sub": "subtract",
}  # fmt: skip


def after_arithmetic(
    layer: LayerConfig, scale: np.ndarray, offset: np.ndarray
) -> tuple[np.ndarray, np.ndarray] | None:
    """Return scale and offset (3,) after a layer that computes with one constant; None for others.

    Args:
        layer: A layer before the stem.
        scale: Factor of the pixels so far (3,).
        offset: What was added so far (3,).
    """
    name = str(layer.fields.get("function", layer.class_name)).lower().rpartition(".")[2]
    operation = _SPELLINGS.get(name)
    constant = None if operation is None else _constant(layer.inbound)
    if operation is None or constant is None:
        return None
    new_scale, new_offset = _EFFECTS[operation](scale, offset, np.broadcast_to(constant, 3))
    return new_scale, new_offset


def _constant(inbound: object) -> np.ndarray | None:
    """Return the constant, of one number or three, that follows a call's tensor; None otherwise.

    With the constant first, a difference or a quotient is another one.
    """
    call = inbound[0] if isinstance(inbound, list) and inbound else None
    if isinstance(call, dict):  # Keras 3: {"args": [tensor, 0.5], "kwargs": {}}
        parts = [*call.get("args", ()), *(call.get("kwargs") or {}).values()]
        is_tensor_first = bool(parts) and isinstance(parts[0], dict)
    elif isinstance(call, list) and call and isinstance(call[-1], dict):
        # tf_keras: ["layer", node, output, {"y": 0.5}]
        parts = [value for key, value in call[-1].items() if key != "name" and value is not None]
        is_tensor_first = isinstance(call[0], str) and not call[0].startswith("_CONSTANT")
    else:
        return None
    found = [floats(part) for part in parts if _is_constant(part)]
    return found[0] if len(found) == 1 and is_tensor_first else None


def _is_constant(value: object) -> bool:
    if value is None or isinstance(value, (str, bool)):
        return False
    try:
        return floats(value).size in (1, 3)
    except (TypeError, ValueError):
        return False


def floats(value: object) -> np.ndarray:
    """Return a number or nested list of numbers of a configuration as a flat float64 array.

    Example:
        >>> floats([[0.5, 1.0]])
        array([0.5, 1. ])
    """
    if isinstance(value, dict):
        value = value.get("config", {}).get("value", value)
    return np.asarray(value, np.float64).reshape(-1)
