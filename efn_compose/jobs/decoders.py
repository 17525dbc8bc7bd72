"""Decoders put on weight files and taken off again, tensor by tensor; what was there stays as it is."""

import dataclasses
import os
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from efn_compose.arch import DecoderSpec, TensorSpec
from efn_compose.donors import Donor
from efn_compose.donors.unet import DECODER, attached
from efn_compose.errors import FurtherPartError
from efn_compose.jobs.donor_entries import load_entry
from efn_compose.nesting.to_file import refuse_same_file
from efn_compose.store import WeightFile, write_weights
from efn_compose.store.weights.parts import Part, part_names
from efn_compose.store.weights.weight_file import is_weight_file


@dataclass(frozen=True)
class Attached:
    """What `attach` wrote.

    Args:
        file: The U-Net's weight file.
        variant: Its network.
        decoder: What was put on it.
        decoder_tensors: How many tensors the decoder has.
        decoder_parameters: How many numbers these hold.
    """

    file: Path
    variant: str
    decoder: DecoderSpec
    decoder_tensors: int
    decoder_parameters: int


@dataclass(frozen=True)
class Detached:
    """What `detach` wrote.

    Args:
        file: The weight file without the decoder.
        variant: Its network.
        kept: Tensors of all other parts.
        left_out: Tensors of the decoder.
        changed: Names of the kept tensors that differ from the original's; None without one.
    """

    file: Path
    variant: str
    kept: int
    left_out: int
    changed: tuple[str, ...] | None


def attach(
    source: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    kind: Literal["classic", "mirror"] = "classic",
    outputs: int = 2,
    skips: bool = True,
    repeats: Literal["one", "all"] = "one",
    seed: int = 1,
) -> Attached:
    """Put a fresh decoder on a network's weights and write them as a U-Net.

    Backbone and classifier are the file's own, bit for bit.

    Args:
        source: A weight file of any library, or "package:NAME".
        output: The .h5 file to write.
        kind: "classic" or "mirror", as of `DecoderSpec`.
        outputs: Channels that the decoder puts out: the classes of a mask.
        skips: Whether it reads the finer feature points.
        repeats: Of a mirror: "one" block per step, or "all" that the stage has.
        seed: Decides the decoder's first weights.

    Raises:
        FurtherPartError: The weights have a decoder.
        ConfigError: There is no such decoder.

    Example:
        >>> attach("b0.h5", "unet.h5").variant  # doctest: +SKIP
        'b0'
    """
    decoder = DecoderSpec(kind, outputs, skips, repeats)
    path = Path(source).expanduser()
    with WeightFile(path) if is_weight_file(path) else nullcontext() as file:
        donor = _described(file) if file is not None else load_entry(str(source))
        whole = attached(donor, decoder, seed)
        part = whole.parts[DECODER]
        if file is None:
            whole.save(output)
        else:
            refuse_same_file(path, output)
            _rewrite(file, output, part)
    return Attached(
        file=Path(output),
        variant=donor.spec.variant,
        decoder=decoder,
        decoder_tensors=len(part.tensors),
        decoder_parameters=sum(
            tensor.size for tensor in part.header.tensors if tensor.is_trainable
        ),
    )


def detach(
    source: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    original: str | os.PathLike[str] | None = None,
) -> Detached:
    """Take the decoder off a U-Net's weight file and write the network below it.

    The result is the file that `attach` was given, as far as no training changed its tensors: the
    same bytes. It opens wherever weight files open.

    Args:
        source: The U-Net's weight file.
        output: The .h5 file to write.
        original: A weight file of the same network, to count the tensors that differ from it.

    Raises:
        FurtherPartError: The file has no decoder.

    Example:
        >>> detach("unet.h5", "b0.h5").left_out  # doctest: +SKIP
        58
    """
    path = Path(source).expanduser()
    with WeightFile(path) as file:
        header = file.header
        if DECODER not in header.parts:
            has = ", ".join(part_names(header.classes, header.parts))
            raise FurtherPartError(
                f"{path} has no decoder to take off; it has {has}. A file with one comes from "
                "efn-compose attach, or from efn-compose train --task segment."
            )
        refuse_same_file(path, output)
        left_out = header.parts[DECODER].tensors
        changed = None if original is None else _changed(file, Path(original).expanduser())
        _rewrite(file, output, None)
    return Detached(
        file=Path(output),
        variant=header.spec.variant,
        kept=len(header.all_tensors) - len(left_out),
        left_out=len(left_out),
        changed=changed,
    )


def _described(file: WeightFile) -> Donor:
    """Return a donor of a file's names and shapes, without reading a value."""
    header = file.header
    empty = {t.name: np.broadcast_to(np.float32(0), t.shape) for t in header.tensors}
    parts = {
        name: Part({t.name: np.broadcast_to(np.float32(0), t.shape) for t in part.tensors})
        for name, part in header.parts.items()
    }
    return Donor(str(file.path), header.spec, header.conventions, empty, parts=parts)


def _rewrite(file: WeightFile, output: str | os.PathLike[str], decoder: Part | None) -> None:
    """Write a file's tensors again, with a decoder or with none."""
    parts = {name: part for name, part in file.header.parts.items() if name != DECODER}
    fresh: Mapping[str, np.ndarray] = {}
    if decoder is not None:
        parts[DECODER], fresh = decoder.header, decoder.tensors

    def values(tensor: TensorSpec) -> np.ndarray:
        return fresh[tensor.name] if tensor.name in fresh else file.read(tensor.name)

    header = dataclasses.replace(file.header, parts=parts)
    write_weights(output, header, values, donor_map=file.read_donor_map())


def _changed(file: WeightFile, original: Path) -> tuple[str, ...]:
    """Return the names of a file's own tensors that differ from those of another file."""
    with WeightFile(original) as other:
        theirs = {tensor.name: tensor.shape for tensor in other.header.tensors}
        return tuple(
            tensor.name
            for tensor in file.header.tensors
            if theirs.get(tensor.name) != tensor.shape
            or not np.array_equal(file.read(tensor.name), other.read(tensor.name))
        )
