"""Reads the three HDF5 layouts that Keras has written, without running their configuration.

- "h5-weights": `save_weights("x.h5")` of tf-keras and older Keras; root
  attribute `layer_names`, one group per layer with attribute `weight_names`;
- "h5-model": `save("x.h5")`; the same below `model_weights`, plus `model_config`;
- "keras-weights": `save_weights("x.weights.h5")` of Keras 3 and tf-keras;
  nested groups with a group `vars` of numbered datasets each.

Tensors come out as `layer/role`: "stem_conv/kernel", "block1a_bn/gamma".
"""

import json
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from efn_compose.checkpoints.containers.keras.hdf5_safety import (
    damage_refused,
    numeric_key,
    read_names,
    safe_attribute,
    safe_member,
    walk_groups,
)
from efn_compose.checkpoints.containers.keras.hdf5_source import Hdf5Source
from efn_compose.checkpoints.containers.raw import RawCheckpoint, RawTensor
from efn_compose.checkpoints.containers.source_file import SourceFile
from efn_compose.checkpoints.containers.values import numpy_dtype
from efn_compose.errors import UnreadableCheckpointError, UnsafeCheckpointError

#: Roles of the numbered variables of a `.weights.h5` group, by class and count.
_ROLES: dict[str, tuple[tuple[str, ...], ...]] = {
    "conv2d": (("kernel",), ("kernel", "bias")),
    "depthwise_conv2d": (("depthwise_kernel",), ("depthwise_kernel", "bias")),
    "dense": (("kernel",), ("kernel", "bias")),
    "batch_normalization": (("gamma", "beta", "moving_mean", "moving_variance"),),
    "normalization": (("mean", "variance", "count"),),
}
#: Groups that list the layers of a model, by Keras version.
LAYER_LISTS = ("layers", "_layer_checkpoint_dependencies")
_BN_ROLES = ("gamma", "beta", "moving_mean", "moving_variance")


def read(path: str | os.PathLike[str], *, container: str = "", ema: bool = True) -> RawCheckpoint:
    """Read the tensors of an HDF5 file that Keras or tf-keras wrote.

    Args:
        path: The `.h5`, `.hdf5` or `.weights.h5` file.
        container: The container that the caller recognised; the file itself decides.
        ema: Without effect: Keras files hold one set of weights.

    Returns:
        Names, shapes and types at once, values on demand. `metadata` holds
        "keras_version" and "model_config" (parsed JSON, never executed) where
        the file has them, "layer_classes" (number of layers by class in snake case)
        for a `.weights.h5`, and "composites" (nested models and composite layers) and
        "layer_names" (the outermost layers) for the others.

    Raises:
        UnreadableCheckpointError: Missing, truncated, or of no known layout.
        UnsafeCheckpointError: The file points outside itself, declares more than
            it stores, or its configuration holds a Lambda layer.

    Example:
        >>> raw = read("efficientnetb0.h5")  # doctest: +SKIP
        >>> raw.container  # doctest: +SKIP
        'h5-weights'
    """
    path = Path(path)
    if not path.is_file():
        raise UnreadableCheckpointError(f"{path}: no such file.")
    return read_hdf5(Hdf5Source(lambda: path, SourceFile(path)), path)


def read_hdf5(
    source: Hdf5Source, path: Path, container: str = "", config: dict[str, Any] | None = None
) -> RawCheckpoint:
    """Read the tensors of a Keras HDF5 file.

    Args:
        source: The file.
        path: What messages and the result call it.
        container: Overrides the container's name (a `.keras` zip holds such a file).
        config: The model's configuration, where it is stored outside the file.
    """
    try:
        with damage_refused(path):
            return _read_layout(source, path, container, config)
    finally:
        source.close()


def _read_layout(
    source: Hdf5Source, path: Path, container: str, config: dict[str, Any] | None
) -> RawCheckpoint:
    file = source.file
    notes: list[str] = []
    metadata: dict[str, Any] = {}
    if "model_weights" in file:
        kind, root = "h5-model", safe_member(file, "model_weights")
        config = _model_config(file, path)
    else:
        kind, root = "h5-weights", file
    if config is not None:
        refuse_lambda(config, str(path))
        metadata["model_config"] = config
    version = safe_attribute(root, "keras_version")
    if version is None:
        version = safe_attribute(file, "keras_version")
    if version is not None:
        metadata["keras_version"] = version.decode() if isinstance(version, bytes) else str(version)
    layers = read_names(root, "layer_names")
    if layers is not None:
        composites: list[str] = []
        tensors = _by_name(_legacy_tensors(source, root, layers, notes, composites), path)
        metadata["composites"] = tuple(composites)
        metadata["layer_names"] = tuple(layers)
        notes += [f"unwrapped the nested model or composite layer {name!r}" for name in composites]
        if "optimizer_weights" in file:
            notes.append("optimizer_weights ignored: training state")
    elif any(name in file for name in ("layers", "_layer_checkpoint_dependencies", "vars")):
        kind = "keras-weights"
        groups = list(walk_groups(file))
        tensors = _by_name(_numbered_tensors(source, groups, config, notes), path)
        metadata["layer_classes"] = _layer_classes(groups)
    else:
        raise UnreadableCheckpointError(
            f"{path}: an HDF5 file, but none that Keras wrote (neither 'layer_names' nor groups "
            f"'layers' and 'vars'). Found at its root: {', '.join(sorted(file)[:8]) or 'nothing'}."
        )
    if not tensors:
        raise UnreadableCheckpointError(f"{path}: the file holds no weights.")
    return RawCheckpoint(
        path, container or kind, tensors, metadata, tuple(notes), release=source.close
    )


def refuse_lambda(config: object, where: str) -> None:
    """Raise `UnsafeCheckpointError` if a model configuration holds a Lambda layer.

    A Lambda carries Python code. It is never run here, but without it nobody can
    know the function of the network.

    Args:
        config: Parsed JSON.
        where: File name for the message.
    """
    pending = [config]
    while pending:
        node = pending.pop()
        if isinstance(node, dict):
            if node.get("class_name") in ("Lambda", "__lambda__"):
                name = (node.get("config") or {}).get("name") if node.get("config") else None
                raise UnsafeCheckpointError(
                    f"{where}: the model's configuration holds a Lambda layer"
                    f"{f' {name!r}' if name else ''}, which carries Python code; refused. Save only "
                    "the weights of a model without it."
                )
            pending.extend(node.values())
        elif isinstance(node, list):
            pending.extend(node)


def layer_names_by_path(config: dict[str, Any], prefix: str = "") -> dict[str, str]:
    """Return the names of a configuration's layers by their group in a `.weights.h5` file.

    Groups are called by class in snake case, numbered in layer order:
    "layers/conv2d", "layers/conv2d_1", "layers/functional/layers/conv2d".

    Args:
        config: A model's configuration: parsed JSON.
        prefix: Group of the model itself.
    """
    names: dict[str, str] = {}
    counts: dict[str, int] = {}
    inner = config.get("config")
    layers = inner.get("layers") if isinstance(inner, dict) else None
    for layer in layers if isinstance(layers, list) else ():
        if not isinstance(layer, dict) or not isinstance(layer.get("config"), dict):
            continue
        stem = _snake_case(str(layer.get("class_name", "")).rpartition(">")[2])
        number = counts.get(stem, 0)
        counts[stem] = number + 1
        path = f"{prefix}layers/{stem}_{number}" if number else f"{prefix}layers/{stem}"
        names[path] = str(layer["config"].get("name", stem))
        names.update(layer_names_by_path(layer, f"{path}/"))
        wrapped = layer["config"].get("layer")
        if isinstance(wrapped, dict):  # TimeDistributed and its like
            names.update(layer_names_by_path(wrapped, f"{path}/layer/"))
    return names


def _snake_case(name: str) -> str:
    """Return a class name as Keras spells it in group names ("DepthwiseConv2D": depthwise_conv2d)."""
    name = re.sub(r"\W+", "", name)
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()


def parse_config(text: str | bytes, where: str) -> dict[str, Any]:
    """Return a model configuration from JSON.

    Raises:
        UnreadableCheckpointError: The text is not a JSON object.
    """
    try:
        config = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UnreadableCheckpointError(
            f"{where}: its model configuration is not JSON ({error})."
        ) from None
    if not isinstance(config, dict):
        raise UnreadableCheckpointError(f"{where}: its model configuration is not a JSON object.")
    return config


def _model_config(file: object, path: Path) -> dict[str, Any] | None:
    text = safe_attribute(file, "model_config")
    return None if text is None else parse_config(text, str(path))


def _by_name(tensors: Iterator[RawTensor], path: Path) -> dict[str, RawTensor]:
    """Return tensors by name; two layers of one name (an ensemble) are refused."""
    named: dict[str, RawTensor] = {}
    for tensor in tensors:
        if tensor.name in named:
            raise UnreadableCheckpointError(
                f"{path}: two tensors are called {tensor.name!r}; the file holds more than one "
                "network. Save each network to a file of its own."
            )
        named[tensor.name] = tensor
    return named


def _legacy_tensors(
    source: Hdf5Source, root: object, layers: list[str], notes: list[str], composites: list[str]
) -> Iterator[RawTensor]:
    """Yield tensors of a layout with names in attributes, in the model's layer order."""
    for layer in layers:
        group = safe_member(root, layer)
        weights = read_names(group, "weight_names") or []
        parents = {weight.rpartition("/")[0] for weight in weights}
        if len(parents) > 1:
            composites.append(layer)
        for weight in weights:
            parent, _, role = weight.rpartition("/")
            # A layer's own group names it; TF1 sessions made weight names unique ("stem_conv_1").
            owner = parent.rpartition("/")[2] if len(parents) > 1 else layer
            if role.startswith("seed_generator"):
                notes.append(f"{layer}: seed generator state ignored")
                continue
            dataset = safe_member(group, weight)
            yield _raw_tensor(f"{owner}/{role.removesuffix(':0')}", dataset, source)


def _numbered_tensors(
    source: Hdf5Source,
    groups: Sequence[tuple[str, Any]],
    config: dict[str, Any] | None,
    notes: list[str],
) -> Iterator[RawTensor]:
    """Yield tensors of a layout with numbered variables, in numeric order per class.

    Keras 3 stores each layer's name beside its variables; tf-keras and early
    Keras 3 do not. There the configuration gives the names, and without one the
    tensors keep the numbers ("conv2d_5/kernel").
    """
    names = layer_names_by_path(config) if config else {}
    for path, group in groups:
        parts = path.split("/")
        if parts[-1] != "vars" or not len(group):
            continue
        if parts[0] in ("optimizer", "metrics"):
            note = f"{parts[0]} ignored: training state"
            if note not in notes:
                notes.append(note)
            continue
        owner = parts[-2] if len(parts) > 1 else "model"
        stored_name = safe_attribute(group, "name")
        if stored_name is None:
            layer = names.get("/".join(parts[:-1]), owner)
            if len(parts) > 2 and parts[-3] not in LAYER_LISTS:
                # A part of a composite layer, stored under the name of its attribute.
                layer = f"{names.get('/'.join(parts[:-2]), parts[-3])}/{owner}"
        else:
            layer = stored_name.decode() if isinstance(stored_name, bytes) else str(stored_name)
        if "seed_generator" in owner or "seed_generator" in layer:
            continue
        keys = sorted(group, key=numeric_key)
        datasets = [safe_member(group, key) for key in keys]
        roles = _numbered_roles(owner, [dataset.shape for dataset in datasets], keys)
        for role, dataset in zip(roles, datasets, strict=True):
            yield _raw_tensor(f"{layer}/{role}", dataset, source)


def _layer_classes(groups: Sequence[tuple[str, Any]]) -> dict[str, int]:
    """Return the number of layers of each class, from the names of their groups."""
    counts: dict[str, int] = {}
    for path, _ in groups:
        *parents, name = path.split("/")
        if parents and parents[-1] in LAYER_LISTS:
            stem, number = numeric_key(name)
            stem = stem if number >= 0 else name
            counts[stem] = counts.get(stem, 0) + 1
    return counts


def _numbered_roles(owner: str, shapes: list[tuple[int, ...]], keys: list[str]) -> list[str]:
    """Return the roles of numbered variables, from the class in the group's name or from shapes."""
    stem = numeric_key(owner)[0]
    for candidate in _ROLES.get(stem, ()):
        if len(candidate) == len(shapes):
            return list(candidate)
    # Composite layers name their parts by attribute ("bn1", "depthwise"), not by class.
    if owner == "depthwise" and len(shapes) == 1:
        return ["depthwise_kernel"]
    ranks = [len(shape) for shape in shapes]
    if ranks == [1, 1, 1, 1]:
        return list(_BN_ROLES)
    if ranks in ([4], [4, 1], [2], [2, 1]):
        return ["kernel", "bias"][: len(shapes)]
    return keys


def _raw_tensor(name: str, dataset: Any, source: Hdf5Source) -> RawTensor:
    """Return a lazy tensor over an open dataset that has passed the safety checks."""
    dtype = dataset.dtype
    is_bfloat16 = dtype.kind == "V" and safe_attribute(dataset, "dtype") in (
        "bfloat16",
        b"bfloat16",
    )
    if not is_bfloat16 and dtype.kind not in "fiub":
        raise UnreadableCheckpointError(
            f"{dataset.file.filename}: {dataset.name}: values of type {dtype} are no tensor."
        )

    stored = "bfloat16" if is_bfloat16 else str(dtype)
    load = source.loader(dataset, numpy_dtype("bfloat16") if is_bfloat16 else dtype)
    return RawTensor(name, tuple(dataset.shape), stored, load)
