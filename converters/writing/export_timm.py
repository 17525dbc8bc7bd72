"""Writing for timm: models by name, and bases at other coefficients by timm's builders."""

from pathlib import Path
from typing import Any

from converters.timm_names import BUILDERS, TimmBuilder, name_of, timm_model
from converters.writing.export_target import (
    ExportTarget,
    TargetConventions,
    counters,
    is_own_network,
    needs,
)
from efn_compose.arch import BASES, FAMILIES, ArchSpec, base_of
from efn_compose.donors import Donor


def _builder(spec: ArchSpec) -> TimmBuilder | None:
    """Return timm's builder of a network at other coefficients, None where it is not needed."""
    builder = BUILDERS.get(base_of(spec) or "") if "-w" in spec.variant else None
    return builder if builder is not None and builder.builds(spec) else None


def _model_name(donor: Donor) -> str | None:
    """Return the timm model of a donor: its own if it came from there, else by its padding."""
    spec, padding = donor.spec, donor.conventions.padding
    own = donor.provenance.get("model")
    if isinstance(own, str) and donor.provenance.get("dialect") == "timm":
        known = timm_model(own)
        # A network of no table has timm's own name only: rw, and whatever was pruned.
        may_be = spec.variant == "custom" or _builder(spec) is not None
        if known and known.padding == padding and (may_be or known.variant == spec.variant):
            return own
    builder = _builder(spec)
    return name_of(spec.variant, padding) or (builder.model if builder else None)


def _obstacles(donor: Donor) -> list[str]:
    spec = donor.spec
    came_from_timm = donor.provenance.get("dialect") == "timm"
    fits = is_own_network(spec, *BASES)
    if (fits or came_from_timm) and _model_name(donor) is not None:
        return []
    has = "b0-b8, l2, lite0-4, es, em, el, v2, tinynet, mnasnet and what it published"
    return [needs("timm", has, spec)]


def _conventions(donor: Donor, resolution: int) -> TargetConventions:
    spec, name = donor.spec, _model_name(donor) or ""
    model = timm_model(name)
    if model is None:
        raise KeyError(name)
    if _is_named(spec, name) or _builder(spec) is None:
        return TargetConventions(
            model.padding, model.bn_epsilon, model.activation, model.name, resolution
        )
    padding = donor.conventions.padding
    epsilon = 1e-3 if padding == "same" else 1e-5
    activation = FAMILIES[spec.family].activation
    return TargetConventions(padding, epsilon, activation, model.name, resolution)


def _is_named(spec: ArchSpec, model: str) -> bool:
    """Return whether a network at other coefficients has a name of its own at timm: mnasnet_075."""
    known = timm_model(model)
    return known is not None and known.variant == spec.variant


def _folder_obstacles(donor: Donor) -> list[str]:
    spec, name = donor.spec, _model_name(donor)
    if name is None or _builder(spec) is None or _is_named(spec, name):
        return []
    return [
        f"≠ folder: timm builds what is in one by name, and has none for {spec.variant!r}; write a "
        ".safetensors or .pth file instead"
    ]


def _load(donor: Donor, plan: TargetConventions, path: Path) -> str:
    if path.is_dir():
        return f"timm.create_model({f'local-dir:{path}'!r}, pretrained=True)"
    spec, classes = donor.spec, donor.classes or 0
    builder = _builder(spec)
    if builder is None or _is_named(spec, plan.model):
        return f"timm.create_model('{plan.model}', num_classes={classes}, checkpoint_path={str(path)!r})"
    options = "".join(
        f", {name}={value!r}" for name, value in builder.arguments(spec, plan.padding).items()
    )
    build = f"timm.models.efficientnet.{builder.function}('{plan.model}', num_classes={classes}"
    return f"model = {build}{options}); timm.models.load_checkpoint(model, {str(path)!r})"


def _config(donor: Donor, plan: TargetConventions) -> dict[str, Any]:
    scaling = donor.conventions.preprocessing
    side = plan.resolution
    return {
        "config.json": {
            "architecture": plan.model,
            "num_classes": donor.classes or 0,
            "num_features": donor.spec.feature_channels,
            "pretrained_cfg": {
                "mean": [value / 255 for value in scaling.mean],
                "std": [value / 255 for value in scaling.std],
                "input_size": [3, side, side],
                "num_classes": donor.classes or 0,
                "first_conv": "conv_stem",
                "classifier": "classifier",
            },
        }
    }


TIMM = ExportTarget(
    "timm",
    "timm",
    _obstacles,
    _conventions,
    _load,
    counters("timm"),
    _config,
    takes_folder=True,
    folder_obstacles=_folder_obstacles,
)
