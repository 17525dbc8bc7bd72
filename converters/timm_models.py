"""Padding, epsilon, activation and input scaling by timm's model names and tags.

The tensors of `efficientnet_b0` and `tf_efficientnet_b0`, and of the `aa`, `ns`
and `ap` tags of the latter, have the same names and shapes. Only the name with
its tag tells them apart: `--arch`, the `config.json` of a hosted model, or the
settings inside a training checkpoint.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from converters.timm_fields import Stated, stated_fields
from efn_compose.arch import PREPROCESSINGS, VARIANTS, ArchSpec, Preprocessing
from efn_compose.checkpoints.containers.raw import RawCheckpoint
from efn_compose.checkpoints.dialects.dialect import Request, Resolved
from efn_compose.checkpoints.dialects.family_conventions import resolved
from efn_compose.checkpoints.dialects.spec_reading import requested_spec
from efn_compose.errors import AmbiguousCheckpointError, ConversionError, describe_problems

_V1 = tuple(f"b{number}" for number in range(9))

#: Tags of the published weights by model; the first is timm's default.
TAGS: dict[str, tuple[str, ...]] = {
    "efficientnet_b0": ("ra_in1k", "ra4_e3600_r224_in1k"),
    "efficientnet_b1": ("ra4_e3600_r240_in1k", "ft_in1k"),
    "efficientnet_b2": ("ra_in1k",),
    "efficientnet_b3": ("ra2_in1k",),
    "efficientnet_b4": ("ra2_in1k",),
    "efficientnet_b5": ("sw_in12k_ft_in1k", "sw_in12k"),
    "efficientnet_es": ("ra_in1k",),
    "efficientnet_em": ("ra2_in1k",),
    "efficientnet_el": ("ra_in1k",),
    "efficientnet_es_pruned": ("in1k",),
    "efficientnet_el_pruned": ("in1k",),
    "efficientnet_lite0": ("ra_in1k",),
    "efficientnet_b1_pruned": ("in1k",),
    "efficientnet_b2_pruned": ("in1k",),
    "efficientnet_b3_pruned": ("in1k",),
    "efficientnetv2_rw_t": ("ra2_in1k",),
    "efficientnetv2_rw_s": ("ra2_in1k",),
    "efficientnetv2_rw_m": ("agc_in1k",),
    **{
        f"tf_efficientnet_b{number}": ("ns_jft_in1k", "ap_in1k", "aa_in1k", "in1k")
        for number in range(5)
    },
    "tf_efficientnet_b5": ("ns_jft_in1k", "ap_in1k", "ra_in1k", "aa_in1k", "in1k"),
    "tf_efficientnet_b6": ("ns_jft_in1k", "ap_in1k", "aa_in1k"),
    "tf_efficientnet_b7": ("ns_jft_in1k", "ap_in1k", "ra_in1k", "aa_in1k"),
    "tf_efficientnet_b8": ("ap_in1k", "ra_in1k"),
    "tf_efficientnet_l2": ("ns_jft_in1k_475", "ns_jft_in1k"),
    **{f"tf_efficientnet_{size}": ("in1k",) for size in ("es", "em", "el")},
    **{f"tf_efficientnet_lite{number}": ("in1k",) for number in range(5)},
    **{f"tf_efficientnetv2_{size}": ("in21k_ft_in1k", "in1k", "in21k") for size in "sml"},
    "tf_efficientnetv2_xl": ("in21k_ft_in1k", "in21k"),
    **{f"tf_efficientnetv2_b{number}": ("in1k",) for number in range(3)},
    "tf_efficientnetv2_b3": ("in21k_ft_in1k", "in1k", "in21k"),
}
#: Models that timm builds but publishes no weights for; a user may have trained them.
UNTRAINED = (
    *(f"efficientnet_{name}" for name in ("b6", "b7", "b8", "l2")),
    *(f"efficientnet_lite{number}" for number in range(1, 5)),
    *(f"efficientnetv2_{size}" for size in ("s", "m", "l", "xl")),
)

_MODEL = re.compile(
    r"^(?P<tf>tf_)?efficientnet(?P<v2>v2)?_(?P<size>b\d|l2|s|m|l|xl|es|em|el|lite\d|rw_[tsm])"
    r"(?P<pruned>_pruned)?$"
)


#: What timm called published weights before its models had tags.
_OLD_NAME = re.compile(
    r"^(?P<model>tf_efficientnet_(?:b\d|l2)|tf_efficientnetv2_(?:s|m|l|xl))"
    r"_(?P<suffix>ap|ns_475|ns|in21ft1k|in21k)$"
)
_OLD_SUFFIXES = {
    "ap": "ap_in1k",
    "ns": "ns_jft_in1k",
    "ns_475": "ns_jft_in1k_475",
    "in21ft1k": "in21k_ft_in1k",
    "in21k": "in21k",
}
_OLD_MODELS = {"efficientnet_b2a": "efficientnet_b2", "efficientnet_b3a": "efficientnet_b3"}


def modern_name(name: str) -> tuple[str, str | None]:
    """Return the model and the tag of a name that timm no longer uses; other names as they are.

    Example:
        >>> modern_name("tf_efficientnet_b0_ns")
        ('tf_efficientnet_b0', 'ns_jft_in1k')
        >>> modern_name("efficientnet_b0")
        ('efficientnet_b0', None)
    """
    match = _OLD_NAME.match(name)
    if match is None:
        return _OLD_MODELS.get(name, name), None
    return match["model"], _OLD_SUFFIXES[match["suffix"]]


@dataclass(frozen=True)
class TimmModel:
    """The conventions that a timm model name stands for.

    Args:
        name: The name without its tag.
        variant: The network, None for one that is in no table (rw, pruned V1).
        padding: "same" or "symmetric".
        bn_epsilon: 1e-3 or 1e-5.
        activation: "swish", "relu6" or "relu".
    """

    name: str
    variant: str | None
    padding: str
    bn_epsilon: float
    activation: str


def timm_model(name: str) -> TimmModel | None:
    """Return the conventions of a model name; None if it is no EfficientNet known here.

    Example:
        >>> found = timm_model("tf_efficientnetv2_b0")
        >>> found.variant, found.padding, found.bn_epsilon, found.activation
        ('v2-b0', 'same', 0.001, 'swish')
    """
    match = _MODEL.match(name)
    if match is None:
        return None
    size, is_v2 = match["size"], match["v2"] is not None
    only_v2 = size in ("s", "m", "l", "xl") or size.startswith("rw_")
    if (is_v2 and not only_v2 and size not in _V1[:4]) or (only_v2 and not is_v2):
        return None
    is_edge = size in ("es", "em", "el")
    is_pruned_v1 = match["pruned"] is not None and not is_edge
    like_tf = match["tf"] is not None or is_pruned_v1
    table_name = f"v2-{size}" if is_v2 else size
    variant = None if size.startswith("rw_") or is_pruned_v1 else table_name
    activation = "relu6" if size.startswith("lite") else "relu" if is_edge else "swish"
    return TimmModel(
        name=name,
        variant=variant,
        padding="same" if like_tf else "symmetric",
        bn_epsilon=1e-3 if like_tf else 1e-5,
        activation=activation,
    )


def timm_preprocessing(model: str, tag: str) -> str:
    """Return the name of the input scaling of a published set of weights.

    Example:
        >>> timm_preprocessing("tf_efficientnet_b0", "ap_in1k")
        'inception'
    """
    is_half = (
        tag.startswith(("ap_", "ra4_e3600"))
        or re.match(r"tf_efficientnet_(es|em|el|lite\d)$", model)
        or re.match(r"tf_efficientnetv2_(s|m|l|xl)$", model)
        or (model == "tf_efficientnetv2_b3" and tag.startswith("in21k"))
        or re.match(r"efficientnet_b\d_pruned$", model)
    )
    return "inception" if is_half else "imagenet"


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
        name, _, tag = request.arch.rpartition("/")[2].partition(".")
        return name, tag or None, f"--arch {request.arch}"
    if isinstance(config.get("architecture"), str):
        pretrained = config.get("pretrained_cfg") or {}
        tag = pretrained.get("tag") if isinstance(pretrained, Mapping) else None
        return config["architecture"], tag, "config.json"
    settings = raw.metadata.get("args")
    if isinstance(settings, Mapping) and isinstance(settings.get("model"), str):
        name, _, tag = settings["model"].partition(".")
        return name, tag or None, "settings in the training checkpoint"
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
    wanted = spec.variant if spec.variant in VARIANTS else None
    candidates = [
        f"--arch {model}.{tag} ({timm_model(model).padding} padding, epsilon "
        f"{timm_model(model).bn_epsilon:g}, {timm_preprocessing(model, tag)})"
        for model, tags in TAGS.items()
        for tag in tags
        if wanted is None or timm_model(model).variant in (None, wanted)
    ]
    candidates += [
        f"--arch {model} (symmetric padding, epsilon 1e-05, your own weights)"
        for model in UNTRAINED
        if timm_model(model).variant == wanted
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
