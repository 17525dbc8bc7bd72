"""Other implementations of the same networks, to compare a conversion with, where installed."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from efn_compose.checkpoints.containers.raw import RawCheckpoint
from efn_compose.donors import Donor
from efn_compose.errors import ParityError

#: Builder of each dialect's oracle as "module:function"; the rest have no installable library.
ORACLES: dict[str, str] = {
    "timm": "converters.oracles.torch_side:timm_oracle",
    "geffnet": "converters.oracles.torch_side:geffnet_oracle",
    "torchvision": "converters.oracles.torch_side:torchvision_oracle",
    "lukemelas": "converters.oracles.torch_side:lukemelas_oracle",
    "lite": "converters.oracles.torch_side:lite_oracle",
    "transformers": "converters.oracles.torch_side:transformers_oracle",
    "keras_applications": "converters.oracles.keras_side:applications_oracle",
    "qubvel": "converters.oracles.keras_side:qubvel_oracle",
}


class NoOracleError(ParityError):
    """The source library is not installed, or cannot build this network."""


@dataclass(frozen=True)
class Oracle:
    """A source library's own network with a checkpoint's own tensors.

    Args:
        library: Name and version.
        run: Logits (image, class) from preprocessed images (image, height, width, 3),
            computed in "float32" or "float64".
        is_exact_at: Whether the library pads at a size (height, width) as it means to;
            False where it fixed its padding for another size.
        preprocess: Network input from RGB pixels 0-255 by the library's own
            constants, or None where it states none.
        note: Questions that the comparison leaves open.
    """

    library: str
    run: Callable[[np.ndarray, str], np.ndarray]
    is_exact_at: Callable[[tuple[int, int]], bool] = lambda size: True
    preprocess: Callable[[np.ndarray], np.ndarray] | None = None
    note: str = ""


def oracle_for(dialect: str, donor: Donor, raw: RawCheckpoint) -> Oracle:
    """Return the source library's network with the tensors of a checkpoint.

    Args:
        dialect: Name of the checkpoint's dialect.
        donor: The converted checkpoint; it says which network to build.
        raw: The checkpoint; its tensors go to the library under their own names.

    Raises:
        NoOracleError: The library is not installed, or does not have the network.
    """
    if dialect not in ORACLES:
        raise NoOracleError(f"No installable library runs {dialect} checkpoints.")
    module, function = ORACLES[dialect].split(":")
    try:
        return getattr(importlib.import_module(module), function)(donor, raw)
    except ImportError as error:
        raise NoOracleError(
            f"The library of dialect {dialect} is not installed ({error}). "
            "Install it: pip install efn_compose[parity]"
        ) from None
