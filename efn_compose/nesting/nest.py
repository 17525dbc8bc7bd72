"""Small weights inside a large network of the same family, computing the same function."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from efn_compose.arch import ArchSpec, arch_spec
from efn_compose.donors import Donor
from efn_compose.errors import ConfigError
from efn_compose.nesting.embed import Embedding
from efn_compose.nesting.fills import FILLS, Fill
from efn_compose.nesting.plan import ExtraRepeats, Positions, plan_nesting
from efn_compose.nesting.weight_source import WeightSource


def nest(
    donor: Donor,
    target: ArchSpec | str,
    *,
    fill: Fill = "he",
    extra_repeats: ExtraRepeats = "end",
    positions: Positions = "leading",
    seed: int = 0,
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
            "replicate" (copies of salient channels, readers shared), "zero" (dead).
        extra_repeats: New repeats at the "end" of each stage or "interleaved".
        positions: Donor channels "leading" or at "random" positions.
        seed: Decides random values and positions.
        dtype: Of the returned tensors.

    Returns:
        A donor of the target network; its provenance lists the step.

    Raises:
        NestingError: The target is smaller or built differently; every reason is listed.

    Example:
        >>> large = nest(load_donor("b0.h5"), "b5")  # doctest: +SKIP
        >>> large.spec.variant  # doctest: +SKIP
        'b5'
    """
    return build_nested(
        [donor],
        target,
        head_weights=[1.0],
        fill=fill,
        extra_repeats=extra_repeats,
        positions=positions,
        seed=seed,
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
    dtype = options.pop("dtype", "float32")
    sources = [WeightSource.of(donor) for donor in donors]
    embedding = plan_embedding(sources, target, head_weights=head_weights, **options)
    embedding.dtype = dtype
    return Donor(
        name=f"{'+'.join(donor.name for donor in donors)}-in-{embedding.plan.target.variant}",
        spec=embedding.plan.target,
        conventions=donors[0].conventions,
        tensors=embedding.all_tensors(),
        provenance=nested_provenance(sources, embedding, options),
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
        arch_spec(target) if isinstance(target, str) else target,
        classes=sources[0].classes,
        extra_repeats=extra_repeats,
        positions=positions,
        seed=seed,
    )
    return Embedding(plan, sources, head_weights, fill=fill, seed=seed)


def nested_provenance(
    sources: Sequence[WeightSource], embedding: Embedding, options: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the first donor's provenance with the nesting appended to its steps."""
    step = {
        "step": "nest" if len(sources) == 1 else "direct_sum",
        "donors": [
            {"name": source.name, "variant": source.spec.variant, "weight": float(weight)}
            for source, weight in zip(sources, embedding.head_weights, strict=True)
        ],
        "target": embedding.plan.target.variant,
        "fill": embedding.fill,
        "extra_repeats": options.get("extra_repeats", "end"),
        "positions": options.get("positions", "leading"),
        "seed": embedding.seed,
    }
    if len(sources) > 1:
        step["provenance_of_others"] = [dict(source.provenance) for source in sources[1:]]
    first = dict(sources[0].provenance)
    return {**first, "steps": [*first.get("steps", []), step]}
