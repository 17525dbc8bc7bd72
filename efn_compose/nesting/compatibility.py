"""Which networks are built alike, so that one can contain the other."""

from collections.abc import Iterator, Sequence

from efn_compose.arch import ArchSpec
from efn_compose.donors.trained_for import TrainedFor
from efn_compose.errors import IncompatibleDonorsError, NestingError, describe_problems, first_of
from efn_compose.nesting.running.weight_source import WeightSource

#: Class names that a message lists.
_NAMED = 5


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
    problems = []
    for field in ("stage_count", "stem_stride"):
        mine, theirs = getattr(small, field), getattr(large, field)
        if mine != theirs:
            problems.append(f"{field.replace('_', ' ')}: {mine} and {theirs}")
    if small.stage_count != large.stage_count:
        problems.append(
            "a whole extra stage changes the width of the stream, so it cannot be an identity"
        )
    if bool(small.top_channels) != bool(large.top_channels):
        problems.append(f"top channels: {small.top_channels} and {large.top_channels}")
    for stage in range(1, min(small.stage_count, large.stage_count) + 1):
        problems += _stage_problems(stage, small, large)
    if problems:
        raise NestingError(
            describe_problems(
                f"{small.variant} (family {small.family!r}) cannot {verb} {large.variant} (family "
                f"{large.family!r}).",
                problems,
                "Choose a target with at least as many repeats in every stage and the same blocks. "
                "For another kind of network, train the target on the donor's outputs instead "
                "(distillation).",
            )
        )


def _stage_problems(stage: int, small: ArchSpec, large: ArchSpec) -> Iterator[str]:
    """Yield what keeps a stage of a network out of the same stage of a larger one."""
    few, many = list(small.stage_blocks(stage)), list(large.stage_blocks(stage))
    if len(few) > len(many):
        yield f"stage {stage}: {len(few)} repeats do not fit into {len(many)}"
    for mine, theirs in zip(few, many, strict=False):
        for field in ("kind", "kernel", "stride", "has_expand"):
            if getattr(mine, field) != getattr(theirs, field):
                yield f"{mine.name}: {field} {getattr(mine, field)!r} and {getattr(theirs, field)!r}"
        if bool(mine.se_channels) != bool(theirs.se_channels):
            yield f"{mine.name}: only one of them has squeeze-and-excite"
    for extra in many[len(few) :]:
        if not extra.has_skip:
            yield (
                f"{extra.name}: an extra repeat that does not add its input to its output, so it "
                "cannot be an identity"
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
        # A background class is one of a classifier that both share.
        unread = ("bn_momentum",) if share and first.classes else ("bn_momentum", "class_offset")
        problems += [pair + line for line in differences if not line.startswith(unread)]
        if share and first.classes != other.classes:
            problems.append(f"{pair}classes: {first.classes} and {other.classes}")
        names = [_class_names(source) for source in (first, other)]
        if share and all(names) and names[0] != names[1]:
            one, two = (", ".join(first_of(found, _NAMED)) for found in names)
            problems.append(f"{pair}class names: ({one}) and ({two})")
    if problems:
        raise IncompatibleDonorsError(
            describe_problems(
                "Donors side by side see the same input and share one classifier, but they differ.",
                problems,
                "Make them equal first (efn_compose.donors.harmonise), or drop the "
                "classifiers (donor.without_head(), --head drop).",
            )
        )


def _class_names(source: WeightSource) -> tuple[str, ...]:
    return TrainedFor.of(source.provenance, source.classes or 0).class_names
