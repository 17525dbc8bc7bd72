"""Who reads whom in a stored Keras configuration: layers followed in the order they compute.

Functional and sequential models, nested in each other, of Keras 3, tf_keras and older Keras.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from efn_compose.checkpoints.dialects.keras.keras_config import LayerConfig, layer_config

Value = TypeVar("Value")


@dataclass(frozen=True)
class _Call:
    """One call of a layer: what it reads as (layer, call, output), and its other arguments."""

    reads: tuple[tuple[str, int, int], ...]
    options: Mapping[str, Any]


@dataclass(frozen=True)
class Computation(Generic[Value]):
    """What a layer makes of values.

    Args:
        layer: Called with a layer, the values it reads, and the options of the call; returns its
            value.
    """

    layer: Callable[[LayerConfig, Sequence[Value], Mapping[str, Any]], Value]

    def run(
        self, model: Mapping[str, Any], inputs: Sequence[Value], options: Mapping[str, Any]
    ) -> list[Value]:
        """Follow a model's layers; return its outputs.

        Args:
            model: The configuration of a model: class name and config.
            inputs: What its inputs are.
            options: The options that the model is called with, such as `training`.
        """
        inner = model.get("config")
        layers = inner.get("layers") if isinstance(inner, Mapping) else inner
        nodes = [node for node in layers or () if isinstance(node, Mapping)]
        if isinstance(inner, Mapping) and inner.get("output_layers"):
            return self._functional(inner, nodes, inputs, options)
        values = list(inputs)
        for node in nodes:
            values = self._call(node, values, options)
        return values

    def _functional(
        self,
        inner: Mapping[str, Any],
        nodes: Sequence[Mapping[str, Any]],
        inputs: Sequence[Value],
        options: Mapping[str, Any],
    ) -> list[Value]:
        entries = [name for name, _, _ in _references(inner.get("input_layers"))]
        outputs: dict[tuple[str, int], list[Value]] = {}
        waiting = []
        for node in nodes:
            name = _name(node)
            if name in entries:
                given = inputs[min(entries.index(name), len(inputs) - 1)]
                outputs[name, 0] = self._call(node, [given], options)
            else:
                calls = enumerate(_calls(node.get("inbound_nodes")))
                waiting += [(node, number, call) for number, call in calls]
        while waiting:
            later = []
            for node, number, call in waiting:
                read = [_output(outputs, reference) for reference in call.reads]
                if any(value is None for value in read):
                    later.append((node, number, call))
                    continue
                values = [value for value in read if value is not None]
                outputs[_name(node), number] = self._call(node, values, {**options, **call.options})
            if len(later) == len(waiting):
                break
            waiting = later
        found = [_output(outputs, reference) for reference in _references(inner["output_layers"])]
        return [value for value in found if value is not None]

    def _call(
        self, node: Mapping[str, Any], values: Sequence[Value], options: Mapping[str, Any]
    ) -> list[Value]:
        inner = node.get("config")
        if isinstance(inner, list) or (isinstance(inner, Mapping) and "layers" in inner):
            return self.run(node, values, options)
        wrapped = inner.get("layer") if isinstance(inner, Mapping) else None
        if isinstance(wrapped, Mapping):
            return self._call(wrapped, values, options)
        return [self.layer(layer_config(node), values, options)]


def _name(node: Mapping[str, Any]) -> str:
    inner = node.get("config")
    named = inner.get("name") if isinstance(inner, Mapping) else None
    return str(node.get("name") or named or "")


def _output(
    outputs: Mapping[tuple[str, int], list[Value]], reference: tuple[str, int, int]
) -> Value | None:
    """Return a call's output; nested models count their calls from one on in Keras 2."""
    name, call, index = reference
    found = outputs.get((name, call))
    if found is None:
        last = max((number for known, number in outputs if known == name), default=None)
        found = None if last is None else outputs[name, last]
    return None if not found else found[min(index, len(found) - 1)]


def _references(value: object) -> list[tuple[str, int, int]]:
    """Return all (layer, call, output) in a nested list, or in the tensors of Keras 3."""
    if isinstance(value, Mapping):
        history = (value.get("config") or {}).get("keras_history")
        items = [history] if history else list(value.values())
        return [found for item in items for found in _references(item)]
    if not isinstance(value, (list, tuple)):
        return []
    if (
        len(value) >= 3
        and isinstance(value[0], str)
        and all(isinstance(n, int) for n in value[1:3])
    ):
        return [(value[0], value[1], value[2])]
    return [found for item in value for found in _references(item)]


def _calls(inbound: object) -> list[_Call]:
    calls = []
    for call in inbound if isinstance(inbound, (list, tuple)) else ():
        if isinstance(call, Mapping):
            options = call.get("kwargs") or {}
            reads = _references(call.get("args")) + _references(options)
        else:
            options = _legacy_options(call)
            reads = _references(call) + _references(list(options.values()))
        calls.append(_Call(tuple(reads), options))
    return calls


def _legacy_options(call: object) -> dict[str, Any]:
    """Return the arguments that Keras 2 stores as the fourth part of each tensor."""
    if not isinstance(call, (list, tuple)):
        return {}
    if len(call) == 4 and isinstance(call[0], str):
        return dict(call[3]) if isinstance(call[3], Mapping) else {}
    merged: dict[str, Any] = {}
    for part in call:
        merged |= _legacy_options(part)
    return merged
