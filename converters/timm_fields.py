"""The fields that timm writes beside the weights: `config.json`, and `args` of its training script.

The fields that change the function are read: pooling, BatchNorm, activation, padding, input
scaling. A field that changes it and cannot be expressed is refused; see `KnownFields`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from efn_compose.checkpoints.containers.raw import RawCheckpoint
from efn_compose.checkpoints.dialects.dialect import Request
from efn_compose.checkpoints.dialects.stated_fields import KnownFields, refuse_unknown

_CONFIG, _ARGS = "config.json", "settings in the training checkpoint"
#: Poolings that are the average: timm's names for it, and none, which leaves the map as it is.
_AVERAGE = ("avg", "fast", "fastavg")
_ACTIVATIONS = {"swish": "swish", "silu": "swish", "relu6": "relu6", "relu": "relu"}
_READ = ("mean", "std", "bn_eps", "bn_momentum", "bn_tf", "act_layer", "pad_type")


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


#: Sizes, cropping, labels, addresses: fields of a published configuration beside the network.
_DESCRIPTION = _names(
    "architecture classifier crop_mode crop_pct custom_load description file first_conv"
    " fixed_input_size hf_hub_filename hf_hub_id input_size interpolation label_descriptions"
    " label_names labels library_name license min_input_size notes num_classes num_features"
    " origin_url paper_ids paper_name pool_size source tag tags test_crop_pct test_input_size"
    " test_pool_size url in_chans img_size"
)
_CONFIG_FIELDS = KnownFields(
    read=_names("mean std model_args pretrained_cfg"),
    harmless=_DESCRIPTION,
    allowed={"global_pool": _AVERAGE, "label_offset": (0,)},
)
#: Arguments of a model that its tensors show, or that matter in training only.
_MODEL_FIELDS = KnownFields(
    read=_names(" ".join(_READ)),
    harmless=_names(
        "num_classes num_features in_chans stem_size fix_stem channel_multiplier depth_multiplier"
        " drop_rate drop_path_rate drop_connect_rate drop_block_rate pretrained pretrained_strict"
        " pretrained_cfg pretrained_cfg_overlay checkpoint_path cache_dir scriptable exportable no_jit"
        " device dtype img_size se_from_exp group_size"
    ),
    allowed={
        "global_pool": _AVERAGE,
        "output_stride": (32,),
        "norm_layer": ("batchnorm", "batchnorm2d", "batchnormact2d"),
        "se_layer": ("se", "SqueezeExcite"),
        "stem_kernel_size": (3,),
        "bn_args": ({},),
    },
)
#: Settings of `train.py` that are about data, optimizer, schedule, hardware and logging.
_ARGS_FIELDS = KnownFields(
    read=_names("model mean std bn_eps bn_momentum bn_tf model_kwargs"),
    harmless=_names(
        "config data data_dir dataset train_split val_split train_num_samples val_num_samples"
        " dataset_download class_map input_img_mode input_key target_key dataset_trust_remote_code"
        " pretrained pretrained_path initial_checkpoint resume no_resume_opt num_classes img_size"
        " in_chans chans input_size crop_pct interpolation batch_size validation_batch_size"
        " channels_last fuser grad_accum_steps grad_checkpointing fast_norm head_init_scale"
        " head_init_bias torchcompile_mode torchscript torchcompile jit device amp amp_dtype amp_impl"
        " apex_amp native_amp use_amp model_dtype no_ddp_bb synchronize_step device_modules opt opt_eps"
        " opt_betas momentum weight_decay clip_grad clip_mode layer_decay layer_decay_min_scale"
        " layer_decay_no_opt_scale opt_kwargs sched sched_on_updates lr lr_base lr_base_size"
        " lr_base_scale lr_noise lr_noise_pct lr_noise_std lr_cycle_mul lr_cycle_decay lr_cycle_limit"
        " lr_k_decay warmup_lr min_lr epochs epoch_repeats start_epoch decay_milestones decay_epochs"
        " warmup_epochs warmup_prefix cooldown_epochs patience_epochs decay_rate no_aug"
        " train_crop_mode scale ratio hflip vflip color_jitter color_jitter_prob grayscale_prob"
        " gaussian_blur_prob aa aug_repeats aug_splits jsd_loss jsd bce_loss bce_sum bce_target_thresh"
        " bce_pos_weight reprob remode recount resplit mixup cutmix cutmix_minmax mixup_prob"
        " mixup_switch_prob mixup_mode mixup_off_epoch smoothing train_interpolation drop drop_connect"
        " drop_path drop_block sync_bn dist_bn split_bn model_ema model_ema_force_cpu model_ema_decay"
        " model_ema_warmup seed worker_seeding log_interval val_interval recovery_interval"
        " checkpoint_hist workers save_images pin_mem no_prefetcher prefetcher output experiment"
        " eval_metric tta use_multi_epochs_loader log_wandb wandb_project wandb_tags wandb_resume_id"
        " local_rank rank world_size distributed dist_backend dist_url num_gpu train_img_sizes"
        " train_batch_sizes train_size_probs train_size_schedule train_size_schedule_spread"
        " train_size_random_mix train_batches_per_epoch variable_batch_loss_scale kd_model_name"
        " kd_distill_type kd_loss_type distill_loss_weight task_loss_weight kd_temperature"
        " kd_student_feature_dim kd_teacher_feature_dim kd_token_distill_type naflex_loader"
        " naflex_train_seq_lens naflex_max_seq_len naflex_patch_sizes naflex_patch_size_probs"
        " naflex_loss_scale naflex_patchify_channels_first"
    ),
    allowed={"gp": _AVERAGE},
)


@dataclass(frozen=True)
class Stated:
    """The conventions that fields beside the weights state.

    Args:
        values: "mean" and "std" (of pixels in 0..1, three each), "bn_epsilon", "bn_momentum"
            (Keras' sense), "activation", "padding"; only those that are stated.
        sources: Where each of them is said.
    """

    values: Mapping[str, Any] = field(default_factory=dict)
    sources: Mapping[str, str] = field(default_factory=dict)


def stated_fields(raw: RawCheckpoint, request: Request) -> Stated:
    """Return the fields beside the weights that change how these are run.

    Raises:
        ConversionError: A field may change the function and cannot be honoured; all are listed.
    """
    found = _Reading(request.accepted)
    config = raw.metadata.get("config")
    if isinstance(config, Mapping) and "architecture" in config:
        found.read(config, _CONFIG_FIELDS, _CONFIG)
        found.read(
            _mapping(config.get("pretrained_cfg")), _CONFIG_FIELDS, f"{_CONFIG} pretrained_cfg"
        )
        found.read(_mapping(config.get("model_args")), _MODEL_FIELDS, f"{_CONFIG} model_args")
    arguments = raw.metadata.get("args")
    if isinstance(arguments, Mapping) and "model" in arguments:
        found.read(arguments, _ARGS_FIELDS, _ARGS)
        found.read(_mapping(arguments.get("model_kwargs")), _MODEL_FIELDS, f"{_ARGS} model_kwargs")
    refuse_unknown(raw.path, found.problems)
    return Stated(found.values, found.sources)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


class _Reading:
    """Collects values and problems; the training's settings, read last, overrule the configuration."""

    def __init__(self, accepted: Sequence[str]) -> None:
        self.accepted = accepted
        self.values: dict[str, Any] = {}
        self.sources: dict[str, str] = {}
        self.problems: list[str] = []

    def read(self, fields: Mapping[str, Any], known: KnownFields, where: str) -> None:
        self.problems += known.problems(fields, where, self.accepted)
        for name in _READ:
            value = fields.get(name)
            if name not in known.read or value is None or name in self.accepted:
                continue
            said = _value(name, value)
            if said is None:
                self.problems.append(
                    f"- {where}: {name} = {value!r:.80}; allowed: {_ALLOWED[name]}"
                )
                continue
            for convention, meaning in said.items():
                self.values[convention], self.sources[convention] = meaning, f"{name} in {where}"


_ALLOWED = {
    "mean": "one or three numbers",
    "std": "one or three numbers above 0",
    "bn_eps": "a number above 0",
    "bn_momentum": "a number from 0 to 1",
    "bn_tf": "true or false",
    "act_layer": ", ".join(_ACTIVATIONS),
    "pad_type": "'' (symmetric) or 'same'",
}


def _value(name: str, value: Any) -> dict[str, Any] | None:
    """Return the conventions that a field's value means, or None where it means none of ours."""
    if name in ("mean", "std"):
        triple = _triple(value)
        return None if triple is None or (name == "std" and min(triple) <= 0) else {name: triple}
    if name == "act_layer":
        known = _ACTIVATIONS.get(str(value).lower())
        return None if known is None else {"activation": known}
    if name == "pad_type":
        padding = {"": "symmetric", "same": "same"}.get(str(value).lower())
        return None if padding is None else {"padding": padding}
    if name == "bn_tf":
        return {"bn_epsilon": 1e-3, "bn_momentum": 0.99} if value is True else {}
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    if name == "bn_eps":
        return {"bn_epsilon": float(value)} if value > 0 else None
    # PyTorch's momentum is the share of the new value, Keras' that of the old one.
    return {"bn_momentum": 1 - float(value)} if 0 <= value <= 1 else None


def _triple(values: Any) -> tuple[float, float, float] | None:
    if isinstance(values, (int, float)) and not isinstance(values, bool):
        values = [values]
    if not isinstance(values, (list, tuple)) or len(values) not in (1, 3):
        return None
    if any(isinstance(value, bool) or not isinstance(value, (int, float)) for value in values):
        return None
    first, second, third = values if len(values) == 3 else [values[0]] * 3
    return float(first), float(second), float(third)
