"""What transformers writes beside the weights: `config.json` and `preprocessor_config.json`.

The image processor is an affine map of pixels: rescale, less one where `rescale_offset`, then
less the mean over the deviation where `do_normalize`, then over the deviation once more where
`include_top`. Resizing and cropping change no function of the network.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from efn_compose.arch import PREPROCESSINGS, ArchSpec, Preprocessing
from efn_compose.checkpoints.dialects.stated_fields import KnownFields
from efn_compose.errors import ConfigError

PROCESSOR = "preprocessor_config.json"
_LARGEST_BYTES = 1 << 20
#: Defaults of the processor where its file is silent.
_DEFAULTS: dict[str, Any] = {
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "rescale_offset": False,
    "do_normalize": True,
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.5, 0.5, 0.5],
    "include_top": True,
}
_PROCESSOR_TYPES = tuple(f"EfficientNetImageProcessor{end}" for end in ("", "Fast", "Pil"))
_PROCESSOR_FIELDS = KnownFields(
    read=frozenset(_DEFAULTS),
    harmless=frozenset(
        [
            "do_resize",
            "size",
            "resample",
            "default_to_square",
            "do_center_crop",
            "crop_size",
            "do_pad",
            "pad_size",
            "do_convert_rgb",
            "input_data_format",
            "data_format",
            "return_tensors",
            "device",
            "disable_grouping",
            "_valid_processor_keys",
            "processor_class",
            "auto_map",
        ]
    ),
    allowed={
        "image_processor_type": _PROCESSOR_TYPES,
        "feature_extractor_type": ("EfficientNetFeatureExtractor",),
        "image_seq_length": (),
    },
)
#: Fields of a configuration that the tensors show, or that matter in training or in serving only.
_CONFIG_FIELDS = KnownFields(
    read=frozenset(
        [
            "image_size",
            "depthwise_padding",
            "hidden_act",
            "pooling_type",
            "batch_norm_eps",
            "strides",
            "model_type",
            "batch_norm_momentum",
        ]
    ),
    harmless=frozenset(
        [
            "_name_or_path",
            "architectures",
            "num_channels",
            "width_coefficient",
            "depth_coefficient",
            "depth_divisor",
            "kernel_sizes",
            "in_channels",
            "out_channels",
            "num_block_repeats",
            "expand_ratios",
            "squeeze_expansion_ratio",
            "hidden_dim",
            "initializer_range",
            "dropout_rate",
            "drop_connect_rate",
            "num_hidden_layers",
            "id2label",
            "label2id",
            "num_labels",
            "problem_type",
            "torch_dtype",
            "dtype",
            "transformers_version",
            "finetuning_task",
            "task_specific_params",
            "return_dict",
            "use_cache",
            "output_hidden_states",
            "output_attentions",
            "tie_word_embeddings",
            "use_return_dict",
            "chunk_size_feed_forward",
            "is_encoder_decoder",
            "is_decoder",
            "add_cross_attention",
            "bos_token_id",
            "eos_token_id",
            "pad_token_id",
            "prefix",
            "custom_pipelines",
            "torchscript",
        ]
    ),
)


def config_problems(config: Mapping[str, Any], accepted: Sequence[str] = ()) -> list[str]:
    """Return a line for every field of a `config.json` that may change the function unread."""
    return _CONFIG_FIELDS.problems(config, "config.json", accepted)


def stride_problems(config: Mapping[str, Any], spec: ArchSpec) -> list[str]:
    """Return a line where the strides of a `config.json` are not the network's; no tensor shows them."""
    given = config.get("strides")
    if given is None:
        return []
    strides = [block.stride for block in spec.blocks if block.repeat == 1]
    if list(given) == strides:
        return []
    return [f"- config.json: strides = {given!r}; allowed: {strides!r}"]


def processor_scaling(
    folder: Path, accepted: Sequence[str] = ()
) -> tuple[Preprocessing | None, list[str]]:
    """Return the input scaling that the processor beside the weights amounts to.

    Args:
        folder: Where the weights are.
        accepted: Fields that the user knows to change nothing.

    Returns:
        The scaling, None where there is no processor; and a line for every problem with it.

    Example:
        >>> processor_scaling(Path("."))
        (None, [])
    """
    path = folder / PROCESSOR
    if not path.is_file():
        return None, []
    try:
        if path.stat().st_size > _LARGEST_BYTES:
            raise ValueError("larger than any such file")
        fields = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(fields, dict):
            raise ValueError("not an object")
    except (OSError, ValueError) as error:
        return None, [f"- {PROCESSOR}: unreadable ({error}); remove or mend it"]
    problems = _PROCESSOR_FIELDS.problems(fields, PROCESSOR, accepted)
    stated = {
        name: value
        for name, value in fields.items()
        if name in _DEFAULTS and value is not None and name not in accepted
    }
    try:
        return _affine({**_DEFAULTS, **stated}), problems
    except (TypeError, ValueError, ZeroDivisionError, ConfigError) as error:
        said = ", ".join(f"{name} = {value!r:.60}" for name, value in stated.items())
        return None, [*problems, f"- {PROCESSOR}: no usable scaling ({error}): {said}"]


def named_scaling(scaling: Preprocessing) -> Preprocessing:
    """Return the known scaling that rounded figures stand for, else the scaling as it is."""
    for known in PREPROCESSINGS.values():
        pairs = zip((*known.mean, *known.std), (*scaling.mean, *scaling.std), strict=True)
        # The published processors carry square roots rounded to seven digits.
        if all(abs(a - b) < 0.01 for a, b in pairs):
            return known
    return scaling


def _affine(fields: Mapping[str, Any]) -> Preprocessing:
    """Return the scaling whose (pixel - mean) / std is what the processor computes."""
    for name in ("do_rescale", "rescale_offset", "do_normalize", "include_top"):
        if not isinstance(fields[name], bool):
            raise ValueError(f"{name} is neither true nor false")
    mean, deviation = _triple(fields["image_mean"]), _triple(fields["image_std"])
    factor, offset = np.ones(3), np.zeros(3)
    if fields["do_rescale"]:
        factor = factor * float(fields["rescale_factor"])
        offset = offset - float(fields["rescale_offset"])
    # Refused below.
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        if fields["do_normalize"]:
            factor, offset = factor / deviation, (offset - mean) / deviation
        if fields["include_top"]:
            factor, offset = factor / deviation, offset / deviation
    if not (np.isfinite(factor).all() and (factor > 0).all()):
        raise ValueError("a factor that is not above 0")
    mean_r, mean_g, mean_b = map(float, -offset / factor)
    std_r, std_g, std_b = map(float, 1 / factor)
    return Preprocessing((mean_r, mean_g, mean_b), (std_r, std_g, std_b))


def _triple(value: Any) -> np.ndarray:
    if isinstance(value, bool):
        raise ValueError("true and false are no numbers")
    values = np.asarray(value, np.float64).reshape(-1)
    if values.size not in (1, 3) or not np.isfinite(values).all():
        raise ValueError("neither one number nor three")
    return np.broadcast_to(values, 3)
