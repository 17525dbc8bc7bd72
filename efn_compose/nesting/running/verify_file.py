"""Compare a written file with the networks that were put into it."""

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from efn_compose.donors import Donor
from efn_compose.nesting.plan import ExtraRepeats, Positions, plan_nesting
from efn_compose.nesting.running.verify import (
    HALF_PRECISIONS,
    TOLERANCES,
    NestingCheck,
    verify_nesting,
)
from efn_compose.nesting.running.weight_source import WeightSource
from efn_compose.store import WeightFile

#: Images of the caller's that one comparison looks at.
_IMAGES = 8


@dataclass(frozen=True)
class FileCheck:
    """How far a file's network is from the networks in it.

    Args:
        checks: Comparisons with moving and with batch statistics, and on images where given.
        rounding: For half precision: how far rounding alone moves the outputs.
        tolerance: The largest difference that counts as equal, in units of the input's deviation.
    """

    checks: tuple[NestingCheck, ...]
    rounding: NestingCheck | None
    tolerance: float

    @property
    def is_equal(self) -> bool:
        """Whether every comparison is within the tolerance."""
        return all(check.relative < self.tolerance for check in self.checks)


def verify_file(
    path: str | os.PathLike[str],
    donors: Sequence[Donor | WeightFile],
    weights: Sequence[float],
    *,
    images: np.ndarray | None = None,
    extra_repeats: ExtraRepeats = "end",
    positions: Positions = "leading",
    seed: int = 0,
) -> FileCheck:
    """Run a file's network and its donors in float64 and compare them.

    Args:
        path: The file, as `nest_to_file` or `direct_sum_to_file` wrote it.
        donors: The networks in it, in order: donors, or open files, read in their own type.
        weights: Share of each donor in the logits.
        images: RGB (image, height, width, 3), values 0-255, for one more comparison.
        extra_repeats: As it was written, as the following two.
        positions: Which channels the donors took.
        seed: Of random positions.

    Raises:
        NestingError: The networks have different classifiers.

    Example:
        >>> verify_file("b5.h5", [load_donor("b0.h5")], [1.0]).is_equal  # doctest: +SKIP
        True
    """
    with WeightFile(path) as nested:
        header = nested.header
        is_half = header.dtype in HALF_PRECISIONS
        sources = [WeightSource.of(donor) for donor in donors]
        if header.classes is None:
            sources = [source.replace(classes=None) for source in sources]
        rounded = [source.rounded(header.dtype) if is_half else source for source in sources]
        specs = [source.spec for source in sources]
        plan = plan_nesting(
            specs, header.spec, extra_repeats=extra_repeats, positions=positions, seed=seed
        )
        places = plan.feature_positions()
        checks = [
            verify_nesting(
                nested, rounded, weights=weights, positions=places, is_training=is_training
            )
            for is_training in (False, True)
        ]
        if images is not None:
            some = images[:_IMAGES]
            checks.append(
                verify_nesting(nested, rounded, weights=weights, positions=places, images=some)
            )
        rounding = (
            verify_nesting(nested, sources, weights=weights, positions=places) if is_half else None
        )
    return FileCheck(tuple(checks), rounding, TOLERANCES[header.dtype])
