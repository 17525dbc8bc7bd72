"""Nesting straight into a file, one tensor in memory at a time."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from efn_compose.arch import ArchSpec
from efn_compose.errors import NestingError
from efn_compose.nesting.calibrate import calibrate_new_channels
from efn_compose.nesting.compatibility import check_compatible
from efn_compose.nesting.direct_sum import mean_weights
from efn_compose.nesting.nest import nested_provenance, plan_embedding
from efn_compose.nesting.weight_source import WeightSource
from efn_compose.store import WeightFile, WeightHeader, write_weights

Source = str | os.PathLike[str] | WeightFile


def nest_to_file(
    source_file: Source,
    target: ArchSpec | str,
    out: str | os.PathLike[str],
    *,
    dtype: str = "float32",
    progress: Callable[[int], None] | None = None,
    images: np.ndarray | None = None,
    **options: Any,
) -> WeightHeader:
    """Nest a weight file into a larger network's file without holding either in memory.

    The memory needed is that of a few of the target's tensors, below a gigabyte
    even for L3 (1.5 billion parameters, 6 GB).

    Args:
        source_file: The small network's weight file, or one already open.
        target: The large network or its variant name.
        out: File to create or replace; never the source.
        dtype: "float32", "float16" or "float64".
        progress: Called with the number of bytes after each tensor.
        images: RGB images (image, height, width, 3), values 0-255, on which
            BatchNorm of new channels is calibrated.
        options: `fill` ("he", "replicate", "zero"), `extra_repeats`, `positions`,
            `seed`, as for `nest`.

    Returns:
        The header of the file written.

    Raises:
        NestingError: The target is smaller or built differently, or `out` is the source.
        RunError: Not enough space, no permission; nothing was written.

    Example:
        >>> nest_to_file("efn_magic_weights.h5", "l3", "l3.h5")  # doctest: +SKIP
    """
    return _write_nested([source_file], target, out, None, dtype, progress, images, options)


def direct_sum_to_file(
    source_files: Sequence[Source],
    target: ArchSpec | str,
    out: str | os.PathLike[str],
    *,
    weights: Sequence[float] | None = None,
    dtype: str = "float32",
    progress: Callable[[int], None] | None = None,
    images: np.ndarray | None = None,
    **options: Any,
) -> WeightHeader:
    """Write two or more weight files side by side into a larger network's file.

    Args:
        source_files: The donors' weight files.
        weights: Share of each donor in the logits; default equal shares.
        target, out, dtype, progress, images, options: As for `nest_to_file`.

    Example:
        >>> direct_sum_to_file(["first.h5", "second.h5"], "b7", "b7.h5")  # doctest: +SKIP
    """
    shares = mean_weights(len(source_files), weights)
    return _write_nested(source_files, target, out, shares, dtype, progress, images, options)


def _write_nested(
    files: Sequence[Source],
    target: ArchSpec | str,
    out: str | os.PathLike[str],
    shares: Sequence[float] | None,
    dtype: str,
    progress: Callable[[int], None] | None,
    images: np.ndarray | None,
    options: dict[str, Any],
) -> WeightHeader:
    opened = [file if isinstance(file, WeightFile) else WeightFile(file) for file in files]
    try:
        for file in opened:
            refuse_same_file(file.path, out)
        sources = [WeightSource.of(file) for file in opened]
        if shares is not None:
            check_compatible(sources, shares)
        embedding = plan_embedding(sources, target, head_weights=shares or [1.0], **options)
        if images is not None:
            scaling = sources[0].conventions.preprocessing
            inputs = (np.asarray(images, np.float32) - np.float32(scaling.mean)) / np.float32(
                scaling.std
            )
            embedding.statistics = calibrate_new_channels(embedding, inputs)
        header = WeightHeader(
            embedding.plan.target,
            sources[0].conventions,
            embedding.plan.classes,
            nested_provenance(sources, embedding, options),
            dtype=dtype,
        )
        write_weights(out, header, embedding.tensor, progress=progress)
        return header
    finally:
        for file, given in zip(opened, files, strict=True):
            if file is not given:
                file.__exit__()


def refuse_same_file(source: Path, out: str | os.PathLike[str]) -> None:
    """Raise `NestingError` where an output path is the source file, also through links."""
    if os.path.exists(out) and os.path.samefile(source, out):
        raise NestingError(
            f"{out} is the source file; writing there would destroy it. Choose another output path."
        )
