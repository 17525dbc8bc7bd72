"""Reads the configuration that tf_keras writes beside a SavedModel's program: `keras_metadata.pb`.

The file is a protocol buffer of one record per object; the record of the model holds JSON text.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from efn_compose.checkpoints.containers.keras.keras_h5 import parse_config, refuse_lambda
from efn_compose.errors import UnreadableCheckpointError

METADATA_FILE = "keras_metadata.pb"
MAX_METADATA_BYTES = 64 << 20
_NODES, _NODE_PATH, _METADATA = 1, 3, 5


def saved_model_config(folder: Path) -> dict[str, Any] | None:
    """Return the configuration of the model in a SavedModel folder, None where it has none.

    Args:
        folder: The folder with `variables/`.

    Raises:
        UnreadableCheckpointError: The file is damaged.
        UnsafeCheckpointError: The configuration holds a Lambda layer.
    """
    path = folder / METADATA_FILE
    if not path.is_file():
        return None
    if path.stat().st_size > MAX_METADATA_BYTES:
        raise UnreadableCheckpointError(
            f"{path}: {path.stat().st_size} bytes of configuration; {MAX_METADATA_BYTES} are the most "
            "that are read."
        )
    try:
        metadata = _root_metadata(path.read_bytes())
    except (IndexError, ValueError) as error:
        raise UnreadableCheckpointError(
            f"{path}: not a readable Keras configuration ({error}); the file is damaged. Save the model "
            "again."
        ) from None
    if metadata is None:
        return None
    config = _without_tuples(parse_config(metadata, str(path)))
    inner = config.get("config")
    if not isinstance(inner, dict) or "layers" not in inner:
        return None
    refuse_lambda(config, str(path))
    return {"class_name": config.get("class_name"), "config": inner}


def _root_metadata(content: bytes) -> bytes | None:
    # All records are walked first, so that a truncated file is noticed.
    for number, node in list(_fields(content)):
        if number == _NODES:
            parts = dict(_fields(node))
            if parts.get(_NODE_PATH) == b"root":
                return parts.get(_METADATA)
    return None


def _fields(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield (field number, bytes) of a message's texts and messages; numbers are passed over."""
    position = 0
    while position < len(content):
        key, position = _integer(content, position)
        if key & 7 == 0:
            _, position = _integer(content, position)
            continue
        if key & 7 != 2:
            raise ValueError(f"wire type {key & 7} at byte {position}")
        length, position = _integer(content, position)
        if position + length > len(content):
            raise ValueError(f"a field ends beyond byte {len(content)}")
        yield key >> 3, content[position : position + length]
        position += length


def _integer(content: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while shift < 70:
        byte = content[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
    raise ValueError(f"bad integer at byte {position}")


def _without_tuples(value: object) -> Any:
    """Return JSON values with lists in the place of what stands for Python's tuples."""
    if isinstance(value, list):
        return [_without_tuples(item) for item in value]
    if not isinstance(value, dict):
        return value
    if value.get("class_name") in ("__tuple__", "TensorShape") and "items" in value:
        return _without_tuples(value["items"])
    return {key: _without_tuples(item) for key, item in value.items()}
