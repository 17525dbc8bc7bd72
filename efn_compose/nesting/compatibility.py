"""Which networks are built alike, so that one can contain the other."""

from collections.abc import Sequence

from efn_compose.arch import ArchSpec
from efn_compose.errors import IncompatibleDonorsError, NestingError, describe_problems
from efn_compose.nesting.running.weight_source import WeightSource

_DISTIL = (
    "Train the target on the donor's outputs instead (distillation), or choose a target of the "
    "donor's family."
)


def _why_families_differ(donor: ArchSpec, target: ArchSpec) -> str:
    """Return why no exact embedding exists between two families."""
    pair = {donor.family, target.family}
    if pair & {"b", "lite"} and pair & {"v2", "v2-b"}:
        return (
            "EfficientNet V1 has an activation between its 1x1 expansion and its depthwise filter, "
            "so the two cannot become one fused convolution of V2; kernels, expansion ratios and "
            "stages differ as well"
        )
    if pair == {"b", "lite"}:
        return "Lite has no squeeze-and-excite and another activation (relu6 instead of swish)"
    if pair == {"v2", "v2-b"}:
        return "V2-S to V2-XL add the input of their first stage to its output, V2-B0 to B3 do not"
    return "their stages differ in kernels, expansion ratios or block types"


def check_relation(small: ArchSpec, large: ArchSpec, verb: str = "be nested into") -> None:
    """Raise `NestingError` unless two networks differ in widths and repeats only.

    Args:
        small: The network with fewer repeats.
        large: The network with at least as many in every stage.
        verb: The name of the operation, for the message.

    Example:
        >>> from efn_compose.arch import arch_spec
        >>> check_relation(arch_spec("b0"), arch_spec("l3"))
    """
    families = {small.family, large.family}
    if len(families) > 1 and "custom" not in families:
        raise NestingError(
            f"{small.variant} (family {small.family!r}) cannot {verb} {large.variant} (family "
            f"{large.family!r}): {_why_families_differ(small, large)}. {_DISTIL}"
        )
    if small.stage_count != large.stage_count:
        raise NestingError(
            f"{small.variant} cannot {verb} {large.variant}: {small.stage_count} and "
            f"{large.stage_count} stages. A whole extra stage changes the width of the stream, so "
            f"it cannot be an identity. {_DISTIL}"
        )
    problems = []
    if small.stem_stride != large.stem_stride:
        problems.append(f"stem stride: {small.stem_stride} and {large.stem_stride}")
    if bool(small.top_channels) != bool(large.top_channels):
        problems.append(f"top channels: {small.top_channels} and {large.top_channels}")
    for stage in range(1, large.stage_count + 1):
        few, many = list(small.stage_blocks(stage)), list(large.stage_blocks(stage))
        if len(few) > len(many):
            problems.append(f"stage {stage}: {len(few)} repeats do not fit into {len(many)}")
        for mine, theirs in zip(few, many, strict=False):
            for field in ("kind", "kernel", "stride", "has_expand"):
                if getattr(mine, field) != getattr(theirs, field):
                    problems.append(
                        f"{mine.name}: {field} {getattr(mine, field)!r} and "
                        f"{getattr(theirs, field)!r}"
                    )
            if bool(mine.se_channels) != bool(theirs.se_channels):
                problems.append(f"{mine.name}: only one of them has squeeze-and-excite")
    if problems:
        raise NestingError(
            describe_problems(
                f"{small.variant} cannot {verb} {large.variant}.",
                problems,
                "Choose a target with at least as many repeats in every stage and the same blocks.",
            )
        )


def check_compatible(sources: Sequence[WeightSource], shares: Sequence[float]) -> None:
    """Raise `IncompatibleDonorsError` unless networks can share an input and a classifier.

    Args:
        sources: The donors.
        shares: Share of each in the logits; a donor with share 0 may have any classifier.
    """
    first, *others = sources
    problems = []
    for other, share in zip(others, shares[1:], strict=True):
        pair = f"{first.name} and {other.name}: "
        differences = first.conventions.differences(other.conventions)
        problems += [pair + line for line in differences if not line.startswith("bn_momentum")]
        if share and first.classes != other.classes:
            problems.append(f"{pair}classes: {first.classes} and {other.classes}")
    if problems:
        raise IncompatibleDonorsError(
            describe_problems(
                "Donors side by side see the same input and share one classifier, but they differ.",
                problems,
                "Make them equal first (efn_compose.donors.harmonise), or drop the "
                "classifiers (donor.without_head()).",
            )
        )
