"""Does a stored Keras configuration compute the network that its tensors belong to?

The configuration is followed from the image on. Each layer is an operation of the network's walk, or
changes nothing, or is named as a problem. No layer is ever built.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from efn_compose.arch import HEAD_LAYER, IMAGE, ArchSpec, Conventions, Operation, body, walk
from efn_compose.checkpoints.dialects.keras.keras_config import ACTIVATIONS, LayerConfig
from efn_compose.checkpoints.dialects.keras.keras_fields import (
    activation_name,
    field_problems,
    shape_problems,
    where,
)
from efn_compose.checkpoints.dialects.keras.keras_padding import Pads, Sides, conv_padding, pads_of
from efn_compose.checkpoints.dialects.keras.keras_wiring import Computation

#: Layers that hand on what they read in inference.
_IDLE = frozenset(
    {"InputLayer", "Dropout", "SpatialDropout2D", "FixedDropout", "GaussianNoise"}
    | {"GaussianDropout", "Identity", "ActivityRegularization", "DropPath"}
)
#: Functions that turn logits into probabilities; the order of classes stays.
_OUTPUTS = ("linear", "softmax", "sigmoid", "log_softmax")


@dataclass(frozen=True)
class _Value:
    """What a layer puts out: an operation's output, or something else.

    Args:
        name: The operation, "" for something else.
        words: What messages call it.
        sides: Height and width in pixels, None where the file leaves them open.
        pads: Zeros around it, of height and width.
    """

    name: str
    words: str
    sides: Sides = (None, None)
    pads: Pads = ((0, 0), (0, 0))


@dataclass
class Trace:
    """What following a configuration has found.

    Args:
        problems: A line for every field or wire that makes another function.
        head_problem: Why the dense layer is no classifier of this network, None if it is one.
        notes: What is worth knowing and changes nothing.
        activations: Function to the layers that compute it.
        epsilons: Epsilon of BatchNorm to the layers that have it.
        paddings: For each convolution, the conventions that its padding fits.
    """

    problems: list[str] = field(default_factory=list)
    head_problem: str | None = None
    notes: list[str] = field(default_factory=list)
    activations: dict[str, list[str]] = field(default_factory=dict)
    epsilons: dict[float, list[str]] = field(default_factory=dict)
    paddings: dict[str, frozenset[str]] = field(default_factory=dict)

    def differences(self, conventions: Conventions, accepted: Iterable[str] = ()) -> list[str]:
        """Return a line for every layer that computes otherwise than the conventions say.

        Args:
            conventions: The conventions that the dialect has found.
            accepted: Fields that the user knows to change nothing.
        """
        lines = []
        for name, layers in self.activations.items():
            if ACTIVATIONS[name] != conventions.activation and "activation" not in accepted:
                lines.append(
                    f"- {_some(layers)}: activation = {name!r}; the network's: {conventions.activation!r}"
                )
        for epsilon, layers in self.epsilons.items():
            if epsilon != conventions.bn_epsilon and "epsilon" not in accepted:
                lines.append(
                    f"- {_some(layers)}: epsilon = {epsilon:g}; the network's: {conventions.bn_epsilon:g}"
                )
        others = [name for name, fits in self.paddings.items() if conventions.padding not in fits]
        if others and "padding" not in accepted:
            lines.append(
                f"- {_some(others)}: padding is not {conventions.padding!r}, the network's; stride-2 "
                "layers pad 'same' as TensorFlow does, or symmetrically as PyTorch does"
            )
        return lines


def trace_network(
    config: Mapping[str, Any],
    spec: ArchSpec,
    operations: Mapping[str, str],
    accepted: Iterable[str] = (),
    classes: int | None = None,
) -> Trace:
    """Follow a configuration through a network.

    Args:
        config: A model's configuration: parsed JSON.
        spec: The network.
        operations: Layer in the configuration to layer of the network, for all with tensors.
        accepted: Fields and layers that the user knows to change nothing.
        classes: Width of the classifier in the file.
    """
    tracer = _Tracer(spec, operations, tuple(accepted), classes)
    Computation(tracer.layer).run(config, [_Value(IMAGE, "the image")], {})
    missing = [name for name in tracer.body if name not in tracer.reached]
    if missing and not tracer.found.problems:
        tracer.found.problems.append(f"- no layer computes {_some(missing)}")
    return tracer.found


def _some(names: Sequence[str]) -> str:
    rest = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(repr(name) for name in names[:3]) + rest


class _Tracer:
    """Says of each layer which operation's output it puts out."""

    def __init__(
        self,
        spec: ArchSpec,
        operations: Mapping[str, str],
        accepted: tuple[str, ...],
        classes: int | None,
    ) -> None:
        self.accepted = accepted
        self.classes = classes
        self.found = Trace()
        self.reached: set[str] = set()
        self.body = [operation.name for operation in body(spec)]
        named = {operation.name: operation for operation in walk(spec, 1)}
        self.layers = {layer: named[name] for layer, name in operations.items() if name in named}
        self.pooled = {
            one.name: one.out_channels for one in named.values() if one.kind in ("squeeze", "pool")
        }
        self.next = {(one.kind, frozenset(one.reads)): one for one in named.values()}

    def layer(
        self, layer: LayerConfig, values: Sequence[_Value], options: Mapping[str, Any]
    ) -> _Value:
        """Return what a layer puts out."""
        operation = self.layers.get(layer.name)
        if operation is not None and values:
            return self._with_tensors(layer, operation, values[0], options)
        strange = next((value for value in values if not value.name), None)
        if strange is not None or not values:
            return strange or _Value("", where(layer))
        if layer.name in self.accepted:
            return values[0]
        kind = f"{layer.package}>{layer.class_name}" if layer.package else layer.class_name
        if layer.class_name in _IDLE and options.get("training") is not True:
            if values[0].name != IMAGE:
                self._check(layer, "plain")
            sides = _declared_sides(layer)
            return replace(values[0], sides=sides) if sides else values[0]
        if kind == "ZeroPadding2D":
            self._check(layer, "padding")
            return replace(values[0], pads=pads_of(layer.fields.get("padding", 1)))
        if any(value.pads != ((0, 0), (0, 0)) for value in values):
            return _Value("", f"{where(layer)} of a padded map")
        if all(value.name == IMAGE for value in values):
            return self._in_front(layer, values[0], options)
        if kind in ("Activation", "ReLU"):
            self._check(layer, "relu" if kind == "ReLU" else "activation")
            return self._activated(values[0], activation_name(layer), where(layer))
        return self._without_tensors(layer, kind, values)

    def _in_front(self, layer: LayerConfig, value: _Value, options: Mapping[str, Any]) -> _Value:
        """Return the image after a layer in front of the stem; scalings are read elsewhere."""
        if options.get("training") is True and layer.class_name.startswith("Rand"):
            self.found.problems.append(f"- {where(layer)}: called with training = True")
        if layer.class_name not in ("Resizing", "CenterCrop", "RandomCrop"):
            return value
        height, width = layer.fields.get("height"), layer.fields.get("width")
        self.found.notes.append(
            f"{where(layer)} before the stem is left out: give images of {height} x {width} pixels"
        )
        return replace(value, sides=(height, width))

    def _check(self, layer: LayerConfig, kind: str) -> None:
        self.found.problems += field_problems(layer, kind, self.accepted)

    def _with_tensors(
        self, layer: LayerConfig, operation: Operation, value: _Value, options: Mapping[str, Any]
    ) -> _Value:
        if operation.name == HEAD_LAYER:
            self._look_at_head(layer, operation, value)
            return self._reach(operation, value.sides)
        self._check(layer, operation.kind)
        self.found.problems += shape_problems(layer, operation, self.accepted)
        if value.name != operation.reads[0] and layer.name not in self.accepted:
            self.found.problems.append(
                f"- {where(layer)} reads {value.words}; the network's reads {operation.reads[0]!r}"
            )
        if options.get("training") is True and operation.kind == "norm":
            self.found.problems.append(f"- {where(layer)}: called with training = True")
        if operation.kind == "norm":
            epsilon = float(layer.fields.get("epsilon", 1e-3))
            self.found.epsilons.setdefault(epsilon, []).append(layer.name)
            return self._reach(operation, value.sides)
        fits, sides = conv_padding(
            layer.fields.get("padding", "valid"),
            value.pads,
            operation.kernel,
            operation.stride,
            value.sides,
        )
        self.found.paddings[layer.name] = fits
        return self._activated(self._reach(operation, sides), activation_name(layer), where(layer))

    def _look_at_head(self, layer: LayerConfig, operation: Operation, value: _Value) -> None:
        lines = field_problems(layer, "dense", self.accepted)
        lines += shape_problems(layer, operation, self.accepted, self.classes)
        function = activation_name(layer)
        if value.name != operation.reads[0]:
            self.found.head_problem = f"reads {value.words} and not the averages of the last map"
        elif function not in _OUTPUTS and "activation" not in self.accepted:
            self.found.head_problem = f"has the activation {function!r}"
        elif lines:
            self.found.head_problem = "; ".join(line.removeprefix("- ") for line in lines)
        elif function == "sigmoid":
            self.found.notes.append(
                f"{where(layer)} ends in a sigmoid for each class; the logits are the same"
            )

    def _activated(self, value: _Value, function: str, words: str) -> _Value:
        """Return a value after a function, which is the network's next operation or linear."""
        operation = self.next.get(("activation", frozenset({value.name})))
        if function == "linear" or not value.name:
            return value
        if operation is None:
            return _Value("", f"{words} ({function!r})")
        is_gate = operation.function == "sigmoid"
        if function not in (("sigmoid",) if is_gate else ACTIVATIONS):
            if "activation" not in self.accepted:
                allowed = "'sigmoid'" if is_gate else ", ".join(map(repr, ACTIVATIONS))
                self.found.problems.append(
                    f"- {words}: activation = {function!r}; allowed: {allowed}"
                )
        elif not is_gate:
            self.found.activations.setdefault(function, []).append(words)
        return self._reach(operation, value.sides)

    def _without_tensors(self, layer: LayerConfig, kind: str, values: Sequence[_Value]) -> _Value:
        """Return what pooling, reshaping, adding or multiplying puts out."""
        names = frozenset(value.name for value in values)
        function = str(layer.fields.get("function", "")).rpartition(".")[2]
        words = function if kind in ("TFOpLambda", "SlicingOpLambda") else kind
        if words in ("GlobalAveragePooling2D", "Mean", "reduce_mean", "mean"):
            operation = self.next.get(("squeeze", names)) or self.next.get(("pool", names))
            is_whole = words == "GlobalAveragePooling2D" or _averages_map(layer)
            if operation is not None and is_whole:
                self._check(layer, "pool" if words == "GlobalAveragePooling2D" else "plain")
                return self._reach(operation, (1, 1))
        if words in ("Reshape", "Flatten") and values[0].name in self.pooled:
            shape = layer.fields.get("target_shape")
            is_map = shape in ([1, 1, self.pooled[values[0].name]], [1, 1, -1])
            if is_map or (values[0].name == "pool" and len(shape or [-1]) == 1):
                self._check(layer, "shape")
                return values[0]
        if words in ("Multiply", "multiply", "mul"):
            operation = self.next.get(("excite", names))
        elif words in ("Add", "add", "AddV2"):
            operation = self.next.get(("add", names))
        else:
            operation = None
        if operation is None or len(values) != 2:
            return _Value("", where(layer))
        self._check(layer, "plain")
        sides = next(value.sides for value in values if value.name == operation.reads[0])
        return self._reach(operation, sides)

    def _reach(self, operation: Operation, sides: Sides) -> _Value:
        self.reached.add(operation.name)
        return _Value(operation.name, repr(operation.name), sides)


def _declared_sides(layer: LayerConfig) -> Sides | None:
    shape = layer.fields.get("batch_shape") or layer.fields.get("batch_input_shape")
    if layer.class_name != "InputLayer" or not isinstance(shape, list) or len(shape) != 4:
        return None
    return shape[1], shape[2]


def _averages_map(layer: LayerConfig) -> bool:
    """Return whether an operation takes the mean over height and width."""
    text = str(layer.inbound) + str(dict(layer.fields))
    return any(axes in text for axes in ("[1, 2]", "(1, 2)", "[-3, -2]"))
