"""Compares the outputs of a nested network with those of its donors."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from efn_compose.donors import Donor
from efn_compose.errors import NestingError
from efn_compose.nesting.running.forward import NumpyNetwork, batch_statistics
from efn_compose.nesting.running.weight_source import WeightSource
from efn_compose.store import WeightFile

#: Largest relative difference that counts as equal, by dtype of the stored weights:
#: far above rounding of the arithmetic, far below any structural error. A file of half
#: precision is compared with its donors rounded alike, so that only shares are rounded apart.
TOLERANCES = {"float64": 1e-9, "float32": 1e-3, "float16": 0.01, "bfloat16": 0.05}
HALF_PRECISIONS = ("float16", "bfloat16")


@dataclass(frozen=True)
class NestingCheck:
    """How far the outputs of a nested network are from the right ones.

    Args:
        largest_difference: Largest absolute difference of any output on any image. Of a U-Net
            these are its classifier's or pooled outputs, or its masks: whichever are further apart.
        input_std: How much the expected outputs vary from image to image (standard
            deviation over images, mean over outputs); the yardstick, because a
            network that ignores its input passes any absolute bound.
        image_count: Number of images.
        image_side: Their height, in pixels.
        is_training: Whether BatchNorm used batch statistics.
    """

    largest_difference: float
    input_std: float
    image_count: int
    image_side: int
    is_training: bool

    @property
    def relative(self) -> float:
        """Largest difference in units of `input_std`."""
        return self.largest_difference / self.input_std if self.input_std else float("inf")

    def describe(self) -> str:
        """Return one line for people.

        Example:
            >>> NestingCheck(2e-12, 4.0, 8, 64, False).describe()
            'moving statistics, 8 images of 64 px: largest difference 2.0e-12 = 5.0e-13 x input std'
        """
        statistics = "batch" if self.is_training else "moving"
        return (
            f"{statistics} statistics, {self.image_count} images of {self.image_side} px: largest "
            f"difference {self.largest_difference:.1e} = {self.relative:.1e} x input std"
        )


def random_pixels(count: int = 8, side: int = 64, seed: int = 0) -> np.ndarray:
    """Return random RGB images (image, side, side, 3), values 0-255, smooth plus noise.

    Example:
        >>> random_pixels(2, 32).shape
        (2, 32, 32, 3)
    """
    rng = np.random.default_rng(seed)
    cells = rng.normal(size=(count, -(-side // 8), -(-side // 8), 3))
    smooth = np.kron(cells, np.ones((1, 8, 8, 1)))[:, :side, :side]
    noise = rng.normal(size=smooth.shape)
    contrast = rng.uniform(10, 60, (count, 1, 1, 1))
    return np.clip(128 + contrast * (smooth + 0.3 * noise), 0, 255).astype(np.float32)


def verify_nesting(
    nested: Donor | WeightFile | WeightSource,
    donors: Sequence[Donor | WeightFile | WeightSource],
    *,
    weights: Sequence[float] | None = None,
    images: np.ndarray | None = None,
    positions: Sequence[np.ndarray] | None = None,
    is_training: bool = False,
    dtype: str = "float64",
) -> NestingCheck:
    """Run a nested network and its donors and compare their outputs, of U-Nets their masks, too.

    Networks are read one tensor at a time, so any size can be checked.

    Args:
        nested: The large network.
        donors: The networks inside it.
        weights: Share of each donor in the logits; default equal shares.
        images: RGB (image, height, width, 3), values 0-255; default 8 random ones of 64 px.
        positions: For networks without classifier, each donor's positions among the
            pooled features; default side by side.
        is_training: Compare with batch statistics instead of the moving ones.
        dtype: Of all arithmetic.

    Returns:
        The largest difference and its yardstick.

    Raises:
        NestingError: The networks have different classifiers.

    Example:
        >>> verify_nesting(large, [small]).relative < 1e-3  # doctest: +SKIP
        True
    """
    sources = [WeightSource.of(donor) for donor in donors]
    large = WeightSource.of(nested)
    scaling = sources[0].conventions.preprocessing
    pixels = random_pixels() if images is None else np.asarray(images)
    inputs = (pixels - np.asarray(scaling.mean)) / np.asarray(scaling.std)
    statistics = batch_statistics if is_training else None

    def network(source: WeightSource) -> NumpyNetwork:
        return NumpyNetwork(source, dtype, statistics=statistics)

    def outputs(source: WeightSource) -> np.ndarray:
        return network(source).run(inputs)

    shares = [1 / len(sources)] * len(sources) if weights is None else list(weights)
    if large.classes is None:
        expected = np.concatenate([outputs(source) for source in sources], axis=1)
        places = np.arange(expected.shape[1]) if positions is None else np.concatenate(positions)
        result = outputs(large)[:, places]
    else:
        counted = [(source, share) for source, share in zip(sources, shares, strict=True) if share]
        if any(source.classes != large.classes for source, _ in counted):
            raise NestingError(
                f"{large.name} has {large.classes} classes, its donors "
                f"{[source.classes for source, _ in counted]}; compare networks with the same "
                "classifier, or all without one."
            )
        expected = functools.reduce(np.add, (share * outputs(source) for source, share in counted))
        result = outputs(large)

    def check(result: np.ndarray, expected: np.ndarray) -> NestingCheck:
        return NestingCheck(
            largest_difference=float(np.abs(result - expected).max()),
            input_std=float(expected.std(axis=0).mean()),
            image_count=len(inputs),
            image_side=inputs.shape[1],
            is_training=is_training,
        )

    checks = [check(result, expected)]
    if large.spec.decoder is not None:
        # A U-Net is nested alone: nobody averages its masks with those of others.
        checks.append(check(network(large).masks(inputs), network(sources[0]).masks(inputs)))
    return max(checks, key=lambda one: one.relative)
