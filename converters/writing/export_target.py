"""What a library to write for must say: networks, conventions, loading, and files beside."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from converters.registry import CONVERTERS
from efn_compose.arch import ArchSpec, arch_spec, base_of
from efn_compose.arch.conventions import Padding
from efn_compose.donors import Donor


@dataclass(frozen=True)
class TargetConventions:
    """How a library will run the weights it is given.

    Args:
        padding: "same" or "symmetric".
        bn_epsilon: Its epsilon.
        activation: Its activation, None where it takes any.
        model: Its name of the network.
        resolution: Side for which padding is fixed, in pixels.
    """

    padding: Padding
    bn_epsilon: float
    activation: str | None
    model: str
    resolution: int


@dataclass(frozen=True)
class ExportTarget:
    """One library to write for.

    Args:
        name: For `--to`.
        dialect: Whose name table is used.
        obstacles: Reasons why the library does not have the network.
        conventions: The library's conventions that come nearest to those of the weights.
        load: Python that loads the result.
        extras: Tensors that a strict load wants beside the weights.
        sidecars: JSON files by name, for a folder.
        takes_folder: Whether a folder may be written.
        needs_folder: Whether only a folder may.
        only_safetensors: Whether `.pth` is not offered.
        folder_obstacles: Reasons why a folder, of which the library builds the network by name, does not
            hold it.
        fixes_padding: Whether its padding is made for one size, and TensorFlow's at even sizes only.
    """

    name: str
    dialect: str
    obstacles: Callable[[Donor], list[str]]
    conventions: Callable[[Donor, int], TargetConventions]
    load: Callable[[Donor, TargetConventions, Path], str]
    extras: Callable[[Donor], Mapping[str, np.ndarray]] = lambda donor: {}
    sidecars: Callable[[Donor, TargetConventions], Mapping[str, Any]] = lambda donor, plan: {}
    takes_folder: bool = False
    needs_folder: bool = False
    only_safetensors: bool = False
    folder_obstacles: Callable[[Donor], list[str]] = lambda donor: []
    fixes_padding: bool = False


def counters(dialect: str) -> Callable[[Donor], Mapping[str, np.ndarray]]:
    """Return what makes BatchNorm's step counters, which a strict load asks for and no inference reads."""

    def extras(donor: Donor) -> dict[str, np.ndarray]:
        names = (row.foreign for row in CONVERTERS[dialect].rows(donor.spec, donor.classes, None))
        suffix = ".running_var"
        return {
            f"{name.removesuffix(suffix)}.num_batches_tracked": np.zeros((), np.int64)
            for name in names
            if name.endswith(suffix)
        }

    return extras


def is_own_network(spec: ArchSpec, *bases: str) -> bool:
    """Return whether a network is exactly the one of its name, and its base one of these."""
    return base_of(spec) in bases and spec.same_tensors_as(arch_spec(spec.variant))


def needs(library: str, what: str, spec: ArchSpec) -> str:
    """Return the line that says which networks a library has."""
    return f"≠ network: {library} has {what}; received {spec.variant!r} ({spec.family})"


def first_blocks_add(spec: ArchSpec) -> bool:
    """Return whether the first block of a stage adds its input to its output."""
    return any(block.repeat == 1 and block.has_skip for block in spec.blocks)


def torch_load(path: Path) -> str:
    """Return Python that reads a file's tensors."""
    if path.suffix == ".safetensors":
        return f"safetensors.torch.load_file({str(path)!r})"
    return f"torch.load({str(path)!r}, weights_only=True)"
