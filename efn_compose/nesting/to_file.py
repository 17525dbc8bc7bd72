"""Nesting straight into a file, one tensor in memory at a time."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from efn_compose.arch import ArchSpec
from efn_compose.donors import Donor
from efn_compose.donors.unet import decoder_header
from efn_compose.errors import ConfigError, NestingError
from efn_compose.nesting.compatibility import check_compatible
from efn_compose.nesting.direct_sum import mean_weights
from efn_compose.nesting.nest import nested_provenance, plan_embedding
from efn_compose.nesting.plan import tensors_by_name
from efn_compose.nesting.reducing.calibrate import calibrate_new_channels
from efn_compose.nesting.running.weight_source import WeightSource
from efn_compose.store import WeightFile, WeightHeader, write_weights
from efn_compose.store.atomic import is_same_file

Source = str | os.PathLike[str] | WeightFile | Donor


def nest_to_file(
    source_file: Source,
    target: ArchSpec | str,
    out: str | os.PathLike[str],
    *,
    dtype: str = "float32",
    progress: Callable[[int], None] | None = None,
    images: np.ndarray | None = None,
    second_file: Source | None = None,
    fill: str = "he",
    keep_head: bool = True,
    **options: Any,
) -> WeightHeader:
    """Nest a weight file into a larger network's file without holding either in memory.

    The memory needed is a few of the target's tensors, below a gigabyte
    even for L3 (1.5 billion parameters, 6 GB).

    Args:
        source_file: The small network's weight file, open or not, or a donor.
        target: The large network or its variant name.
        out: File to create or replace; never the source.
        dtype: "float32", "float16" or "float64".
        progress: Called with the number of bytes after each tensor.
        images: RGB images (image, height, width, 3), values 0-255, on which
            BatchNorm of new channels is calibrated.
        second_file: The second donor for `fill="donor"`.
        fill: "he", "replicate", "zero" or "donor", as for `nest`.
        keep_head: Whether the classifier is written too.
        options: `extra_repeats`, `positions`, `seed`, as for `nest`.

    Returns:
        The header of the file written.

    Raises:
        NestingError: The target is smaller or built differently, or `out` is the source.
        RunError: Not enough space, no permission; nothing was written.

    Example:
        >>> nest_to_file("efn_magic_weights.h5", "l3", "l3.h5")  # doctest: +SKIP
    """
    if (fill == "donor") != (second_file is not None):
        raise ConfigError("fill='donor' and a second file belong together; give both or neither.")
    files, shares = [source_file], [1.0]
    if second_file is not None:
        files, shares, fill = [source_file, second_file], [1.0, 0.0], "he"
    options["fill"] = fill
    with _Sources(files) as sources:
        if not keep_head:
            sources = [source.replace(classes=None) for source in sources]
        return _write_nested(sources, target, out, shares, dtype, progress, images, options)


def direct_sum_to_file(
    source_files: Sequence[Source],
    target: ArchSpec | str,
    out: str | os.PathLike[str],
    *,
    weights: Sequence[float] | None = None,
    dtype: str = "float32",
    progress: Callable[[int], None] | None = None,
    images: np.ndarray | None = None,
    keep_head: bool = True,
    **options: Any,
) -> WeightHeader:
    """Write two or more weight files side by side into a larger network's file.

    Args:
        source_files: The donors' weight files.
        weights: Share of each donor in the logits; default equal shares.
        target, out, dtype, progress, images, keep_head, options: As for `nest_to_file`.

    Example:
        >>> direct_sum_to_file(["first.h5", "second.h5"], "b7", "b7.h5")  # doctest: +SKIP
    """
    shares = mean_weights(len(source_files), weights)
    with _Sources(source_files) as sources:
        if not keep_head:
            sources = [source.replace(classes=None) for source in sources]
        return _write_nested(sources, target, out, shares, dtype, progress, images, options)


class _Sources:
    """Donors behind paths, open files or arrays; closes the files that it opened."""

    def __init__(self, files: Sequence[Source]) -> None:
        self._files = files
        self._opened: list[WeightFile] = []

    def __enter__(self) -> list[WeightSource]:
        sources = []
        try:
            for file in self._files:
                if not isinstance(file, WeightFile | Donor):
                    file = WeightFile(file)
                    self._opened.append(file)
                sources.append(WeightSource.of(file))
        except BaseException:
            self.__exit__()
            raise
        return sources

    def __exit__(self, *_: object) -> None:
        for file in self._opened:
            file.__exit__()


def _write_nested(
    sources: Sequence[WeightSource],
    target: ArchSpec | str,
    out: str | os.PathLike[str],
    shares: Sequence[float],
    dtype: str,
    progress: Callable[[int], None] | None,
    images: np.ndarray | None,
    options: dict[str, Any],
) -> WeightHeader:
    for source in sources:
        if source.path is not None:
            refuse_same_file(source.path, out)
    # A second donor whose features only lie beside the first's has no classifier.
    sources = [
        source if share else source.replace(classes=None)
        for source, share in zip(sources, shares, strict=True)
    ]
    check_compatible(sources, shares)
    embedding = plan_embedding(sources, target, head_weights=shares, **options)
    if dtype == "float64":
        embedding.dtype = dtype
    if images is not None:
        scaling = sources[0].conventions.preprocessing
        pixels = np.asarray(images, np.float32)
        inputs = (pixels - np.asarray(scaling.mean, np.float32)) / np.asarray(
            scaling.std, np.float32
        )
        embedding.statistics = calibrate_new_channels(embedding, inputs)
    target_spec, classes = embedding.plan.target, embedding.plan.classes
    header = WeightHeader(
        target_spec.with_decoder(None),
        sources[0].conventions,
        classes,
        nested_provenance(sources, embedding, options),
        dtype=dtype,
        parts=decoder_header(target_spec),
    )
    # A file's header knows no channel groups of further parts; the plan does.
    by_name = tensors_by_name(target_spec, classes)
    write_weights(
        out, header, lambda tensor: embedding.tensor(by_name[tensor.name]), progress=progress
    )
    return header


def refuse_same_file(source: Path, out: str | os.PathLike[str]) -> None:
    """Raise `NestingError` where an output path is the source file, also through links."""
    if is_same_file(source, out):
        raise NestingError(
            f"{out} is the source file; writing there would destroy it. Choose another output path."
        )
