"""The fields of Keras' layers: what each may be for a layer to compute what its operation means.

A field that is neither here, nor known to change nothing, nor unset is named; see `KnownFields`.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from efn_compose.arch import Operation
from efn_compose.checkpoints.dialects.keras.keras_config import LayerConfig, spelling
from efn_compose.checkpoints.dialects.stated_fields import KnownFields

#: What every layer has and what matters in training only, as do initializers and regularizers.
_HARMLESS = frozenset(
    {
        "name",
        "trainable",
        "batch_input_shape",
        "batch_shape",
        "input_shape",
        "input_spec",
        "autocast",
    }
    | {"seed", "rate", "noise_shape", "momentum", "synchronized", "fused", "renorm_momentum"}
    | {"supports_masking"}
)
_TRAINING = re.compile(r".*_(initializer|regularizer|constraint)$")
#: Arithmetic in half precision rounds otherwise and computes the same function.
_FLOATS = ("float16", "bfloat16", "float32", "float64", "mixed_float16", "mixed_bfloat16")
_LAST_AXIS = (-1, 3, [-1], [3])
_ONE = (1, [1, 1])

_FIELDS = {
    "conv": KnownFields(
        read=frozenset({"filters", "kernel_size", "strides", "padding", "use_bias", "activation"}),
        allowed={
            "data_format": ("channels_last",),
            "dilation_rate": _ONE,
            "groups": (1,),
            "depth_multiplier": (1,),
            "rank": (2,),
        },
    ),
    "norm": KnownFields(read=frozenset({"epsilon"}), allowed={"axis": _LAST_AXIS}),
    "pool": KnownFields(read=frozenset({"keepdims"}), allowed={"data_format": ("channels_last",)}),
    "dense": KnownFields(read=frozenset({"units", "use_bias", "activation"})),
    "padding": KnownFields(
        read=frozenset({"padding"}), allowed={"data_format": ("channels_last",)}
    ),
    "activation": KnownFields(read=frozenset({"activation", "function"})),
    "relu": KnownFields(
        read=frozenset({"max_value"}), allowed={"negative_slope": (0,), "threshold": (0,)}
    ),
    "shape": KnownFields(
        read=frozenset({"target_shape"}), allowed={"data_format": ("channels_last",)}
    ),
    "Rescaling": KnownFields(
        read=frozenset({"scale", "offset"}), allowed={"data_format": ("channels_last",)}
    ),
    "Normalization": KnownFields(
        read=frozenset({"mean", "variance", "invert"}), allowed={"axis": _LAST_AXIS}
    ),
    "plain": KnownFields(read=frozenset({"function"})),
}
_KINDS = {"depthwise": "conv", "squeeze": "pool"}


def field_problems(layer: LayerConfig, kind: str, accepted: Iterable[str]) -> list[str]:
    """Return a line for every field that changes what a layer of a kind computes.

    Args:
        layer: The layer.
        kind: "conv", "norm", "pool", "dense", "padding", "activation", "relu", "shape" or "plain";
            the kind of an operation; "Rescaling" or "Normalization".
        accepted: Fields that the user knows to change nothing.

    Example:
        >>> layer = LayerConfig("Conv2D", "stem_conv", {"groups": 2, "kernel_initializer": "ones"})
        >>> field_problems(layer, "conv", ())
        ["- Conv2D 'stem_conv': groups = 2; allowed: 1"]
    """
    known = _FIELDS[_KINDS.get(kind, kind)]
    fields = {
        name: value
        for name, value in layer.fields.items()
        if name not in _HARMLESS and not _TRAINING.fullmatch(name) and name != "dtype"
    }
    expected = ("center", "scale") if kind == "norm" else ()
    lines = [
        f"- {where(layer)}: {name} = {layer.fields[name]!r}; allowed: True"
        for name in expected
        if layer.fields.get(name) is False and name not in accepted
    ]
    fields = {name: value for name, value in fields.items() if name not in expected}
    policy = dtype_name(layer.fields.get("dtype"))
    if policy not in _FLOATS and "dtype" not in accepted:
        lines.append(f"- {where(layer)}: dtype = {policy!r}; allowed: {', '.join(_FLOATS)}")
    return lines + known.problems(fields, where(layer), accepted)


def shape_problems(
    layer: LayerConfig, operation: Operation, accepted: Iterable[str], classes: int | None = None
) -> list[str]:
    """Return a line for every field that does not go with a tensor of the file.

    Args:
        layer: A layer with tensors.
        operation: What it computes in the network.
        accepted: Fields that the user knows to change nothing.
        classes: Width of the classifier, None for any.

    Example:
        >>> from efn_compose.arch import arch_spec, walk
        >>> layer = LayerConfig("Conv2D", "stem_conv", {"filters": 32, "strides": [1, 1]})
        >>> shape_problems(layer, walk(arch_spec("b0"))[0], ())
        ["- Conv2D 'stem_conv': strides = [1, 1]; allowed: [2, 2]"]
    """
    expected: dict[str, Any] = {}
    if operation.kind in ("conv", "depthwise"):
        expected = {
            "kernel_size": [operation.kernel] * 2,
            "strides": [operation.stride] * 2,
            "use_bias": operation.has_bias,
        }
    if operation.kind == "conv":
        expected["filters"] = operation.out_channels
    if operation.kind == "dense":
        expected = {"use_bias": True} | ({} if classes is None else {"units": classes})
    lines = []
    for name, value in expected.items():
        received = layer.fields.get(name, value)
        same = pair(received) if isinstance(value, list) else received
        if same != value and name not in accepted:
            lines.append(f"- {where(layer)}: {name} = {received!r}; allowed: {value!r}")
    return lines


def where(layer: LayerConfig) -> str:
    """Return what messages call a layer.

    Example:
        >>> where(LayerConfig("Conv2D", "stem_conv", {}))
        "Conv2D 'stem_conv'"
    """
    return f"{layer.package + '>' if layer.package else ''}{layer.class_name} {layer.name!r}"


def pair(value: object) -> list[Any]:
    """Return a number, or two of them, as two."""
    return list(value) if isinstance(value, (list, tuple)) else [value, value]


def dtype_name(value: object) -> str:
    """Return the name of a layer's type or policy, as configurations store it.

    Example:
        >>> dtype_name({"class_name": "Policy", "config": {"name": "mixed_float16"}})
        'mixed_float16'
    """
    if value is None:
        return "float32"
    if not isinstance(value, Mapping):
        return str(value)
    inner = value.get("config")
    is_map = "Map" in str(value.get("class_name"))
    named = inner.get("name") if isinstance(inner, Mapping) and not is_map else None
    return str(named or value.get("class_name"))


def activation_name(layer: LayerConfig) -> str:
    """Return the function of an activation layer, or of a layer's own activation; "linear" for none.

    Example:
        >>> activation_name(LayerConfig("ReLU", "a", {"max_value": 6.0}))
        'relu6'
    """
    if layer.class_name == "ReLU":
        limit = layer.fields.get("max_value")
        return {None: "relu", 6: "relu6"}.get(limit, f"relu up to {limit}")
    value = layer.fields.get("activation")
    return "linear" if value is None else spelling(value)
