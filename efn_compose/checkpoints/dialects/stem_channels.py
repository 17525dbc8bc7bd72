"""Stems that read grey or more channels than three: folded to RGB by choice, or refused plainly."""

import dataclasses
from collections.abc import Callable

import numpy as np

from efn_compose.arch import Preprocessing
from efn_compose.checkpoints.containers.raw import RawTensor
from efn_compose.checkpoints.dialects.dialect import Prepared, Request, Resolved
from efn_compose.errors import ConversionError

#: Number of channels of the images that every network here reads.
RGB = 3


def rgb_stem(prepared: Prepared, stem: str, axis: int, request: Request) -> Prepared:
    """Return a checkpoint whose stem reads RGB.

    A grey stem folded to RGB gives each colour a third of the kernel, so that an image of three
    equal channels gives what the grey image gave (timm's `adapt_input_conv` does the reverse).

    Args:
        prepared: The checkpoint under the dialect's names.
        stem: Name of the stem's kernel.
        axis: Its axis of input channels.
        request: `channels` is "sum" where folding was asked for.

    Raises:
        ConversionError: The stem reads other channels than RGB, and cannot or may not be folded.
    """
    raw = prepared.raw
    kernel = raw.tensors.get(stem)
    if kernel is None or len(kernel.shape) != 4 or kernel.shape[axis] == RGB:
        return prepared
    channels = kernel.shape[axis]
    if channels != 1:
        raise ConversionError(
            f"{raw.path}: the stem {stem!r} reads {channels} channels {kernel.shape}. Networks here "
            f"read {RGB} (RGB), and {channels} channels cannot be folded to them without a loss. "
            "Keep such a network in its own library, or cut its stem to three channels there."
        )
    if request.channels != "sum":
        raise ConversionError(
            f"{raw.path}: the stem {stem!r} reads one channel (grey) {kernel.shape}. Networks here "
            f"read {RGB} (RGB). Add --channels sum to fold the stem to RGB: the same function of "
            "grey images whose channel is repeated three times."
        )
    shape = tuple(RGB if number == axis else size for number, size in enumerate(kernel.shape))
    folded = RawTensor(stem, shape, kernel.dtype, _spread(kernel, axis))
    return dataclasses.replace(
        prepared,
        raw=dataclasses.replace(raw, tensors={**raw.tensors, stem: folded}),
        folded=(
            *prepared.folded,
            f"{stem}: a grey stem folded to RGB, a third of the kernel for each colour; the input "
            "scaling is the mean of the colours', one for all",
        ),
        is_grey=True,
    )


def one_scaling(resolved: Resolved) -> Resolved:
    """Return conventions of a folded grey stem, whose single channel had a single scaling.

    Where three are known, libraries take their mean (timm's `resolve_data_config`).
    """
    known = resolved.conventions.preprocessing
    mean, std = (float(np.mean(values)) for values in (known.mean, known.std))
    scaling = Preprocessing((mean, mean, mean), (std, std, std))
    if scaling.is_close(known):
        return resolved
    sources = {**resolved.sources}
    sources["preprocessing"] = (
        f"mean of the colours' in {sources.get('preprocessing', 'the network')}"
    )
    conventions = dataclasses.replace(resolved.conventions, preprocessing=scaling)
    return dataclasses.replace(resolved, conventions=conventions, sources=sources)


def _spread(kernel: RawTensor, axis: int) -> Callable[[], np.ndarray]:
    return lambda: np.repeat(kernel.load().astype(np.float32) / RGB, RGB, axis=axis)
