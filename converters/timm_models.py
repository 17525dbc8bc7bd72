"""Padding, epsilon, activation and input scaling of timm's files.

The tensors of `efficientnet_b0` and `tf_efficientnet_b0`, and of the `aa`, `ns`
and `ap` tags of the latter, have the same names and shapes. Only the name with
its tag tells them apart: `--arch`, the `config.json` of a hosted model, or the
settings inside a training checkpoint.
"""

from collections.abc import Mapping
from typing import Any

from converters.timm_fields import Stated, stated_fields
from converters.timm_names import (
    TAGS,
    UNTRAINED,
    TimmModel,
    modern_name,
    timm_model,
    timm_preprocessing,
)
from efn_compose.arch import PREPROCESSINGS, VARIANTS, ArchSpec, Preprocessing, arch_spec
from efn_compose.checkpoints.containers.raw import RawCheckpoint
from efn_compose.checkpoints.dialects.dialect import Request, Resolved
from efn_compose.checkpoints.dialects.family_conventions import resolved
from efn_compose.checkpoints.dialects.spec_reading import requested_spec
from efn_compose.errors import AmbiguousCheckpointError, ConversionError, describe_problems


def timm_conventions(raw: RawCheckpoint, spec: ArchSpec, request: Request) -> Resolved:
    """Return the conventions, from `--arch`, `config.json`, or a training checkpoint's settings.

    Raises:
        AmbiguousCheckpointError: None of them says enough; the candidates are listed.
        ConversionError: They name a network that the tensors are not.
    """
    config = raw.metadata.get("config", {})
    stated = stated_fields(raw, request)
    name, tag, source = _name_and_tag(raw, config, request)
    if name:
        name, old_tag = modern_name(name)
        tag = tag or old_tag
    model = timm_model(name) if name else None
    if model is None:
        raise _ambiguous(raw, spec, name, source)
    if model.variant is not None and spec.variant in VARIANTS and spec.variant != model.variant:
        raise ConversionError(
            f"{raw.path}: {source} says {name} ({model.variant}), but the tensors are of "
            f"{spec.variant} (stages {spec.stage_repeats}, widths {spec.stage_channels})."
        )
    scaling, scaling_source = _preprocessing(raw, stated, model.name, tag, source)
    provenance: dict[str, Any] = {"model": model.name}
    if tag:
        provenance["tag"] = tag
    values = {
        "padding": model.padding,
        "bn_epsilon": model.bn_epsilon,
        "activation": model.activation,
        "bn_momentum": 0.9,
    }
    said = {field: value for field, value in stated.values.items() if field in values}
    return resolved(
        **(values | said),
        preprocessing=scaling,
        source=f"model name {model.name} ({source})",
        sources={
            **{field: stated.sources[field] for field in said},
            "preprocessing": scaling_source,
        },
        provenance=provenance,
    )


def _name_and_tag(
    raw: RawCheckpoint, config: Mapping[str, Any], request: Request
) -> tuple[str | None, str | None, str]:
    if request.arch is not None and requested_spec(request) is None:
        name, _, asked = request.arch.rpartition("/")[2].partition(".")
        return name, asked or None, f"--arch {request.arch}"
    if isinstance(config.get("architecture"), str):
        pretrained = config.get("pretrained_cfg") or {}
        tag = pretrained.get("tag") if isinstance(pretrained, Mapping) else None
        return config["architecture"], tag, "config.json"
    settings = raw.metadata.get("args")
    if isinstance(settings, Mapping) and isinstance(settings.get("model"), str):
        name, _, trained = settings["model"].partition(".")
        return name, trained or None, "settings in the training checkpoint"
    if isinstance(raw.metadata.get("arch"), str):
        name, _, trained = raw.metadata["arch"].partition(".")
        return name, trained or None, "arch in the training checkpoint"
    return None, None, "nothing"


def _preprocessing(
    raw: RawCheckpoint, stated: Stated, model: str, tag: str | None, source: str
) -> tuple[str | Preprocessing, str]:
    """Return the input scaling stated beside the weights, else the one of name and tag."""
    given = [field for field in ("mean", "std") if field in stated.values]
    if not given:
        return _published_scaling(raw, model, tag, source)
    where = " and ".join(dict.fromkeys(stated.sources[field] for field in given))
    if len(given) == 2:
        mean, std = stated.values["mean"], stated.values["std"]
    else:
        name, _ = _published_scaling(raw, model, tag, source)
        mean, std = (tuple(value / 255 for value in part) for part in _parts(name))
        mean, std = stated.values.get("mean", mean), stated.values.get("std", std)
    scaling = Preprocessing(
        tuple(value * 255 for value in mean), tuple(value * 255 for value in std)
    )
    known = next((known for known in PREPROCESSINGS.values() if _close(known, scaling)), scaling)
    if tag is not None and source.startswith("--arch") and tag in TAGS.get(model, ()):
        named = PREPROCESSINGS[timm_preprocessing(model, tag)]
        if not _close(named, known):
            raise AmbiguousCheckpointError(
                f"{raw.path}: {where} scales the input by mean {mean} and deviation {std}, {source} "
                f"by {timm_preprocessing(model, tag)}. Leave the tag out (--arch {model}) to take "
                f"the fields beside the weights, or add {' '.join(f'--accept {f}' for f in given)} "
                "to leave that out of account."
            )
    return known, where


def _parts(scaling: str | Preprocessing) -> tuple[tuple[float, ...], tuple[float, ...]]:
    found = PREPROCESSINGS[scaling] if isinstance(scaling, str) else scaling
    return found.mean, found.std


def _published_scaling(
    raw: RawCheckpoint, model: str, tag: str | None, source: str
) -> tuple[str, str]:
    """Return the input scaling of the weights published under a name and tag."""
    tags = TAGS.get(model, ())
    if tag is not None and tag in tags:
        return timm_preprocessing(model, tag), f"tag {tag} ({source})"
    if tag is not None and tags:
        raise AmbiguousCheckpointError(
            f"{raw.path}: {model} has no published tag {tag!r}. Candidates: "
            f"{', '.join(f'--arch {model}.{known}' for known in tags)}."
        )
    scalings = {timm_preprocessing(model, known) for known in tags}
    if len(scalings) == 1:
        return scalings.pop(), f"all published weights of {model} ({source})"
    if not tags:
        return "imagenet", f"timm's default for {model} ({source})"
    raise AmbiguousCheckpointError(
        describe_problems(
            f"{raw.path}: {model} was published with several input scalings, which tensors do not "
            "reveal. Candidates:",
            [f"--arch {model}.{known} ({timm_preprocessing(model, known)})" for known in tags],
        )
    )


def _close(a: Preprocessing, b: Preprocessing) -> bool:
    return all(abs(x - y) < 1e-6 for x, y in zip((*a.mean, *a.std), (*b.mean, *b.std), strict=True))


def _ambiguous(
    raw: RawCheckpoint, spec: ArchSpec, name: str | None, source: str
) -> AmbiguousCheckpointError:
    models = [
        model
        for model in map(timm_model, (*TAGS, *UNTRAINED))
        if model is not None and _may_be(model, spec)
    ]
    candidates = [
        f"--arch {model.name}.{tag} ({model.padding} padding, epsilon {model.bn_epsilon:g}, "
        f"{timm_preprocessing(model.name, tag)})"
        for model in models
        for tag in TAGS.get(model.name, ())
    ]
    candidates += [
        f"--arch {model.name} ({model.padding} padding, epsilon {model.bn_epsilon:g}, "
        "your own weights)"
        for model in models
        if model.name in UNTRAINED
    ]
    said = (
        f"{source} names {name!r}, which is not known here" if name else "nothing names the model"
    )
    return AmbiguousCheckpointError(
        describe_problems(
            f"{raw.path}: the tensors fit {spec.variant}, but timm's padding, epsilon and input "
            f"scaling cannot be seen in them, and {said}. Candidates:",
            candidates,
            "Give --arch, or put the model's config.json beside the file.",
        )
    )


def _may_be(model: TimmModel, spec: ArchSpec) -> bool:
    """Return whether a model may be the network: the same one, or of its family where it has no name."""
    if spec.variant in VARIANTS:
        return model.variant == spec.variant
    if model.variant is None:
        return spec.family in ("b", "v2", "custom")
    return spec.family in (arch_spec(model.variant).family, "custom")
