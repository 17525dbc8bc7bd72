"""timm's model names: network, padding, epsilon, activation, tags, and its builders.

A name says what tensors do not: `efficientnet_b0` and `tf_efficientnet_b0` have the same
tensors and differ in padding and epsilon.
"""

import re
from dataclasses import dataclass

from efn_compose.arch import BASES, FAMILIES, VARIANTS, ArchSpec, arch_spec, base_of
from efn_compose.arch.conventions import Activation, Padding
from efn_compose.arch.variants import round_channels

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
    **{f"tinynet_{letter}": ("in1k",) for letter in "abcde"},
    "mnasnet_100": ("rmsp_in1k",),
    "semnasnet_075": ("rmsp_in1k",),
    "semnasnet_100": ("rmsp_in1k",),
    "mnasnet_small": ("lamb_in1k",),
}
#: Models that timm builds but publishes no weights for; a user may have trained them.
UNTRAINED = (
    *(f"efficientnet_{name}" for name in ("b6", "b7", "b8", "l2")),
    *(f"efficientnet_lite{number}" for number in range(1, 5)),
    *(f"efficientnetv2_{size}" for size in ("s", "m", "l", "xl")),
    *(f"mnasnet_{width}" for width in ("050", "075", "140")),
    *(f"semnasnet_{width}" for width in ("050", "140")),
)

_MODEL = re.compile(
    r"^(?P<tf>tf_)?efficientnet(?P<v2>v2)?_(?P<size>b\d|l2|s|m|l|xl|es|em|el|lite\d|rw_[tsm])"
    r"(?P<pruned>_pruned)?$"
)
_TINYNET = re.compile(r"^tinynet_(?P<letter>[a-e])$")
_MNASNET = re.compile(r"^(?P<gates>se)?mnasnet_(?P<width>\d{3}|small)$")

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
_OLD_MODELS = {
    "efficientnet_b2a": "efficientnet_b2",
    "efficientnet_b3a": "efficientnet_b3",
    "mnasnet_a1": "semnasnet_100",
    "mnasnet_b1": "mnasnet_100",
}


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
    padding: Padding
    bn_epsilon: float
    activation: Activation


def timm_model(name: str) -> TimmModel | None:
    """Return the conventions of a model name; None if it is no network known here.

    Example:
        >>> found = timm_model("tf_efficientnetv2_b0")
        >>> found.variant, found.padding, found.bn_epsilon, found.activation
        ('v2-b0', 'same', 0.001, 'swish')
        >>> timm_model("semnasnet_075").variant
        'mnasnet-a1-w0.75-d1'
    """
    variant = _relative(name)
    if variant is not None:
        return _model(name, variant, like_tf=False, family=arch_spec(variant).family)
    match = _MODEL.match(name)
    if match is None:
        return None
    size, is_v2 = match["size"], match["v2"] is not None
    only_v2 = size in ("s", "m", "l", "xl") or size.startswith("rw_")
    if (is_v2 and not only_v2 and size not in _V1[:4]) or (only_v2 and not is_v2):
        return None
    table_name = f"v2-{size}" if is_v2 else size
    is_pruned_v1 = match["pruned"] is not None and table_name in _V1
    in_table = not size.startswith("rw_") and not is_pruned_v1
    return _model(
        name,
        table_name if in_table else None,
        like_tf=match["tf"] is not None or is_pruned_v1,
        family=BASES[VARIANTS[table_name].base].family if in_table else "b",
    )


def _relative(name: str) -> str | None:
    """Return the variant of a TinyNet's or MnasNet's name, None for any other name."""
    tinynet, mnasnet = _TINYNET.match(name), _MNASNET.match(name)
    if tinynet:
        return f"tinynet-{tinynet['letter']}"
    if mnasnet is None:
        return None
    if mnasnet["width"] == "small":
        return None if mnasnet["gates"] else "mnasnet-small"
    base = "mnasnet-a1" if mnasnet["gates"] else "mnasnet-b1"
    width = int(mnasnet["width"]) / 100
    return base if width == 1 else f"{base}-w{width:g}-d1"


def _model(name: str, variant: str | None, *, like_tf: bool, family: str) -> TimmModel:
    return TimmModel(
        name=name,
        variant=variant,
        padding="same" if like_tf else "symmetric",
        bn_epsilon=1e-3 if like_tf else 1e-5,
        activation=FAMILIES[family].activation,
    )


def name_of(variant: str, padding: str) -> str | None:
    """Return timm's name of a network, the one of this padding if there is one.

    Example:
        >>> name_of("b0", "same"), name_of("tinynet-a", "same"), name_of("l3", "same")
        ('tf_efficientnet_b0', 'tinynet_a', None)
    """
    known = [timm_model(name) for name in (*TAGS, *UNTRAINED)]
    fits = [model for model in known if model is not None and model.variant == variant]
    fits.sort(key=lambda model: model.padding != padding)
    return fits[0].name if fits else None


@dataclass(frozen=True)
class TimmBuilder:
    """timm's function that builds a base at other coefficients.

    Args:
        function: Its name in `timm.models.efficientnet`.
        model: A model of this base, whose name the function is given.
        width: Its argument for the width coefficient.
        depth: Its argument for the depth coefficient, None where it has none.
        has_ninety_percent_rule: Whether rounding may not lose more than a tenth of a width.
    """

    function: str
    model: str
    width: str = "channel_multiplier"
    depth: str | None = "depth_multiplier"
    has_ninety_percent_rule: bool = True

    def builds(self, spec: ArchSpec) -> bool:
        """Return whether the function makes this very network: depths and rounding are those here."""
        row = BASES[base_of(spec) or ""]
        widths = tuple(
            round_channels(stage.channels * spec.width, self.has_ninety_percent_rule)
            for stage in row.stages
        )
        is_as_deep = self.depth is not None or spec.depth == 1
        return is_as_deep and widths == spec.stage_channels

    def arguments(self, spec: ArchSpec, padding: str) -> dict[str, object]:
        """Return the arguments that make the function build a network."""
        found: dict[str, object] = {self.width: spec.width}
        if self.depth is not None:
            found[self.depth] = spec.depth
        return found | ({"pad_type": "same", "bn_eps": 1e-3} if padding == "same" else {})


#: Builders by base. timm scales V2-M to XL with a top of fixed width, so they are left out.
BUILDERS: dict[str, TimmBuilder] = {
    "b": TimmBuilder("_gen_efficientnet", "efficientnet_b0"),
    "lite": TimmBuilder("_gen_efficientnet_lite", "efficientnet_lite0"),
    "edge": TimmBuilder("_gen_efficientnet_edge", "efficientnet_es"),
    "v2-b": TimmBuilder(
        "_gen_efficientnetv2_base", "tf_efficientnetv2_b0", has_ninety_percent_rule=False
    ),
    "v2-s": TimmBuilder("_gen_efficientnetv2_s", "efficientnetv2_s"),
    "tinynet": TimmBuilder("_gen_tinynet", "tinynet_a", width="model_width"),
    "mnasnet-a1": TimmBuilder("_gen_mnasnet_a1", "semnasnet_100", depth=None),
    "mnasnet-b1": TimmBuilder("_gen_mnasnet_b1", "mnasnet_100", depth=None),
    "mnasnet-small": TimmBuilder("_gen_mnasnet_small", "mnasnet_small", depth=None),
}


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
