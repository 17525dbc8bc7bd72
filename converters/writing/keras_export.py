"""Weight files that `keras.applications` and `tf_keras.applications` load by path.

Both load by position, without looking at names, so the file must hold exactly
the layers of the class, in its order. V1 classes begin with a `Normalization`
layer; loading by path does not insert the extra `Rescaling` that
`weights="imagenet"` does, so its variance must be the square of the deviation.
"""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from converters.keras_applications import DIALECT, SCALED_NAMES, is_v2
from converters.writing.export_report import ExportReport
from efn_compose.arch import (
    FAMILIES,
    PREPROCESSINGS,
    VARIANTS,
    Preprocessing,
    arch_spec,
    base_of,
    inventory,
)
from efn_compose.donors import Donor
from efn_compose.donors.harmonise import harmonise
from efn_compose.errors import ConfigError, ConversionError, describe_problems
from efn_compose.store import atomic_path

#: Library by target, and the version its files name.
TARGETS = {
    "keras-applications": ("keras", "3.15.1"),
    "tf-keras": ("tf_keras", "2.21.0"),
}
KERAS_EPSILON = 1e-3
NORMALIZATION = "normalization"
#: HDF5 keeps an attribute in a header of at most 64 kB.
_ATTRIBUTE_LIMIT = 64_000
_PROBE_SIDE = 224


def export_keras(
    donor: Donor,
    path: str | os.PathLike[str],
    target: str = "keras-applications",
    *,
    accept_approximate: bool = False,
) -> ExportReport:
    """Write a donor as a weight file for a Keras library's own EfficientNet classes.

    Args:
        donor: The weights.
        path: File to create or replace; `.h5`, not `.weights.h5`, which Keras
            takes for another layout.
        target: "keras-applications" or "tf-keras".
        accept_approximate: Write symmetric padding as the library's own padding;
            the logits then differ at even sizes, by the figure returned.

    Returns:
        How to load the file, and every folded or approximated property.

    Raises:
        ConfigError: Unknown target, or a file name that Keras would misread.
        ConversionError: The library has no such network, or cannot express its
            padding or activation; all reasons are listed. Nothing is written.
        RunError: No space, no permission, or no folder.

    Example:
        >>> export_keras(donor, "b0.h5").load  # doctest: +SKIP
        "keras.applications.EfficientNetB0(weights='b0.h5', classifier_activation=None)"
    """
    path = Path(path)
    _check_request(path, target)
    approximations, problems = _obstacles(donor)
    if not accept_approximate:
        problems += [f"{line}; --accept-approximate writes it anyway" for line in approximations]
    if problems:
        raise ConversionError(
            describe_problems(f"{donor.name!r} cannot become a {target} file.", problems)
        )
    error = padding_error(donor) if approximations else 0.0
    lines = tuple(
        f"{line}: largest logit change {error:.3g} of their standard deviation on "
        f"{_PROBE_SIDE} x {_PROBE_SIDE} noise"
        for line in approximations
    )
    folded = []
    epsilon = donor.conventions.bn_epsilon
    if epsilon != KERAS_EPSILON:
        donor = harmonise([donor], bn_epsilon=KERAS_EPSILON)[0]
        folded.append(f"BatchNorm epsilon {epsilon:g} to {KERAS_EPSILON:g}, into gamma")
    count = _write(donor, path, target)
    load, input_note = _loading(donor, path, target)
    return ExportReport(path, target, load, input_note, tuple(folded), lines, error, count)


def padding_error(donor: Donor, side: int = _PROBE_SIDE) -> float:
    """Return how much TensorFlow's padding changes a donor's logits; imports TensorFlow.

    Args:
        donor: The weights.
        side: Height and width of the probe images, in pixels.

    Returns:
        Largest change of a logit (of a pooled feature without a classifier), in
        units of their standard deviation, over four images of smooth noise.
    """
    from efn_compose.models.stepwise import StepwiseNetwork

    rng = np.random.default_rng(0)
    coarse = rng.uniform(0, 255, (4, side // 16 + 1, side // 16 + 1, 3)).repeat(16, 1).repeat(16, 2)
    images = np.clip(coarse[:, :side, :side] + rng.normal(size=(4, side, side, 3)) * 16, 0, 255)
    inputs = donor.preprocess(images)
    same = donor.replace(conventions=replace(donor.conventions, padding="same"))
    ours = StepwiseNetwork.of(donor).run(inputs).numpy()
    theirs = StepwiseNetwork.of(same).run(inputs).numpy()
    return float(np.abs(ours - theirs).max() / ours.std())


def _check_request(path: Path, target: str) -> None:
    if target not in TARGETS:
        raise ConfigError(f"Unknown target {target!r}. Known: {', '.join(TARGETS)}.")
    if path.suffix not in (".h5", ".hdf5") or path.name.endswith(".weights.h5"):
        raise ConfigError(
            f"{path}: a file for {target} must end in .h5 or .hdf5, and not in .weights.h5, which "
            "Keras takes for another layout."
        )


def _obstacles(donor: Donor) -> tuple[list[str], list[str]]:
    """Return the properties that the target can only approximate, and those it cannot express."""
    spec, rules = donor.spec, donor.conventions
    problems = []
    has_class = class_name(spec.variant) is not None or (
        base_of(spec) in SCALED_NAMES and spec.variant not in VARIANTS
    )
    is_known = spec.variant == "custom" or spec.same_tensors_as(arch_spec(spec.variant))
    if spec.variant == "custom" or not is_known or not has_class:
        problems.append(
            f"≠ network: keras.applications has b0-b7, v2-b0 to v2-b3, v2-s, v2-m, v2-l and other "
            f"coefficients of {', '.join(SCALED_NAMES)}; received {spec.variant!r} ({spec.family})"
        )
    if rules.activation != "swish":
        problems.append(f"≠ activation: swish only, received {rules.activation!r}")
    approximations = []
    if rules.padding != "same":
        approximations.append(
            "≠ padding: the library pads like TensorFlow, the weights want symmetric padding "
            "(the same only where all stage inputs are odd, as at 225 pixels)"
        )
    return approximations, problems


def class_name(variant: str) -> str | None:
    """Return the class of `keras.applications` for a variant, or None where it has none.

    Example:
        >>> class_name("b3"), class_name("v2-s"), class_name("lite0")
        ('EfficientNetB3', 'EfficientNetV2S', None)
    """
    if variant in {f"b{number}" for number in range(8)}:
        return f"EfficientNet{variant.upper()}"
    v2 = {f"v2-b{number}" for number in range(4)} | {"v2-s", "v2-m", "v2-l"}
    return f"EfficientNet{variant.replace('-', '').upper()}" if variant in v2 else None


def _loading(donor: Donor, path: Path, target: str) -> tuple[str, str]:
    """Return the expression that loads the file, and the input that the model expects."""
    package = TARGETS[target][0]
    spec = donor.spec
    arguments = [f"weights={str(path)!r}"]
    if donor.classes is None:
        arguments.append("include_top=False")
    else:
        arguments.append("classifier_activation=None")
        if donor.classes != 1000:
            arguments.append(f"classes={donor.classes}")
    note = "RGB pixels 0-255; the model scales them itself"
    own_scaling = PREPROCESSINGS[FAMILIES[spec.family].preprocessing]
    if is_v2(spec) and not _nearly_equal(donor.conventions.preprocessing, own_scaling):
        arguments.append("include_preprocessing=False")
        note = f"RGB, {donor.conventions.preprocessing.formula}, done by the caller"
    name = class_name(spec.variant)
    if name is not None:
        return f"{package}.applications.{name}({', '.join(arguments)})", note
    module, call = (
        ("efficientnet_v2", "EfficientNetV2") if is_v2(spec) else ("efficientnet", "EfficientNet")
    )
    if is_v2(spec):
        # The block table is looked up by the model's name.
        option = "model_name" if target == "tf-keras" else "name"
        arguments.append(f"{option}={SCALED_NAMES[base_of(spec) or '']!r}")
    coefficients = [f"{spec.width:g}", f"{spec.depth:g}", str(spec.resolution)]
    return (
        f"{package}.src.applications.{module}.{call}({', '.join(coefficients + arguments)})",
        note,
    )


def _nearly_equal(one: Preprocessing, other: Preprocessing) -> bool:
    return np.allclose((one.mean, one.std), (other.mean, other.std), rtol=1e-6)


def _write(donor: Donor, path: Path, target: str) -> int:
    """Write the file layer by layer in the class's order, atomically; return how many tensors."""
    import h5py

    spec, classes = donor.spec, donor.classes
    foreign = {row.canonical: row.foreign for row in DIALECT.rows(spec, classes, None)}
    suffix = ":0" if target == "tf-keras" else ""
    size = sum(tensor.size for tensor in inventory(spec, classes)) * 4
    with atomic_path(path, size) as temporary, h5py.File(temporary, "w") as file:
        layers: dict[str, list[str]] = {}

        def put(name: str, values: np.ndarray) -> None:
            layer, _, role = name.rpartition("/")
            if target == "keras-applications" and role == "depthwise_kernel":
                name = f"{layer}/kernel"
            dataset = f"{name}{suffix}"
            file.create_dataset(f"{layer}/{dataset}", data=values, track_times=False)
            layers.setdefault(layer, []).append(dataset)

        if not is_v2(spec):
            scaling = donor.conventions.preprocessing
            put(f"{NORMALIZATION}/mean", (np.array(scaling.mean) / 255).astype(np.float32))
            put(
                f"{NORMALIZATION}/variance",
                np.square(np.array(scaling.std) / 255).astype(np.float32),
            )
            put(f"{NORMALIZATION}/count", np.asarray(0, np.int64))
        for tensor in inventory(spec, classes):
            put(foreign[tensor.name], np.asarray(donor.tensors[tensor.name], np.float32))
        for layer, names in layers.items():
            file[layer].attrs["weight_names"] = np.array(names, dtype="S")
        _write_names(file, "layer_names", list(layers))
        file.attrs["backend"] = np.bytes_("tensorflow")
        file.attrs["keras_version"] = np.bytes_(TARGETS[target][1])
    return sum(len(names) for names in layers.values())


def _write_names(file: Any, attribute: str, names: list[str]) -> None:
    array = np.array(names, dtype="S")
    count = -(-array.nbytes // _ATTRIBUTE_LIMIT)
    if count == 1:
        file.attrs[attribute] = array
        return
    for number, part in enumerate(np.array_split(array, count)):
        file.attrs[f"{attribute}{number}"] = part
