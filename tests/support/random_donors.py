"""Small random donors whose output depends on their input, for tests without real weights."""

import dataclasses
from functools import cache

import numpy as np

from efn_compose.arch import (
    PREPROCESSINGS,
    ArchSpec,
    BlockSpec,
    arch_spec,
    default_conventions,
    inventory,
)
from efn_compose.donors import Donor
from efn_compose.nesting.running.forward import NumpyNetwork, batch_statistics
from efn_compose.nesting.running.weight_source import WeightSource

LITE = "lite-w0.25-d0.3"


def two_repeats(variant: str) -> ArchSpec:
    """Return a network with two repeats per stage at most: a third is wired as the second."""
    whole = arch_spec(variant)
    blocks = tuple(block for block in whole.blocks if block.repeat <= 2)
    return dataclasses.replace(whole, variant=f"{variant}-twice", blocks=blocks)


def first_stages(variant: str, count: int) -> ArchSpec:
    """Return a network that ends after its first stages: cheap to trace, wired as its family is."""
    whole = arch_spec(variant)
    blocks = tuple(block for block in whole.blocks if block.stage <= count)
    return dataclasses.replace(whole, variant=f"{variant}-begun", blocks=blocks)


#: One nano network per wiring: V1 with a stage-1 repeat, Lite, V2-Bx with a stage-1 repeat.
NANO_VARIANTS = (two_repeats("b-w0.1-d1.1"), LITE, two_repeats("v2-b-w0.1-d1.1"))
#: Two blocks, with and without an expansion and a skip: a training takes a second, tracing included.
TINY = ArchSpec(
    variant="b-tiny",
    family="b",
    width=0.1,
    depth=0.1,
    resolution=16,
    dropout=0.2,
    stem_channels=8,
    blocks=(
        BlockSpec(1, 1, "mbconv", 3, 1, 8, 8, 8, 2, False, True),
        BlockSpec(2, 1, "mbconv", 3, 2, 8, 24, 12, 2, True, False),
    ),
    top_channels=32,
)


def photo_like(count: int, side: int = 32, seed: int = 0) -> np.ndarray:
    """Return smooth random RGB images (image, side, side, 3), uint8, contrasts varying."""
    rng = np.random.default_rng(seed)
    coarse = rng.normal(size=(count, 5, 5, 3))
    grid = np.linspace(0, 4, side)
    low = np.clip(grid.astype(int), 0, 3)
    part = grid - low
    rows = coarse[:, low] * (1 - part)[:, None, None] + coarse[:, low + 1] * part[:, None, None]
    image = (
        rows[:, :, low] * (1 - part)[:, None] + rows[:, :, low + 1] * part[:, None]
    ) * rng.uniform(20, 60, (count, 1, 1, 1))
    image += 128 + rng.normal(size=image.shape) * 10
    return np.clip(image, 0, 255).astype(np.uint8)


def small_v2_s() -> ArchSpec:
    """Return V2-S at an eighth of its width, at most two repeats per stage: stem is stage 1."""
    whole = arch_spec("v2-s")

    def narrow(channels: int | None) -> int | None:
        return None if channels is None else channels // 8

    blocks = tuple(
        dataclasses.replace(
            block,
            in_channels=narrow(block.in_channels),
            mid_channels=narrow(block.mid_channels),
            out_channels=narrow(block.out_channels),
            se_channels=narrow(block.se_channels),
        )
        for block in whole.blocks
        if block.repeat <= 2
    )
    return dataclasses.replace(
        whole, stem_channels=narrow(whole.stem_channels), top_channels=160, blocks=blocks
    )


def random_donor(
    variant: str | ArchSpec = LITE,
    seed: int = 0,
    *,
    name: str = "",
    classes: int | None = 7,
    images: np.ndarray | None = None,
    dtype: str = "float32",
    **conventions: object,
) -> Donor:
    """Return a random donor whose BatchNorm statistics are those of images, then perturbed.

    Without them a deep random network hardly depends on its input, and any two networks
    would seem to agree.

    Args:
        variant: A network, or the name of one.
        seed: Of the weights.
        name: Default: "nano" and the seed.
        classes: Width of the classifier, None for none.
        images: uint8 or float (image, height, width, 3), values 0-255. Default: 24 of side 32.
        dtype: Of the weights.
        conventions: Fields of `Conventions` that differ from the family's.
    """
    rng = np.random.default_rng(seed)
    spec = variant if isinstance(variant, ArchSpec) else arch_spec(variant)
    rules = dataclasses.replace(default_conventions(spec), **conventions)
    tensors = {}
    for tensor in inventory(spec, classes):
        shape = tensor.shape
        if tensor.role in ("kernel", "depthwise_kernel"):
            fan = np.prod(shape[:2] if tensor.role == "depthwise_kernel" else shape[:-1])
            values = rng.normal(size=shape) * np.sqrt(2 / fan)
        elif tensor.role == "gamma":
            values = rng.uniform(0.6, 1.4, shape)
        elif tensor.role == "moving_variance":
            values = np.ones(shape)
        else:
            values = rng.normal(size=shape) * 0.2
        tensors[tensor.name] = values.astype(dtype)
    donor = Donor(name or f"nano{seed}", spec, rules, tensors, {"licence": "Apache-2.0"})

    def calibrate(
        layer: str, inputs: np.ndarray, *stored: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        mean, variance = batch_statistics(layer, inputs, *stored)
        mean = mean + rng.normal(size=mean.shape) * 0.1 * np.sqrt(variance)
        floor = 0.1 * variance.mean() + 1e-3
        variance = variance * rng.uniform(0.8, 1.25, variance.shape) + floor
        tensors[f"{layer}/moving_mean"] = mean.astype(dtype)
        tensors[f"{layer}/moving_variance"] = variance.astype(dtype)
        return mean, variance

    inputs = donor.preprocess(photo_like(24, seed=1000) if images is None else images)
    NumpyNetwork(WeightSource.of(donor), statistics=calibrate).run(inputs)
    return donor


@cache
def search_donors(variant: str | ArchSpec = LITE) -> tuple[Donor, Donor]:
    """Return donors "a" and "b": one network, no classifier, as a search wants them.

    Their scaling divides by a power of two: input is exact whoever computes it.
    """
    options = {"classes": None, "preprocessing": PREPROCESSINGS["lite"]}
    first, second = (
        random_donor(variant, seed, name=name, **options) for seed, name in ((1, "a"), (2, "b"))
    )
    return first, second
