"""Small weights inside a large network of the same family, computing the same function."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from efn_compose.arch import ArchSpec, arch_spec
from efn_compose.donors import Donor
from efn_compose.donors.lineage import without_basis
from efn_compose.donors.unet import parted
from efn_compose.errors import ConfigError
from efn_compose.nesting.compatibility import check_compatible
from efn_compose.nesting.embed import Embedding
from efn_compose.nesting.fills import FILLS
from efn_compose.nesting.plan import ExtraRepeats, Positions, plan_nesting
from efn_compose.nesting.reducing.calibrate import calibrate_new_channels
from efn_compose.nesting.running.weight_source import WeightSource
from efn_compose.store.weights.parts import refuse_parts

NestFill = Literal["he", "replicate", "zero", "donor"]


def nest(
    donor: Donor,
    target: ArchSpec | str,
    *,
    fill: NestFill = "he",
    extra_repeats: ExtraRepeats = "end",
    positions: Positions = "leading",
    seed: int = 0,
    second: Donor | None = None,
    images: np.ndarray | None = None,
    dtype: Literal["float32", "float64"] = "float32",
) -> Donor:
    """Place a network's weights inside a larger one of its family, function unchanged.

    At the same input size the large network computes the donor's logits, with
    moving and with batch statistics (up to rounding, and up to dropout). Width
    grows by consumer-zero injection, depth by repeats that start as identities
    (Net2Net, Chen et al. 2016, arXiv:1511.05641); see `embed` for the conditions.

    Args:
        donor: The small network's weights.
        target: The large network or its variant name.
        fill: What new channels start from: "he" (random, read by nobody yet),
            "replicate" (copies of salient channels, readers shared), "zero" (dead),
            "donor" (the features of `second`, read by nobody yet; "he" where it ends).
        extra_repeats: New repeats at the "end" of each stage or "interleaved".
        positions: Donor channels "leading" or at "random" positions.
        seed: Decides random values and positions.
        second: The donor for `fill="donor"`; must fit beside the first. Its
            classifier is left out.
        images: RGB images (image, height, width, 3), values 0-255, on which
            BatchNorm of new channels is calibrated; some tens suffice.
        dtype: Of the returned tensors.

    Returns:
        A donor of the target network; its provenance lists the step.

    Raises:
        NestingError: The target is smaller or built differently; every reason is listed.
        IncompatibleDonorsError: The second donor wants to be run differently.

    Example:
        >>> large = nest(load_donor("b0.h5"), "b5")  # doctest: +SKIP
        >>> large.spec.variant  # doctest: +SKIP
        'b5'
    """
    if (fill == "donor") != (second is not None):
        raise ConfigError("fill='donor' and second=DONOR belong together; give both or neither.")
    donors, shares = [donor], [1.0]
    if second is not None:
        donors, shares = [donor, second.without_head()], [1.0, 0.0]
        check_compatible([WeightSource.of(one) for one in donors], shares)
    return build_nested(
        donors,
        target,
        head_weights=shares,
        fill="he" if fill == "donor" else fill,
        extra_repeats=extra_repeats,
        positions=positions,
        seed=seed,
        images=images,
        dtype=dtype,
    )


def build_nested(
    donors: Sequence[Donor],
    target: ArchSpec | str,
    *,
    head_weights: Sequence[float],
    **options: Any,
) -> Donor:
    """Build a nested donor in memory; options as for `nest`."""
    dtype, images = options.pop("dtype", "float32"), options.pop("images", None)
    sources = [WeightSource.of(donor) for donor in donors]
    embedding = plan_embedding(sources, target, head_weights=head_weights, **options)
    embedding.dtype = dtype
    if images is not None:
        embedding.statistics = calibrate_new_channels(embedding, donors[0].preprocess(images))
    return parted(
        Donor(
            name=embedding.as_source().name,
            spec=embedding.plan.target,
            conventions=donors[0].conventions,
            tensors=embedding.all_tensors(),
            provenance=nested_provenance(sources, embedding, options),
        )
    )


def plan_embedding(
    sources: Sequence[WeightSource],
    target: ArchSpec | str,
    *,
    head_weights: Sequence[float],
    fill: str = "he",
    extra_repeats: ExtraRepeats = "end",
    positions: Positions = "leading",
    seed: int = 0,
) -> Embedding:
    """Check options and shapes and return the embedding, before any weight is read."""
    allowed = {
        "fill": (fill, FILLS),
        "extra_repeats": (extra_repeats, ("end", "interleaved")),
        "positions": (positions, ("leading", "random")),
    }
    for name, (received, choices) in allowed.items():
        if received not in choices:
            raise ConfigError(f"{name} must be one of {choices}. Received: {received!r}.")
    plan = plan_nesting(
        [source.spec for source in sources],
        _with_decoder(sources, arch_spec(target) if isinstance(target, str) else target),
        classes=sources[0].classes,
        donor_classes=[source.classes for source in sources],
        extra_repeats=extra_repeats,
        positions=positions,
        seed=seed,
    )
    return Embedding(plan, sources, head_weights, fill=fill, seed=seed)


def _with_decoder(sources: Sequence[WeightSource], target: ArchSpec) -> ArchSpec:
    """Return the target with the decoder of the one network that is nested."""
    decoder = sources[0].spec.decoder
    is_whole = decoder is not None and decoder.repeats == "all"
    has_equal_stages = target.stage_repeats == sources[0].spec.stage_repeats
    for source in sources:
        if source.spec.decoder is not None and len(sources) > 1:
            refuse_parts(source.name, ("decoder",), "placing networks side by side")
        if source.spec.decoder is not None and is_whole and not has_equal_stages:
            refuse_parts(source.name, ("decoder",), "adding repeats, which it would mirror,")
    return target.with_decoder(decoder)


def nested_provenance(
    sources: Sequence[WeightSource], embedding: Embedding, options: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the first donor's provenance with the nesting appended to its steps.

    What it says of the order of channels goes where channels are no longer in that order.
    """
    is_sum = sum(weight != 0 for weight in embedding.head_weights) > 1
    has_second = len(sources) > 1 and not is_sum
    step = {
        "step": "direct_sum" if is_sum else "nest",
        "donors": [
            {"name": source.name, "variant": source.spec.variant, "weight": float(weight)}
            for source, weight in zip(sources, embedding.head_weights, strict=True)
        ],
        "target": embedding.plan.target.variant,
        "fill": "donor" if has_second else embedding.fill,
        "extra_repeats": options.get("extra_repeats", "end"),
        "positions": options.get("positions", "leading"),
        "seed": embedding.seed,
        "calibrated": bool(embedding.statistics),
    }
    if len(sources) > 1:
        step["provenance_of_others"] = [dict(source.provenance) for source in sources[1:]]
    first = dict(sources[0].provenance)
    if len(sources) > 1 or step["positions"] == "random":
        first = without_basis(first)
    return {**first, "steps": [*first.get("steps", []), step]}
