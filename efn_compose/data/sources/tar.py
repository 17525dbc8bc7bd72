"""Tar files of samples, as WebDataset writes them: files of one name and several suffixes."""

import json
import os
import re
import tarfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from efn_compose.data.sources.shards import (
    ByteRanges,
    float_labels,
    given_names,
    numbered,
    shard_files,
)
from efn_compose.data.table import ImageTable
from efn_compose.errors import DataError, describe_problems, first_of

_IMAGES = ("jpg", "jpeg", "png", "webp", "ppm", "bmp", "tif", "tiff")
_LABELS = ("cls", "label", "txt")
#: Suffixes that a note names.
_LISTED = 8
#: Numbers with decimals that are no whole numbers, some at least.
_FRACTIONS = re.compile(r"(-?\d*\.\d+ )*-?\d*\.\d*[1-9]\d*( -?\d*\.\d+)*")


def load_tar(
    path: str | os.PathLike[str], columns: Sequence[str] = (), *, needs_labels: bool = True
) -> ImageTable:
    """Return the images of tar files; `0001.jpg` and `0001.cls` are one sample.

    Args:
        path: A file, a pattern such as "shard-*.tar", or a folder of such files; not compressed.
        columns: "image=SUFFIX", "label=SUFFIX", "patient=SUFFIX" each: the suffixes of a sample's
            files; "label=json.NAME" is a value inside of `.json`. By default any suffix of images,
            and `cls` for the label.
        needs_labels: Whether every sample must have a label.

    Raises:
        DataError: No such file, no sample with an image, samples without label, labels that are
            fractions, a file of one name twice, or a truncated file. Samples without an image are
            counted in the table's notes.

    Example:
        >>> load_tar("shard-*.tar", ["label=json.diagnosis"])  # doctest: +SKIP
    """
    files, source = shard_files(path, (".tar",)), f"tar:{path}"
    given = given_names(source, columns)
    images = (given["image"],) if "image" in given else _IMAGES
    found: dict[str, list[int]] = {"file": [], "start": [], "length": []}
    texts: dict[str, list[str]] = {"label": [], "patient": []}
    suffixes: set[str] = set()
    passed_over, beside = 0, set[str]()
    for number, file in enumerate(files):
        for sample in _samples(file):
            suffixes |= sample.keys()
            suffix = next((name for name in images if name in sample), None)
            if suffix is None:
                passed_over += 1
                beside |= sample.keys()
                continue
            found["file"].append(number)
            found["start"].append(sample[suffix][0])
            found["length"].append(sample[suffix][1])
            wanted = (given["label"],) if "label" in given else _LABELS
            texts["label"].append(_text(file, sample, wanted))
            if "patient" in given:
                texts["patient"].append(_text(file, sample, (given["patient"],)))
    if _FRACTIONS.fullmatch(" ".join(filter(None, texts["label"]))):
        raise float_labels(source, given.get("label", _LABELS[0]), "a fraction")
    labels = np.array(texts["label"], dtype=object)
    is_known = labels != ""
    missing = _missing(labels, is_known, needs_labels)
    if missing:
        expected = images if missing == "an image" else (given.get("label", _LABELS[0]),)
        raise DataError(
            describe_problems(
                f"{source}: no sample has {missing}.",
                [
                    f"- expected .{' or .'.join(expected)}",
                    f"- present: {', '.join(sorted(suffixes)) or 'nothing'}",
                ],
                "Name the suffix: data.columns = ['image=SUFFIX', 'label=SUFFIX'].",
            )
        )
    numbers, class_names = numbered(source, labels, is_known, needs_labels)
    groups, group_names = None, None
    if "patient" in given:
        patients = np.array(texts["patient"], dtype=object)
        groups, group_names = numbered(source, patients, patients != "", True, "patient")
    return ImageTable(
        images=ByteRanges(
            files,
            np.array(found["file"], np.int32),
            np.array(found["start"], np.int64),
            np.array(found["length"], np.int64),
        ),
        labels=numbers,
        class_names=class_names,
        name=source,
        groups=groups,
        group_names=group_names,
        notes=_said_of(passed_over, beside, images),
    )


def _said_of(passed_over: int, beside: set[str], images: Sequence[str]) -> tuple[str, ...]:
    """Return a sentence on samples without an image, none where there are none."""
    if not passed_over:
        return ()
    seen = sorted(f".{suffix}" for suffix in beside)
    return (
        f"{passed_over} samples have no file .{', .'.join(images)} and are passed over; they have "
        f"{', '.join(first_of(seen, _LISTED))}",
    )


def _missing(labels: np.ndarray, is_known: np.ndarray, needs_labels: bool) -> str:
    if not len(labels):
        return "an image"
    return "a label" if needs_labels and not is_known.any() else ""


def _samples(file: Path) -> list[dict[str, tuple[int, int]]]:
    """Return the samples of a tar file: first byte and length by suffix."""
    samples: dict[str, dict[str, tuple[int, int]]] = {}
    size = file.stat().st_size
    try:
        with tarfile.open(file, "r:") as opened:
            for member in opened:
                if not member.isfile() or os.path.basename(member.name).startswith("."):
                    continue
                folder, name = os.path.split(member.name)
                stem, _, suffix = name.partition(".")
                if member.offset_data + member.size > size:
                    raise tarfile.ReadError(f"{member.name} goes on behind the end of the file")
                sample = samples.setdefault(os.path.join(folder, stem), {})
                if suffix.lower() in sample:
                    raise DataError(
                        f"{file}: {member.name} is in it twice, or .{suffix.lower()} in two spellings: two "
                        "samples of one name would be one. Write the file anew, each name once."
                    )
                sample[suffix.lower()] = (member.offset_data, member.size)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise DataError(
            f"{file}: not a tar file, compressed, or truncated ({error}). Copy it again; compressed "
            "files have to be unpacked once: gunzip FILE."
        ) from None
    return list(samples.values())


def _text(file: Path, sample: dict[str, tuple[int, int]], names: Sequence[str]) -> str:
    """Return the text of a sample's file, or of a value inside of its JSON; empty where none is."""
    for name in names:
        suffix, _, key = name.partition(".")
        if suffix not in sample:
            continue
        start, length = sample[suffix]
        with open(file, "rb") as opened:
            opened.seek(start)
            content = opened.read(length).decode("utf-8", "backslashreplace").strip()
        if not key:
            return content
        try:
            value = json.loads(content).get(key)
        except (ValueError, AttributeError):
            raise DataError(f"{file}: a sample's .{suffix} is no JSON object.") from None
        return "" if value is None else str(value)
    return ""
