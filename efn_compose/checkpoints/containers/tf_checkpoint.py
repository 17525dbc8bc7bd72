"""Reads TensorFlow checkpoints and the `variables/` of a SavedModel, never its program.

Two generations exist. Name-based checkpoints (TF1: the official EfficientNet
releases) hold variables by name, each with its moving average as a twin
`name/ExponentialMovingAverage`. Object-based ones (TF2, tf-keras) hold them by
position in an object graph, which also records each variable's full name.
"""

import os
import re
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from efn_compose.checkpoints.containers.keras.saved_metadata import saved_model_config
from efn_compose.checkpoints.containers.raw import RawCheckpoint, RawTensor
from efn_compose.errors import UnreadableCheckpointError, UnsafeCheckpointError, describe_problems

EMA_SUFFIX = "/ExponentialMovingAverage"
OBJECT_GRAPH = "_CHECKPOINTABLE_OBJECT_GRAPH"
VALUE_SUFFIX = "/.ATTRIBUTES/VARIABLE_VALUE"
#: Lists under which a Keras 3 SavedModel names its variables a second time.
_REPEATED_LISTS = ("_all_variables/", "trainable_variables/", "non_trainable_variables/")


def read(path: str | os.PathLike[str], *, container: str = "", ema: bool = True) -> RawCheckpoint:
    """Read the variables of a TF checkpoint or SavedModel; imports TensorFlow.

    Args:
        path: The prefix ("model.ckpt" for "model.ckpt.index"), or the folder of a
            SavedModel, of which `variables/` and the configuration that tf_keras adds are opened.
        container: "tf-checkpoint" or "tf-saved-model".
        ema: Whether to take the moving averages, for which all published
            accuracies hold, where the file has them; False takes the raw weights.

    Returns:
        Tensors by variable name. `metadata["ema"]` says which set was taken:
        True, False, or None where the file holds one set only; "model_config" is the
        configuration of a SavedModel of tf_keras.

    Raises:
        UnreadableCheckpointError: A file is missing or damaged, or only some
            variables have a moving average.
        UnsafeCheckpointError: The index declares more than the data files hold.

    Example:
        >>> read("efficientnet-b0/model.ckpt").metadata["ema"]  # doctest: +SKIP
        True
    """
    path, config = Path(path), None
    if container == "tf-saved-model" or path.is_dir():
        container, prefix = "tf-saved-model", path / "variables" / "variables"
        config = saved_model_config(path)
    else:
        container, prefix = "tf-checkpoint", path
    stored_bytes = _data_bytes(prefix)
    reader = _Reader(prefix)
    shapes = {name: tuple(s) for name, s in reader.opened.get_variable_to_shape_map().items()}
    dtypes = {n: t.as_numpy_dtype for n, t in reader.opened.get_variable_to_dtype_map().items()}
    keys = {name: name for name in sorted(shapes)}
    notes: list[str] = []
    if OBJECT_GRAPH in keys:
        keys = _without_bookkeeping(keys, shapes, notes)
        keys = _object_names(reader.get(OBJECT_GRAPH), keys, ema, prefix, notes)
    keys, taken = _choose_set(keys, ema, prefix, notes)
    tensors = {}
    for name, key in keys.items():
        dtype = np.dtype(dtypes[key])
        declared = dtype.itemsize * int(np.prod(shapes[key], dtype=np.float64))
        if not dtype.hasobject and declared > stored_bytes:
            raise UnsafeCheckpointError(
                f"{prefix}: {key} declares {declared} bytes, the data files hold {stored_bytes}; "
                "refused."
            )
        tensors[name] = RawTensor(name, shapes[key], dtype.name, _loader(reader, key))
    metadata = {"ema": taken} | ({} if config is None else {"model_config": config})
    return RawCheckpoint(prefix, container, tensors, metadata, tuple(notes), release=reader.close)


def _data_bytes(prefix: Path) -> int:
    """Return the bytes of all data files of a checkpoint, checking that all are there."""
    if not Path(f"{prefix}.index").is_file():
        raise UnreadableCheckpointError(
            f"{prefix}: no {prefix.name}.index beside it. Name a TF checkpoint by its prefix, with "
            "the .index and all .data files in the same folder."
        )
    shards = sorted(prefix.parent.glob(f"{prefix.name}.data-?????-of-?????"))
    count = int(shards[0].name[-5:]) if shards else 1
    expected = [f"{prefix.name}.data-{n:05d}-of-{count:05d}" for n in range(count)]
    missing = [name for name in expected if not (prefix.parent / name).is_file()]
    if missing:
        raise UnreadableCheckpointError(
            describe_problems(f"{prefix}: data files are missing.", [f"- {n}" for n in missing])
        )
    return sum((prefix.parent / name).stat().st_size for name in expected)


def _open(prefix: Path) -> Any:
    try:
        import tensorflow as tf
    except ImportError:
        raise UnreadableCheckpointError(
            f"{prefix}: TensorFlow is needed to read its own checkpoints: pip install tensorflow"
        ) from None
    try:
        return tf.train.load_checkpoint(str(prefix))
    except (tf.errors.OpError, RuntimeError, ValueError, LookupError, TypeError) as error:
        raise UnreadableCheckpointError(
            f"{prefix}: TensorFlow cannot read the index ({error}). It is truncated or damaged."
        ) from None


class _Reader:
    """TensorFlow's reader, which keeps the data files open, and what it raises as errors of ours."""

    def __init__(self, prefix: Path) -> None:
        self._prefix = prefix
        self._reader: Any = None

    @property
    def opened(self) -> Any:
        """TensorFlow's reader."""
        if self._reader is None:
            self._reader = _open(self._prefix)
        return self._reader

    def close(self) -> None:
        """Let go of the files; another read opens them again."""
        self._reader = None

    def get(self, key: str) -> Any:
        """Return a variable's value."""
        import tensorflow as tf

        try:
            return self.opened.get_tensor(key)
        except (tf.errors.OpError, RuntimeError, ValueError, LookupError, TypeError) as error:
            raise UnreadableCheckpointError(
                f"{self._prefix}: {key}: TensorFlow cannot read it ({error}). The data file is "
                "truncated or damaged."
            ) from None


def _loader(reader: _Reader, key: str) -> Callable[[], np.ndarray]:
    return lambda: np.asarray(reader.get(key))


#: What a training keeps in an object-based checkpoint beside the network, by the path of the object.
_BOOKKEEPING = (
    # Keras 3 lists the network's weights among the optimizer's objects.
    (
        re.compile(r"(?!.*/_trainable_variables/)(.*/)?_?optimizer/.+"),
        "variables of the optimizer",
    ),
    (
        re.compile(
            r"(.*/)?(keras_api/|_)?(compiled_)?metrics?/.+"
            r"|.*/((true|false)_(positives|negatives)|total_cm|total_confusion_matrix)/.+"
        ),
        "states of metrics",
    ),
    (
        re.compile(r"(.*/)?(_random_generator|_?seed_generator|_rng|_state_var)/.+"),
        "states of random numbers",
    ),
    (re.compile(r"(.*/)?save_counter/.+"), "counters"),
)
#: What `tf.random.Generator` calls its variable, wherever a model keeps it.
_RANDOM_STATE = "StateVar"


def _counts_pixels(path: str, keys: Mapping[str, str]) -> bool:
    """Return whether a scalar is the count that a `Normalization` layer keeps beside its mean."""
    layer, _, role = path.rpartition("/")
    return role == "count" and any(
        f"{layer}/{mean}{VALUE_SUFFIX}" in keys for mean in ("mean", "adapt_mean")
    )


def _without_bookkeeping(
    keys: Mapping[str, str], shapes: Mapping[str, tuple[int, ...]], notes: list[str]
) -> dict[str, str]:
    """Return the keys that are not a training's own, and note how many of each kind are."""
    kept, left_out = {}, Counter[str]()
    # Whatever a training calls its optimizer, these two are its own.
    owners = tuple(
        key.removesuffix(f"{step}{VALUE_SUFFIX}")
        for key in keys
        for step in ("/_iterations", "/_learning_rate", "/iter", "/learning_rate")
        if key.endswith(f"{step}{VALUE_SUFFIX}")
    )
    for key in keys:
        path = key.removesuffix(VALUE_SUFFIX)
        kind = next((kind for pattern, kind in _BOOKKEEPING if pattern.fullmatch(key)), None)
        inside = (path.removeprefix(owner) for owner in owners if path.startswith(owner))
        if kind is None and any(re.fullmatch(r"/[^/]+(/\d+)?", rest) for rest in inside):
            kind = None if "/_trainable_variables/" in key else "variables of the optimizer"
        # No layer of an EfficientNet has a scalar but the one that counts what Normalization saw.
        if kind is None and shapes[key] == () and key != OBJECT_GRAPH:
            kind = None if _counts_pixels(path, keys) else "counters"
        if kind is None or ".OPTIMIZER_SLOT" in key:
            kept[key] = keys[key]
        else:
            left_out[kind] += 1
    notes += [f"{count} {kind} ignored: training state" for kind, count in left_out.items()]
    return kept


def _object_names(
    stored: bytes, keys: Mapping[str, str], ema: bool, prefix: Path, notes: list[str]
) -> dict[str, str]:
    """Return checkpoint keys by the variables' full names, as the object graph records them."""
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf import trackable_object_graph_pb2

    graph = trackable_object_graph_pb2.TrackableObjectGraph()
    try:
        graph.ParseFromString(stored)
    except (DecodeError, TypeError) as error:
        raise UnreadableCheckpointError(
            f"{prefix}: a damaged object graph ({error}). Fetch or write it again."
        ) from None
    slots = {slot.slot_name for node in graph.nodes for slot in node.slot_variables}
    if "average" in slots and ema:
        raise UnreadableCheckpointError(
            f"{prefix}: the optimizer keeps moving averages of the trainable weights only, so "
            "averaged weights and BatchNorm statistics would come from different sets. Take the "
            "raw weights: --raw."
        )
    full_names = {
        attribute.checkpoint_key: attribute.full_name
        for node in graph.nodes
        for attribute in node.attributes
        if attribute.full_name
    }
    candidates: dict[str, list[str]] = {}
    random_states = 0
    for key in keys:
        if key != OBJECT_GRAPH and ".OPTIMIZER_SLOT" not in key:
            name = full_names.get(key, key.removesuffix(VALUE_SUFFIX))
            if name.rpartition("/")[2] == _RANDOM_STATE:
                random_states += 1
            else:
                candidates.setdefault(name, []).append(key)
    if random_states:
        notes.append(f"{random_states} states of random numbers ignored: training state")
    named = {}
    for name, options in candidates.items():
        kept = [key for key in options if not key.startswith(_REPEATED_LISTS)] or options[:1]
        if len(kept) > 1:
            raise UnreadableCheckpointError(
                f"{prefix}: two variables are called {name!r}; the checkpoint holds more than one "
                "network. Save each network on its own."
            )
        named[name] = kept[0]
    repeated = sum(map(len, candidates.values())) - len(named)
    dropped = sum(".OPTIMIZER_SLOT" in key for key in keys)
    if dropped:
        notes.append(f"{dropped} optimizer slots ignored: training state")
    if repeated:
        notes.append(f"{repeated} variables are listed a second time in the SavedModel")
    return named


def _choose_set(
    keys: Mapping[str, str], ema: bool, prefix: Path, notes: list[str]
) -> tuple[dict[str, str], bool | None]:
    """Return the keys of one set of weights, averaged or raw, and which it is."""
    averaged = {n.removesuffix(EMA_SUFFIX) for n in keys if n.endswith(EMA_SUFFIX)}
    raw = {name: key for name, key in keys.items() if not name.endswith(EMA_SUFFIX)}
    if not averaged:
        return raw, None
    if not ema:
        notes.append(f"{len(averaged)} moving averages left out, as asked")
        return raw, False
    roles = ("kernel", "bias", "gamma", "beta", "moving_mean", "moving_variance")
    lacking = [n for n in raw if n not in averaged and n.rsplit("/")[-1].endswith(roles)]
    if lacking:
        raise UnreadableCheckpointError(
            describe_problems(
                f"{prefix}: {len(averaged)} variables have a moving average, these have not:",
                [f"- {name}" for name in lacking[:20]],
                "Mixing both sets gives a network nobody trained. Take the raw weights: --raw.",
            )
        )
    notes.append(f"moving averages taken for {len(averaged)} variables, raw values left out")
    return {n: f"{n}{EMA_SUFFIX}" if n in averaged else key for n, key in raw.items()}, True
