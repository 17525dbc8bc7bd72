"""Weights into a model that somebody else built."""

import dataclasses
import os
from pathlib import Path
from typing import Any, Literal

import numpy as np

from efn_compose.arch import ArchSpec, Conventions, inventory
from efn_compose.checkpoints.dialects.dialect import Dialect, Request
from efn_compose.conversion import recognise
from efn_compose.donors import Donor, load_donor
from efn_compose.donors.group_norm import refuse_group_norm
from efn_compose.donors.harmonise import harmonise
from efn_compose.errors import (
    AmbiguousCheckpointError,
    ConfigError,
    ConversionError,
    SeedingError,
    describe_problems,
)
from efn_compose.nesting import NestFill, nest
from efn_compose.seeding.inputs import (
    InputScaling,
    find_scaling,
    nearly_equal,
    without_options,
)
from efn_compose.seeding.live_model import STEM, LiveModel, leaves_with_weights, read_model
from efn_compose.seeding.own_names import OWN_NAMES
from efn_compose.seeding.report import SeedReport

Scaling = Literal["check", "fold", "ignore"]
_SCALINGS = ("check", "fold", "ignore")
#: A name that makes a dialect state padding and activation although a model without
#: scaling layers leaves the scaling to the caller.
_ANY_WEIGHTS = {"keras_hub": "efficientnet_b0_ra_imagenet"}


def seed(
    model: Any,
    weights: Donor | str | os.PathLike[str],
    *,
    within: str | None = None,
    head: bool = False,
    scaling: Scaling = "check",
    accept_approximate: bool = False,
    fill: NestFill = "he",
    random_seed: int = 0,
) -> SeedReport:
    """Load weights into a Keras or tf-keras EfficientNet, the whole backbone or nothing.

    Works on models of efn_compose, keras.applications, tf_keras.applications,
    keras-cv, keras-hub, qubvel and keras_efficientnet_v2, alone or inside a larger model.
    A larger network of the family receives the weights nested, its function unchanged.
    BatchNorm epsilon is folded into gamma; a `Normalization` layer is set to what the
    weights want. Heads, decoders and compiled optimizers stay as they are.

    Args:
        model: The model; built. Changed in place.
        weights: A weight file that efn_compose wrote, or a donor.
        within: Where a model holds several networks: the name of the inner model, or
            the prefix of one network's layer names.
        head: Whether to load the classifier as well; widths must agree.
        scaling: If the model's own layers scale pixels otherwise than the weights want:
            "check" refuses, "fold" folds the difference into the stem (exact but for
            the outermost pixels), "ignore" loads and says so.
        accept_approximate: Load although the model pads otherwise than the weights
            want; predictions shift, a training adapts.
        fill: What new channels of a larger network start from; see `nest`.
        random_seed: Decides those values.

    Returns:
        A report of the loaded tensors and of the input that the model expects. Print it.

    Raises:
        SeedingError: No EfficientNet, another network, padding, activation or input
            scaling; all problems are listed and nothing was changed.
        NestingError: The model's network is another one that cannot hold the weights'.
        CheckpointError: The weight file is missing, damaged, or not one of ours.

    Example:
        >>> model = keras.applications.EfficientNetB0(weights=None)  # doctest: +SKIP
        >>> print(seed(model, "efn_magic_weights.h5"))  # doctest: +SKIP
    """
    if scaling not in _SCALINGS:
        raise ConfigError(f"scaling must be one of {_SCALINGS}. Received: {scaling!r}.")
    donor = weights if isinstance(weights, Donor) else load_donor(weights)
    if head and donor.classes is None:
        raise SeedingError(f"{donor.name}: head=True, but the weights have no classifier.")
    refuse_group_norm(donor.name, donor.spec, "seeding a model of a library")
    unused_parts = tuple(donor.parts)
    donor = (donor if head else donor.without_head()).replace(parts={})
    live = read_model(model, within)
    try:
        dialect = OWN_NAMES if OWN_NAMES.recognise(live.raw) else recognise(live.raw)
        raw = _prepared(live, dialect)
        live = dataclasses.replace(live, raw=raw)
        spec = dialect.spec_from(raw, Request())
        rules = _conventions(live, dialect, spec)
    except (AmbiguousCheckpointError, ConversionError) as error:
        # A model in memory has no file and no options of a command.
        raise type(error)(without_options(str(error))) from None
    wanted = donor.conventions
    found = find_scaling(raw, live.before_stem, _stem_name(live), wanted.preprocessing)
    problems, approximations = _obstacles(donor, rules, found, scaling, accept_approximate)
    places, missing = _places(live, dialect, spec, donor.classes)
    problems += missing
    if problems:
        raise SeedingError(
            describe_problems(
                f"{donor.name} ({donor.spec.variant}) does not fit model {model.name!r} "
                f"({dialect.title}, {spec.variant}): {len(problems)} problems.",
                problems,
                "Nothing was loaded.",
            )
        )
    donor, folded = _adapted(donor, rules.bn_epsilon, found, scaling)
    source_variant = donor.spec.variant
    if not donor.spec.same_tensors_as(spec):
        donor = nest(donor, spec, fill=fill, seed=random_seed)
    for canonical, variable in places.items():
        variable.assign(donor.tensors[canonical])
    input_note = _set_scaling(live, found, wanted, scaling)
    own = {id(live.layers[name]) for name in _layer_names(live, dialect, spec, donor.classes)}
    return SeedReport(
        weights=Path(weights).name if not isinstance(weights, Donor) else donor.name,
        model=model.name,
        library=dialect.title,
        variant=spec.variant,
        source_variant=source_variant if source_variant != "custom" else spec.variant,
        tensors=len(places),
        parameters=sum(int(np.prod(variable.shape)) for variable in places.values()),
        head=head,
        folded=tuple(folded),
        approximations=tuple(approximations),
        input_note=input_note,
        frozen=_frozen(live, own),
        left_alone=tuple(
            layer.name
            for layer in leaves_with_weights(model)
            if id(layer) not in own and layer.name != found.layer
        ),
        unused_parts=unused_parts,
    )


def _prepared(live: LiveModel, dialect: Dialect) -> Any:
    reason = dialect.refuse(live.raw)
    if reason is not None:
        raise SeedingError(f"{live.raw.path}: {dialect.title} model refused: {reason}")
    return dialect.prepare(live.raw, Request()).raw


def _conventions(live: LiveModel, dialect: Dialect, spec: ArchSpec) -> Conventions:
    """Return how the model runs its weights; epsilon is read from the layers themselves."""
    request = Request(arch=_ANY_WEIGHTS.get(dialect.name, "b0"))
    try:
        rules = dialect.resolve(live.raw, spec, request).conventions
    except ConversionError as error:
        raise SeedingError(f"{live.raw.path}: {error}") from None
    epsilons = {
        float(layer.epsilon) for name, layer in live.layers.items() if hasattr(layer, "epsilon")
    }
    if len(epsilons) > 1:
        raise SeedingError(
            f"{live.raw.path}: its BatchNorms have several epsilons {sorted(epsilons)}; one is "
            "supported. Build the network with one."
        )
    return dataclasses.replace(rules, bn_epsilon=epsilons.pop()) if epsilons else rules


def _obstacles(
    donor: Donor,
    rules: Conventions,
    found: InputScaling,
    scaling: Scaling,
    accept_approximate: bool,
) -> tuple[list[str], list[str]]:
    wanted, problems, approximations = donor.conventions, [], []
    if rules.activation != wanted.activation:
        problems.append(
            f"≠ activation: the model uses {rules.activation!r}, the weights want "
            f"{wanted.activation!r}"
        )
    if rules.padding != wanted.padding:
        line = f"padding: the model pads {rules.padding!r}, the weights want {wanted.padding!r}"
        if accept_approximate:
            approximations.append(line)
        else:
            problems.append(f"≠ {line}; accept_approximate=True loads them anyway")
    if scaling == "ignore":
        return problems, approximations
    if found.unclear:
        problems.append(f"≠ input: {found.unclear} scaling='ignore' loads them anyway")
    elif found.fixed is not None and not nearly_equal(found.fixed, wanted.preprocessing):
        if scaling == "check":
            problems.append(
                f"≠ input: {found.where or 'the model'} computes {found.fixed.formula}, the "
                f"weights want {wanted.preprocessing.formula}; scaling='fold' folds the "
                "difference into the stem, or build the model without its scaling layers"
            )
        else:
            approximations.append("input scaling folded into the stem: exact but at the border")
    return problems, approximations


def _places(
    live: LiveModel, dialect: Dialect, spec: ArchSpec, classes: int | None
) -> tuple[dict[str, Any], list[str]]:
    """Return the variable of every canonical tensor, and the missing, unknown or misshapen ones."""
    shapes = {tensor.name: tensor.shape for tensor in inventory(spec, classes)}
    places, problems, used = {}, [], set()
    for row in dialect.rows(spec, classes, live.raw):
        tensor = live.raw.tensors.get(row.foreign)
        if tensor is None:
            problems.append(f"- missing in the model: {row.canonical} ({row.foreign!r})")
            continue
        used.add(row.foreign)
        if tensor.shape != shapes[row.canonical]:
            problems.append(
                f"≠ shape: {row.canonical} model {tensor.shape} weights {shapes[row.canonical]}"
            )
        places[row.canonical] = live.variables[tensor.name]
    owners = {name.rpartition("/")[0] for name in used}
    problems += [
        f"+ unknown in the model: {name}, beside weights that are known"
        for name in live.raw.tensors
        if name not in used and name.rpartition("/")[0] in owners
    ]
    return places, problems


def _layer_names(
    live: LiveModel, dialect: Dialect, spec: ArchSpec, classes: int | None
) -> list[str]:
    rows = dialect.rows(spec, classes, live.raw)
    names = [live.raw.tensors[row.foreign].name.rpartition("/")[0] for row in rows]
    return list(dict.fromkeys(names))


def _adapted(
    donor: Donor, epsilon: float, found: InputScaling, scaling: Scaling
) -> tuple[Donor, list[str]]:
    """Return the donor under the model's epsilon and, if asked for, its input scaling."""
    folded, reference = [], donor
    if donor.conventions.bn_epsilon != epsilon:
        folded.append(f"BatchNorm epsilon {donor.conventions.bn_epsilon:g} to {epsilon:g}")
    if scaling == "fold" and found.fixed is not None:
        rules = dataclasses.replace(donor.conventions, preprocessing=found.fixed)
        if not nearly_equal(found.fixed, donor.conventions.preprocessing):
            reference = donor.replace(conventions=rules)
            folded.append(f"{donor.conventions.preprocessing.formula} to {found.fixed.formula}")
    adapted = harmonise([reference, donor], fold_preprocessing=True, bn_epsilon=epsilon)[1]
    return adapted, folded


def _set_scaling(
    live: LiveModel, found: InputScaling, wanted: Conventions, scaling: Scaling
) -> str:
    """Set the model's `Normalization` and return the input that the model expects."""
    mean, variance = found.mean, found.variance
    if mean is not None and variance is not None and scaling != "ignore":
        layer = next(
            layer for name, layer in live.layers.items() if layer.name == found.layer and name
        )
        for variable in layer.weights:
            role = variable.name.rpartition("/")[2].removesuffix(":0")
            if role in ("mean", "variance"):
                values = mean if role == "mean" else variance
                variable.assign(values.reshape(tuple(variable.shape)))
        layer.finalize_state()
        for container in live.containers:
            # Functions traced earlier hold the old constants.
            for name in ("train_function", "test_function", "predict_function"):
                if getattr(container, name, None) is not None:
                    setattr(container, name, None)
        return f"RGB pixels 0-255; layer {found.layer!r} was set to what the weights want"
    if scaling == "ignore":
        return f"not checked; the weights want {wanted.preprocessing.formula}"
    if found.fixed is None:
        return f"scale it yourself: {wanted.preprocessing.formula} of RGB pixels 0-255"
    by = f"{found.where} scales" if found.where else "the model scales"
    return f"RGB pixels 0-255; {by} them"


def _stem_name(live: LiveModel) -> str:
    return live.layers[STEM].name if STEM in live.layers else STEM


def _frozen(live: LiveModel, own: set[int]) -> tuple[str, ...]:
    return tuple(
        layer.name
        for layer in live.layers.values()
        if id(layer) in own and layer.weights and not layer.trainable_weights
    )
