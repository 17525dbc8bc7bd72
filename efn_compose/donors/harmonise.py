"""Make donors of one network comparable: one epsilon, one input scaling, one head or none.

Tensors of two donors may be mixed only if both are run under the same
conventions. What can be folded into weights exactly is folded; what cannot
(padding, activation, widths) is refused with every difference listed.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from efn_compose.arch import HEAD_LAYER, ArchSpec, Preprocessing
from efn_compose.arch.layer_names import STEM_BN, STEM_CONV
from efn_compose.donors.donor import Donor
from efn_compose.donors.group_norm import refuse_group_norm
from efn_compose.donors.unet import joined_if_known, parted
from efn_compose.errors import IncompatibleDonorsError, describe_problems

#: The epsilon of Keras' own EfficientNets, so that composed files load there.
BN_EPSILON = 1e-3


def harmonise(
    donors: Sequence[Donor],
    *,
    fold_preprocessing: bool = False,
    bn_epsilon: float = BN_EPSILON,
) -> list[Donor]:
    """Return donors of one network under equal conventions, their functions unchanged.

    The first donor sets the input scaling, the training momentum and the
    variant's name. BatchNorm epsilon is folded into gamma, exactly in inference.
    Heads are kept only if all donors have one of the same width and class offset.

    Args:
        donors: At least one donor, all of one network.
        fold_preprocessing: Fold other input scalings into the stem. Exact except
            in the outermost pixels, where zero padding then means another colour.
        bn_epsilon: The epsilon that all donors get.

    Returns:
        New donors in the same order; unchanged tensors are shared with the old
        ones. `provenance["harmonised"]` records every folded and dropped difference.

    Raises:
        IncompatibleDonorsError: Networks, padding or activation differ, or input
            scalings do and `fold_preprocessing` is false; all differences are listed.
        FurtherPartError: A donor has a part beside backbone, head and decoder.

    Example:
        >>> donors = harmonise([load_donor("a.h5"), load_donor("b.h5")])  # doctest: +SKIP
        >>> donors[1].conventions.bn_epsilon  # doctest: +SKIP
        0.001
    """
    # A decoder has BatchNorms too, and reads streams: it is made comparable with its network.
    donors = [joined_if_known(donor) for donor in donors]
    for donor in donors:
        donor.refuse_parts("making donors comparable")
        refuse_group_norm(donor.name, donor.spec, "making donors comparable")
    _require_foldable(donors, fold_preprocessing)
    reference = donors[0]
    drop_head = _head_difference(donors)
    harmonised = []
    for donor in donors:
        done: dict[str, Any] = {}
        tensors = dict(donor.tensors)
        if donor.conventions.bn_epsilon != bn_epsilon:
            _fold_epsilon(tensors, donor.conventions.bn_epsilon, bn_epsilon)
            done["bn_epsilon"] = {"from": donor.conventions.bn_epsilon, "to": bn_epsilon}
        if not donor.conventions.preprocessing.is_close(reference.conventions.preprocessing):
            old, new = donor.conventions.preprocessing, reference.conventions.preprocessing
            _fold_preprocessing(tensors, old, new)
            done["preprocessing"] = {
                "from": dataclasses.asdict(old),
                "to": dataclasses.asdict(new),
            }
        if drop_head and donor.classes is not None:
            tensors = {n: v for n, v in tensors.items() if not n.startswith(f"{HEAD_LAYER}/")}
            done["head"] = f"dropped: {drop_head}"
        conventions = dataclasses.replace(
            reference.conventions,
            bn_epsilon=bn_epsilon,
            class_offset=0 if drop_head else reference.conventions.class_offset,
        )
        if donor.conventions.bn_momentum != conventions.bn_momentum:
            done["bn_momentum"] = {
                "from": donor.conventions.bn_momentum,
                "to": conventions.bn_momentum,
            }
        provenance = dict(donor.provenance)
        if done:
            provenance["harmonised"] = done
        harmonised.append(
            parted(
                donor.replace(
                    spec=reference.spec,
                    conventions=conventions,
                    tensors=tensors,
                    provenance=provenance,
                )
            )
        )
    return harmonised


def require_harmonised(donors: Sequence[Donor]) -> None:
    """Refuse donors whose tensors cannot be exchanged one for one.

    Raises:
        IncompatibleDonorsError: There is no donor, or networks, conventions or
            head widths differ; all differences are listed.
    """
    if not donors:
        raise IncompatibleDonorsError("At least one donor is needed. Received: none.")
    for donor in donors:
        donor.refuse_parts("exchanging tensors between donors")
        refuse_group_norm(donor.name, donor.spec, "exchanging tensors between donors")
    reference, problems = donors[0], []
    for donor in donors[1:]:
        differences = _network_differences(reference.spec, donor.spec)
        differences += reference.conventions.differences(donor.conventions)
        if reference.classes != donor.classes:
            differences.append(f"classes: {reference.classes} and {donor.classes}")
        problems += [f"≠ {reference.name} and {donor.name}: {line}" for line in differences]
    if problems:
        raise IncompatibleDonorsError(
            describe_problems(
                "These donors are not under equal conventions.",
                problems,
                "Make them equal first: donors = harmonise(donors).",
            )
        )


def _require_foldable(donors: Sequence[Donor], fold_preprocessing: bool) -> None:
    """Raise unless every difference between the donors can be folded or dropped."""
    if not donors:
        raise IncompatibleDonorsError("harmonise needs at least one donor. Received: none.")
    reference, problems, steps = donors[0], [], set()
    refused = {"padding", "activation"} | (set() if fold_preprocessing else {"preprocessing"})
    for donor in donors[1:]:
        lines = _network_differences(reference.spec, donor.spec)
        if any(line.startswith("decoder: ") for line in lines):
            steps.add("Take decoders off first: efn-compose detach FILE -o OUT.h5")
        if any(not line.startswith("decoder: ") for line in lines):
            steps.add(
                "Bring smaller networks into the larger one first: "
                "efn-compose nest FILE --into VARIANT -o OUT.h5"
            )
        for field in sorted(refused):
            ours, theirs = getattr(reference.conventions, field), getattr(donor.conventions, field)
            # Keras stores its scaling in float32: 58.39500052 is 58.395.
            is_same = ours.is_close(theirs) if field == "preprocessing" else ours == theirs
            if not is_same:
                lines.append(reference.conventions.both(donor.conventions, field))
                steps.add(_FIELD_STEPS[field])
        problems += [f"≠ {reference.name} and {donor.name}: {line}" for line in lines]
    if problems:
        raise IncompatibleDonorsError(
            describe_problems(
                f"{len(donors)} donors cannot be made comparable with {reference.name!r}.",
                problems,
                "\n  ".join(sorted(steps)),
            )
        )


_FIELD_STEPS = {
    "padding": (
        "Padding shifts every later pixel and cannot be folded: use donors of one padding "
        "('symmetric' from PyTorch trainings, 'same' from TensorFlow)."
    ),
    "activation": "The activation cannot be folded: use donors of one activation.",
    "preprocessing": (
        "Input scaling can be folded into the stem (exact except in the outermost pixels): "
        "harmonise(donors, fold_preprocessing=True)."
    ),
}


def _network_differences(ours: ArchSpec, theirs: ArchSpec) -> list[str]:
    """Return one line per field in which two networks differ in their tensors."""
    if ours.same_tensors_as(theirs):
        return []
    fields = (
        "variant", "family", "stem_channels", "stem_stride", "stage_repeats", "stage_channels",
        "top_channels", "decoder",
    )  # fmt: skip
    lines = [
        f"{field}: {getattr(ours, field)!r} and {getattr(theirs, field)!r}"
        for field in fields
        if getattr(ours, field) != getattr(theirs, field)
    ]
    if ours.stage_repeats == theirs.stage_repeats:
        # Equal outlines: name the blocks, down to the field.
        for one, other in zip(ours.blocks, theirs.blocks, strict=True):
            lines += [
                f"{one.name} {field.name}: {getattr(one, field.name)!r} "
                f"and {getattr(other, field.name)!r}"
                for field in dataclasses.fields(one)
                if getattr(one, field.name) != getattr(other, field.name)
            ]
    return lines


def _head_difference(donors: Sequence[Donor]) -> str:
    """Return why the heads cannot be kept, or an empty string."""
    reference = donors[0]
    for donor in donors[1:]:
        if donor.classes != reference.classes:
            return (
                f"{reference.name!r} has {reference.classes} classes, "
                f"{donor.name!r} has {donor.classes}"
            )
        if donor.conventions.class_offset != reference.conventions.class_offset:
            return f"{reference.name!r} and {donor.name!r} differ in class_offset"
    said = {donor.name: donor.trained_for.class_names for donor in donors}
    known = {name: names for name, names in said.items() if names}
    if len(set(known.values())) > 1:
        return "; ".join(f"{name!r} knows {', '.join(names[:5])}" for name, names in known.items())
    return ""


def _fold_epsilon(tensors: dict[str, np.ndarray], old: float, new: float) -> None:
    """Replace every gamma so that BatchNorm under the new epsilon computes the same."""
    for name in [name for name in tensors if name.endswith("/gamma")]:
        gamma = tensors[name]
        variance = tensors[name.removesuffix("gamma") + "moving_variance"].astype(np.float64)
        tensors[name] = (gamma * np.sqrt((variance + new) / (variance + old))).astype(gamma.dtype)


def _fold_preprocessing(
    tensors: dict[str, np.ndarray], old: Preprocessing, new: Preprocessing
) -> None:
    """Replace stem kernel and mean so that newly scaled input gives the old stem output.

    With pixel p, old input (p - m)/s and new input v = (p - m')/s', the old input is
    v s'/s + (m' - m)/s: the factor goes to the kernel, the offset to the mean.
    """
    kernel_name, mean_name = f"{STEM_CONV}/kernel", f"{STEM_BN}/moving_mean"
    kernel, mean = tensors[kernel_name], tensors[mean_name]
    old_mean, old_std = np.asarray(old.mean), np.asarray(old.std)
    factor = np.asarray(new.std) / old_std
    offset = (np.asarray(new.mean) - old_mean) / old_std
    exact = kernel.astype(np.float64)
    tensors[kernel_name] = (exact * factor[:, None]).astype(kernel.dtype)
    shift = np.einsum("hwio,i->o", exact, offset)
    tensors[mean_name] = (mean - shift).astype(mean.dtype)


def folded_scale(tensors: Mapping[str, np.ndarray], layer: str, epsilon: float) -> np.ndarray:
    """Return the factor (channel,) float64 that a BatchNorm layer applies in inference."""
    variance = tensors[f"{layer}/moving_variance"].astype(np.float64)
    return tensors[f"{layer}/gamma"] / np.sqrt(variance + epsilon)
