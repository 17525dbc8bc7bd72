"""Writing a donor as a file that another library loads strictly.

Properties that a library can express are written exactly: layouts are permutations, BatchNorm
epsilon is folded into gamma. Others are refused with every reason, or, for
padding and with `accept_approximate`, written, measured and said.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from converters.registry import CONVERTERS
from converters.writing.export_report import ExportReport
from converters.writing.export_target import ExportTarget, TargetConventions
from converters.writing.export_targets import TARGETS
from efn_compose.arch.conventions import Padding
from efn_compose.checkpoints.dialects.dialect import Row
from efn_compose.checkpoints.dialects.layouts import LAYOUTS
from efn_compose.checkpoints.writers.safetensors_writer import write_safetensors
from efn_compose.checkpoints.writers.torch_writer import (
    Entry,
    byte_count,
    is_torch_path,
    write_torch_zip,
)
from efn_compose.donors import Donor
from efn_compose.donors.group_norm import refuse_group_norm
from efn_compose.donors.harmonise import harmonise
from efn_compose.errors import ConfigError, ConversionError, RunError, describe_problems
from efn_compose.store import WeightHeader, atomic_path, write_text

#: Targets that `converters.writing.keras_export` writes.
KERAS_TARGETS = ("keras-applications", "tf-keras")
_PROBE_SIDE = 224


def export(
    donor: Donor,
    *,
    to: str,
    path: str | os.PathLike[str],
    accept_approximate: bool = False,
    resolution: int | None = None,
) -> ExportReport:
    """Write a donor for another library.

    Args:
        donor: The weights.
        to: "timm", "torchvision", "lukemelas", "transformers", "safetensors",
            "keras-applications" or "tf-keras".
        path: File to create or replace: `.safetensors` or `.pth` for the PyTorch
            targets, `.h5` for Keras. A folder for transformers, and for timm a
            folder or a file; it gets the library's own `config.json`.
        accept_approximate: Write a padding that the target cannot express as its own.
        resolution: Side in pixels, for the folders of transformers, which fixes its padding for this
            even size, and timm; default the variant's.

    Returns:
        A report: how to load the file, and every folded or approximated property.

    Raises:
        ConfigError: Unknown target, a path of the wrong kind, or a resolution that is none or that
            nothing would read.
        ConversionError: The target cannot express the network; all reasons are
            listed and nothing is written.
        RunError: No space, no permission, or no folder.

    Example:
        >>> export(donor, to="timm", path="b0.safetensors").load  # doctest: +SKIP
        "timm.create_model('tf_efficientnet_b0', num_classes=1000, checkpoint_path='b0.safetensors')"
    """
    path = Path(path)
    donor.refuse_parts(f"a file for {to}")
    refuse_group_norm(donor.name, donor.spec, f"a file for {to}")
    if to in KERAS_TARGETS:
        _check_resolution(resolution, to, is_read=False)
        from converters.writing.keras_export import export_keras

        return export_keras(donor, path, to, accept_approximate=accept_approximate)
    if to not in TARGETS:
        known = ", ".join((*TARGETS, *KERAS_TARGETS))
        raise ConfigError(f"Unknown export target {to!r}. Known: {known}.")
    target = TARGETS[to]
    file, folder = _files(path, target)
    _check_resolution(resolution, to, is_read=folder is not None)
    side = donor.spec.resolution if resolution is None else resolution
    problems = [] if folder is None else target.folder_obstacles(donor)
    plan, approximations = _plan(donor, target, accept_approximate, side, problems)
    error = _padding_error(donor, plan.padding) if approximations else 0.0
    lines = tuple(
        f"{line}: largest logit change {error:.3g} of their standard deviation at {_PROBE_SIDE}"
        for line in approximations
    )
    folded = []
    epsilon = donor.conventions.bn_epsilon
    if epsilon != plan.bn_epsilon:
        donor = harmonise([donor], bn_epsilon=plan.bn_epsilon)[0]
        folded.append(f"BatchNorm epsilon {epsilon:g} to {plan.bn_epsilon:g}, into gamma")
    if folder is not None:
        _make_folder(folder)
    count = _write(donor, target, file)
    for name, fields in target.sidecars(donor, plan).items():
        if folder is not None:
            write_text(folder / name, json.dumps(fields, indent=2) + "\n")
    note = f"RGB, {donor.conventions.preprocessing.formula}, done by the caller"
    return ExportReport(
        path, to, target.load(donor, plan, path), note, tuple(folded), lines, error, count
    )


def _check_resolution(resolution: int | None, to: str, *, is_read: bool) -> None:
    """Refuse a size that is none, or that nothing of what is written would state."""
    if resolution is None:
        return
    if not is_read:
        raise ConfigError(
            f"resolution: only the folders of transformers and timm state one; a file for {to} is the "
            f"same for any size. Leave it out. Received: {resolution}."
        )
    if resolution < 1:
        raise ConfigError(f"resolution: allowed 1 or more pixels. Received: {resolution}.")


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise RunError(
            f"{folder}: cannot be created ({error.strerror}). Choose another output path."
        ) from None


def _plan(
    donor: Donor,
    target: ExportTarget,
    accept_approximate: bool,
    resolution: int,
    found: Sequence[str] = (),
) -> tuple[TargetConventions, list[str]]:
    """Return the conventions of the target; raise if the weights cannot run under them."""
    problems = [*found, *target.obstacles(donor)]
    if target.fixes_padding and resolution % 2:
        problems.append(
            f"≠ resolution: {target.name} pads the stem as TensorFlow does at even sizes only; received "
            f"{resolution} pixels. Name another size: --resolution"
        )
    approximations: list[str] = []
    plan = None
    if not problems:
        plan = target.conventions(donor, resolution)
        wanted = donor.conventions
        if plan.activation is not None and plan.activation != wanted.activation:
            problems.append(
                f"≠ activation: {plan.activation!r} only, received {wanted.activation!r}"
            )
        if plan.padding != wanted.padding:
            approximations.append(
                f"≠ padding: the library pads {plan.padding!r}, the weights want {wanted.padding!r}"
            )
            if not accept_approximate:
                problems.append(f"{approximations[0]}; --accept-approximate writes it anyway")
    if problems or plan is None:
        raise ConversionError(
            describe_problems(f"{donor.name!r} cannot become a {target.name} file.", problems)
        )
    return plan, approximations


def _files(path: Path, target: ExportTarget) -> tuple[Path, Path | None]:
    """Return the weight file and, for targets with a folder, the folder."""
    is_file_name = path.suffix in (".safetensors", ".h5") or is_torch_path(path)
    is_folder = target.needs_folder and not is_file_name
    if is_folder or not path.suffix or path.is_dir():
        if not target.takes_folder:
            raise ConfigError(f"{path}: {target.name} needs a file, .safetensors or .pth.")
        return path / "model.safetensors", path
    if target.needs_folder:
        raise ConfigError(
            f"{path}: {target.name} loads a folder (config.json and model.safetensors); give one."
        )
    if path.suffix != ".safetensors" and (not is_torch_path(path) or target.only_safetensors):
        kinds = ".safetensors" if target.only_safetensors else ".safetensors or .pth"
        raise ConfigError(f"{path}: a {target.name} file must end in {kinds}.")
    return path, None


def _write(donor: Donor, target: ExportTarget, path: Path) -> int:
    """Write the tensors under the target's names, one at a time, atomically."""
    dialect = CONVERTERS[target.dialect]
    rows = list(dialect.rows(donor.spec, donor.classes, None))
    extras = target.extras(donor)
    entries: list[Entry] = [(row.foreign, _shape(donor, row), "float32") for row in rows]
    entries += [(name, array.shape, array.dtype.name) for name, array in extras.items()]

    def values() -> Iterator[np.ndarray]:
        for row in rows:
            yield LAYOUTS[row.layout].to_foreign(donor.tensors[row.canonical])
        yield from extras.values()

    with atomic_path(path, byte_count(entries)) as temporary:
        if path.suffix == ".safetensors":
            write_safetensors(temporary, entries, values(), _metadata(donor, target))
        else:
            write_torch_zip(temporary, entries, values())
    return len(entries)


def _shape(donor: Donor, row: Row) -> tuple[int, ...]:
    return LAYOUTS[row.layout].to_foreign(np.empty(donor.tensors[row.canonical].shape, "?")).shape


def _metadata(donor: Donor, target: ExportTarget) -> Mapping[str, str]:
    header = WeightHeader(donor.spec, donor.conventions, donor.classes, donor.provenance)
    # "format: pt" is what transformers asks of a safetensors file.
    return {"format": "pt", "efn_compose": header.to_json()}


def _padding_error(donor: Donor, padding: Padding) -> float:
    """Return how much another padding changes a donor's logits; imports TensorFlow."""
    from converters.reading.verification import relative_error, smooth_images
    from efn_compose.models.stepwise import StepwiseNetwork

    images = donor.preprocess(smooth_images(4, (_PROBE_SIDE, _PROBE_SIDE)))
    other = donor.replace(conventions=replace(donor.conventions, padding=padding))
    ours = StepwiseNetwork.of(donor).run(images).numpy()
    return relative_error(StepwiseNetwork.of(other).run(images).numpy(), ours)
