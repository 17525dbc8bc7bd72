"""Where the channels and repeats of donors go in a larger network.

The plan knows no weights. It is derived from the channel-group tables of the
networks alone, and says for every tensor of the target which tensor of each
donor it holds, and at which positions of which axes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np

from efn_compose.arch import ArchSpec, Axis, TensorSpec, channel_groups, inventory
from efn_compose.arch.layer_names import STEM_BN, is_part
from efn_compose.errors import NestingError, describe_problems
from efn_compose.nesting.compatibility import check_relation

ExtraRepeats = Literal["end", "interleaved"]
Positions = Literal["leading", "random"]


@dataclass(frozen=True)
class Occupant:
    """The place of a donor's tensor inside a target tensor.

    Args:
        donor: Number of the donor.
        tensor: The donor's tensor.
        index: For each axis, the positions in the target tensor (None for a whole axis).
        is_copy: Whether the target's block is an extra repeat that copies the donor's.
    """

    donor: int
    tensor: TensorSpec
    index: tuple[np.ndarray | None, ...]
    is_copy: bool

    @property
    def selector(self) -> tuple[np.ndarray, ...]:
        """An index that selects the occupied entries of the target tensor."""
        return np.ix_(
            *(
                np.arange(length) if positions is None else positions
                for positions, length in zip(self.index, self.tensor.shape, strict=True)
            )
        )


@dataclass(frozen=True)
class NestingPlan:
    """The injection of one or more networks into a larger one.

    Args:
        donors: The networks to be nested.
        target: The network that receives them.
        classes: Width of the target's classifier, None for none.
        donor_classes: Per donor, `classes`, or None where its classifier takes no part.
        positions: Positions in the target's group, by (target group, donor number, donor group).
        block_sources: Per donor, for each target block the donor's block of the same
            place, or None in an extra repeat.
        block_copies: Per donor, for each extra repeat the donor's block it copies, or
            None where the donor's stage has no block of the same shape.
    """

    donors: tuple[ArchSpec, ...]
    target: ArchSpec
    classes: int | None
    donor_classes: tuple[int | None, ...]
    positions: Mapping[tuple[str, int, str], np.ndarray]
    block_sources: tuple[Mapping[str, str | None], ...]
    block_copies: tuple[Mapping[str, str | None], ...]

    def occupants(self, tensor: TensorSpec) -> list[Occupant]:
        """Return the place of each donor in a target tensor; donors without one are left out."""
        found = []
        for number, spec in enumerate(self.donors):
            name, is_copy = donor_tensor_name(
                tensor, self.block_sources[number], self.block_copies[number]
            )
            originals = tensors_by_name(spec, self.donor_classes[number])
            if name not in originals:
                continue
            original = originals[name]
            index = tuple(
                None if mine.group is None else self.positions[mine.group, number, group_of(theirs)]
                for mine, theirs in zip(tensor.axes, original.axes, strict=True)
            )
            found.append(Occupant(number, original, index, is_copy))
        return found

    def owned(self, group: str) -> np.ndarray:
        """Return the positions of a target group that belong to a donor, in donor order."""
        parts = [
            positions for (target, _, _), positions in self.positions.items() if target == group
        ]
        return np.concatenate(parts) if parts else np.empty(0, np.intp)

    def feature_positions(self) -> list[np.ndarray]:
        """Return each donor's positions among the pooled features."""
        group = feature_group(self.target)
        return [
            self.positions[group, number, feature_group(spec)]
            for number, spec in enumerate(self.donors)
        ]

    def is_extra_for_all(self, tensor: TensorSpec) -> bool:
        """Return whether a target tensor lies in a repeat that no donor has."""
        block = block_of(tensor)
        return block is not None and all(sources[block] is None for sources in self.block_sources)


def block_of(tensor: TensorSpec) -> str | None:
    """Return the name of the block a tensor belongs to, None for stem, top and classifier.

    Example:
        >>> from efn_compose.arch import arch_spec, inventory
        >>> block_of(inventory(arch_spec("b0"))[5])
        'stage1_block1'
    """
    parts = tensor.layer.split("_")
    return "_".join(parts[:2]) if parts[0].startswith("stage") else None


def group_of(axis: Axis) -> str:
    """Return the channel group of an axis that carries channels.

    Raises:
        ValueError: The axis has no group, as height and width of a kernel.
    """
    if axis.group is None:
        raise ValueError("an axis of fixed length belongs to no channel group")
    return axis.group


def feature_group(spec: ArchSpec) -> str:
    """Return the group of the pooled features: the top, or the last stream."""
    return group_of(inventory(spec.with_decoder(None))[-1].axes[0])


@lru_cache(maxsize=64)
def tensors_by_name(spec: ArchSpec, classes: int | None) -> dict[str, TensorSpec]:
    """Return a network's tensors by canonical name."""
    return {tensor.name: tensor for tensor in inventory(spec, classes)}


def is_stream_producer(tensor: TensorSpec) -> bool:
    """Return whether a tensor scales or shifts the addition of a layer to a residual stream."""
    return (tensor.layer == STEM_BN or is_part(tensor.layer, "project_bn")) and tensor.role in (
        "gamma",
        "beta",
    )


def donor_tensor_name(
    tensor: TensorSpec,
    sources: Mapping[str, str | None],
    copies: Mapping[str, str | None],
) -> tuple[str | None, bool]:
    """Return the donor's name of a target tensor, and whether it is a copy in an extra repeat."""
    block = block_of(tensor)
    if block is None:
        return tensor.name, False
    original = sources[block] or copies[block]
    if original is None:
        return None, True
    return tensor.name.replace(block, original, 1), sources[block] is None


def match_repeats(
    donor: ArchSpec, target: ArchSpec, extra_repeats: ExtraRepeats
) -> tuple[dict[str, str | None], dict[str, str | None]]:
    """Pair the target's blocks with the donor's, stage by stage.

    Args:
        donor: The smaller network.
        target: The larger one, of the same stages.
        extra_repeats: "end" puts the target's extra repeats behind the donor's,
            "interleaved" spreads them between.

    Returns:
        For each target block the donor's block or None, and for each block with
        None the nearest donor block of the same shape, which it can copy, or None.

    Example:
        >>> from efn_compose.arch import arch_spec
        >>> sources, copies = match_repeats(arch_spec("b0"), arch_spec("b1"), "end")
        >>> sources["stage2_block3"], copies["stage2_block3"], copies["stage1_block2"]
        (None, 'stage2_block2', None)
    """
    sources: dict[str, str | None] = {}
    copies: dict[str, str | None] = {}
    for stage in range(1, target.stage_count + 1):
        theirs, mine = list(donor.stage_blocks(stage)), list(target.stage_blocks(stage))
        places = list(range(len(theirs)))
        if extra_repeats == "interleaved":
            places = [number * len(mine) // len(theirs) for number in places]
        taken = dict(zip(places, theirs, strict=True))
        # The first block of a stage reads another stream, so a repeat cannot copy it.
        candidates = [place for place, block in taken.items() if block.has_skip]
        for number, block in enumerate(mine):
            sources[block.name] = taken[number].name if number in taken else None
            if number not in taken:
                nearest = min(candidates, key=lambda place: abs(place - number), default=None)
                copies[block.name] = None if nearest is None else taken[nearest].name
    return sources, copies


def plan_nesting(
    donors: Sequence[ArchSpec],
    target: ArchSpec,
    *,
    classes: int | None = None,
    donor_classes: Sequence[int | None] | None = None,
    extra_repeats: ExtraRepeats = "end",
    positions: Positions = "leading",
    seed: int = 0,
) -> NestingPlan:
    """Plan how networks are placed inside a larger one, side by side.

    Args:
        donors: One network, or several that fit beside each other.
        target: The larger network.
        classes: Width of the target's classifier, None for none.
        donor_classes: Per donor, `classes`, or None where its classifier takes no
            part; default `classes` for all.
        extra_repeats: Where the target's extra repeats go, "end" or "interleaved".
        positions: "leading" puts the donors' channels first, in order; "random"
            scatters them.
        seed: Decides the random positions.

    Raises:
        NestingError: The target is smaller, or built differently; every reason is listed.

    Example:
        >>> from efn_compose.arch import arch_spec
        >>> plan = plan_nesting([arch_spec("b0")], arch_spec("b1"))
        >>> len(plan.owned("stage2"))
        24
    """
    for donor in donors:
        check_relation(donor, target)
    matches = [match_repeats(donor, target, extra_repeats) for donor in donors]
    donor_classes = tuple(donor_classes or [classes] * len(donors))
    demands, problems = _demands(donors, donor_classes, target, classes, matches)
    sizes = {name: group.size for name, group in channel_groups(target, classes).items()}
    rng = np.random.default_rng(seed)
    placed: dict[tuple[str, int, str], np.ndarray] = {}
    for group, wanted in demands.items():
        needed = sum(wanted.values())
        if needed > sizes[group]:
            problems.append(
                f"{group}: {' + '.join(map(str, wanted.values()))} channels do not fit "
                f"into {sizes[group]}"
            )
            continue
        order = np.arange(sizes[group])
        if positions == "random":
            order = rng.permutation(order)
        parts = np.split(order[:needed], np.cumsum(list(wanted.values()))[:-1])
        for (number, donor_group), part in zip(wanted, parts, strict=True):
            placed[group, number, donor_group] = part
    if problems:
        names = " + ".join(donor.variant for donor in donors)
        raise NestingError(
            describe_problems(
                f"{names} cannot be nested into {target.variant}: the target is too narrow or "
                "wired differently.",
                problems,
                "Choose a target with a larger width, or cut the donor first: efn-compose shrink.",
            )
        )
    return NestingPlan(
        donors=tuple(donors),
        target=target,
        classes=classes,
        donor_classes=donor_classes,
        positions=placed,
        block_sources=tuple(sources for sources, _ in matches),
        block_copies=tuple(copies for _, copies in matches),
    )


def _demands(
    donors: Sequence[ArchSpec],
    donor_classes: Sequence[int | None],
    target: ArchSpec,
    classes: int | None,
    matches: Sequence[tuple[Mapping[str, str | None], Mapping[str, str | None]]],
) -> tuple[dict[str, dict[tuple[int, str], int]], list[str]]:
    """Return, by target group, the channels each donor's group needs there, and problems."""
    demands: dict[str, dict[tuple[int, str], int]] = {}
    home: dict[tuple[int, str], str] = {}
    problems = []
    for tensor in inventory(target, classes):
        for number, donor in enumerate(donors):
            name, is_copy = donor_tensor_name(tensor, *matches[number])
            originals = tensors_by_name(donor, donor_classes[number])
            if name not in originals:
                continue
            original = originals[name]
            pairs = zip(tensor.axes, original.axes, strict=True)
            for axis, (mine, theirs) in enumerate(pairs):
                if mine.group is None or theirs.group is None:
                    continue
                key = (number, theirs.group)
                demands.setdefault(mine.group, {})[key] = original.shape[axis]
                # Only a first block can tell two streams apart that the donor keeps as one.
                if not is_copy and home.setdefault(key, mine.group) != mine.group:
                    problems.append(
                        f"{name}: the donor adds the block's input to its output (both have "
                        f"{original.shape[axis]} channels), the target does not"
                    )
    return demands, list(dict.fromkeys(problems))
