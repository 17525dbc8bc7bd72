"""TFRecord files of `tf.train.Example`: encoded images with labels."""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from efn_compose.data.sources.shards import (
    ByteRanges,
    find_names,
    float_labels,
    numbered,
    shard_files,
)
from efn_compose.data.table import ImageTable
from efn_compose.errors import DataError

#: Around a record's bytes lie its length and two checksums.
_BEFORE, _AFTER = 12, 4
_SUFFIXES = (".tfrecord", ".tfrecords", ".tfrec")
#: Records parsed at a time.
_BATCH = 256
_NO_NUMBER, _NO_TEXT = -(2**62), b"\0none"


def load_tfrecord(
    path: str | os.PathLike[str], columns: Sequence[str] = (), *, needs_labels: bool = True
) -> ImageTable:
    """Return the images of TFRecord files; TensorFlow reads them once and checks their checksums.

    Args:
        path: A file, a pattern such as "train-*.tfrecord", or a folder of such files; not
            compressed. Each record is a `tf.train.Example` with an encoded image.
        columns: "image=NAME", "label=NAME", "patient=NAME" each: the names of its features.
        needs_labels: Whether every record must have a label.

    Raises:
        DataError: No such file, features of other names (those present are listed), labels that
            are fractions, a truncated file, or a wrong checksum.

    Example:
        >>> load_tfrecord("train-*.tfrecord", ["label=image/class/label"])  # doctest: +SKIP
    """
    files = shard_files(path, _SUFFIXES)
    kinds = _kinds(files)
    source = f"tfrecord:{path}"
    names = find_names(source, kinds, columns, needs_labels)
    if kinds[names["image"]] != "bytes":
        raise DataError(
            f"{source}: the image {names['image']!r} is {kinds[names['image']]}, expected the bytes "
            "of a JPEG or PNG."
        )
    if "label" in names and kinds[names["label"]] == "float":
        raise float_labels(source, names["label"], "float")
    if "patient" in names and kinds[names["patient"]] == "float":
        raise DataError(
            f"{source}: the patient {names['patient']!r} is float, expected an integer or a word. Name "
            "another feature: data.columns = ['patient=NAME']."
        )
    found = {column: name for column, name in names.items() if column != "image"}
    parts = [_read(file, found, kinds) for file in files]
    lengths = [part.pop("length") for part in parts]
    starts = [np.cumsum(np.append(0, each + _BEFORE + _AFTER))[:-1] + _BEFORE for each in lengths]
    values = {column: np.concatenate([part[column] for part in parts]) for column in found}
    labels, class_names = _numbers(source, values.get("label"), lengths, needs_labels)
    groups, group_names = None, None
    if "patient" in values:
        groups, group_names = _numbers(source, values["patient"], lengths, True, "patient")
    return ImageTable(
        images=ByteRanges(
            files,
            np.repeat(np.arange(len(files), dtype=np.int32), [len(each) for each in lengths]),
            np.concatenate(starts),
            np.concatenate(lengths),
            FeatureBytes(names["image"]),
            names["image"],
        ),
        labels=labels,
        class_names=class_names,
        name=source,
        groups=groups,
        group_names=group_names,
    )


class FeatureBytes:
    """Takes the bytes of a feature out of a record.

    Args:
        name: Of the feature.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, record: bytes) -> bytes:
        """Return the bytes, none where the record lacks the feature."""
        from tensorflow.core.example.example_pb2 import Example

        values = Example.FromString(record).features.feature[self.name].bytes_list.value
        return bytes(values[0]) if values else b""


def _kinds(files: Sequence[Path]) -> dict[str, str]:
    """Return the kind of each feature of the first record."""
    import tensorflow as tf
    from google.protobuf.message import DecodeError
    from tensorflow.core.example.example_pb2 import Example

    for file in files:
        try:
            for record in tf.data.TFRecordDataset(str(file)).take(1):
                features = Example.FromString(record.numpy()).features.feature
                return {
                    name: features[name]
                    .WhichOneof("kind")
                    .removesuffix("_list")
                    .replace("int64", "integer")
                    for name in sorted(features)
                    if features[name].WhichOneof("kind")
                }
        except (tf.errors.OpError, DecodeError) as error:
            raise _damaged(file, error) from None
    raise DataError(f"{files[0]}: no records in it.")


def _read(file: Path, found: dict[str, str], kinds: dict[str, str]) -> dict[str, np.ndarray]:
    """Return "length" and each column of a file's records."""
    import tensorflow as tf

    features = {
        name: tf.io.FixedLenFeature([], tf.int64, _NO_NUMBER)
        if kinds[name] == "integer"
        else tf.io.FixedLenFeature([], tf.string, _NO_TEXT)
        for name in found.values()
    }

    def parse(records: Any) -> dict[str, Any]:
        values = tf.io.parse_example(records, features) if features else {}
        return {"length": tf.strings.length(records)} | {
            column: values[name] for column, name in found.items()
        }

    parts = []
    try:
        for batch in tf.data.TFRecordDataset(str(file)).batch(_BATCH).map(parse):
            parts.append({name: values.numpy() for name, values in batch.items()})
    except tf.errors.InvalidArgumentError as error:
        told = (n for n in found.values() if re.search(rf"Key: {re.escape(n)}[.,]", str(error)))
        wrong = next(told, None)
        if wrong is None:
            raise _damaged(file, error) from None
        raise DataError(
            f"{file}: the feature {wrong!r} is not one {kinds[wrong].replace('bytes', 'word')} in every "
            "record. Write one label and one patient for each image, or name another feature: "
            "data.columns = ['label=NAME', 'patient=NAME']."
        ) from None
    except tf.errors.OpError as error:
        raise _damaged(file, error) from None
    if not parts:
        # Of the type that other files have, which a concatenation would else change.
        return {"length": np.zeros(0, np.int64)} | {
            column: np.zeros(0, np.int64 if kinds[name] == "integer" else object)
            for column, name in found.items()
        }
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return joined | {"length": joined["length"].astype(np.int64)}


def _numbers(
    source: str,
    values: np.ndarray | None,
    lengths: Sequence[np.ndarray],
    needs_labels: bool,
    what: str = "label",
) -> tuple[np.ndarray, tuple[str, ...]]:
    if values is None:
        count = sum(map(len, lengths))
        return numbered(source, np.zeros(count, int), np.zeros(count, bool), needs_labels)
    if values.dtype == object:
        is_known = (values != _NO_TEXT) & (values != b"")
        texts = [value.decode("utf-8", "backslashreplace") for value in values.tolist()]
        return numbered(source, np.array(texts), is_known, needs_labels, what)
    return numbered(source, values, values != _NO_NUMBER, needs_labels, what)


def _damaged(file: Path, error: Exception) -> DataError:
    words = str(error).split("[Op")[0].split("\n")[0].strip().removesuffix(".")
    words = words.partition("}} ")[2] or words
    return DataError(
        f"{file}: not a TFRecord file of tf.train.Example, truncated, or with a wrong checksum "
        f"({words[:200]}). Copy it again; compressed files have to be unpacked."
    )
