"""Fields beside timm's weights: the conventions equal those of the network that timm builds, or none."""

import dataclasses
import functools
import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from converters import convert
from converters.oracles.torch_models import declare_torchvision_operators
from converters.timm import DIALECT
from converters.timm_names import TAGS, modern_name
from efn_compose.arch import arch_spec
from efn_compose.checkpoints.containers.raw import RawCheckpoint
from efn_compose.checkpoints.dialects.dialect import Request
from efn_compose.errors import AmbiguousCheckpointError, ConversionError

pytestmark = pytest.mark.parity

#: Draws of each property; the two together look at four hundred configurations.
DRAWS = 200
_NAMES = {"SiLU": "swish", "Swish": "swish", "ReLU6": "relu6", "ReLU": "relu"}


@pytest.fixture(scope="module")
def timm():
    declare_torchvision_operators()
    return pytest.importorskip("timm")


def _raw(metadata):
    from pathlib import Path

    return RawCheckpoint(Path("m.pth"), "torch-zip", {}, metadata, ())


def _function_of(timm, name, arguments):
    """Return what decides the function of the network that timm builds, or None where it builds none."""
    deciding = {k: v for k, v in arguments.items() if "drop" not in k and k != "num_classes"}
    return _built(timm, name, tuple(sorted(deciding.items())))


@functools.cache
def _built(timm, name, arguments):
    import torch

    try:
        with torch.device("meta"):
            model = timm.create_model(name, **dict(arguments))
    except (TypeError, ValueError, RuntimeError, AssertionError, KeyError, AttributeError):
        return None
    norms = [layer for layer in model.modules() if isinstance(layer, torch.nn.BatchNorm2d)]
    if len({layer.eps for layer in norms}) != 1:
        return None
    return {
        "bn_epsilon": norms[0].eps,
        "activation": _NAMES.get(type(norms[0].act).__name__),
        "padding": "same" if "Same" in type(model.conv_stem).__name__ else "symmetric",
        "pool": model.global_pool.pool_type,
        "blur": any("Blur" in type(module).__name__ for module in model.modules()),
        "strides": model.feature_info[-1]["reduction"],
    }


ARGUMENTS = {
    "bn_eps": st.sampled_from([1e-5, 1e-2]),
    "act_layer": st.sampled_from(["relu", "relu6", "silu", "gelu"]),
    "pad_type": st.sampled_from(["", "same"]),
    "global_pool": st.sampled_from(["avg", "fast", "max", "catavgmax"]),
    "output_stride": st.sampled_from([32, 16]),
    "drop_rate": st.floats(0, 0.5),
    "drop_path_rate": st.floats(0, 0.5),
    "num_classes": st.integers(2, 20),
}
NAMES = ("efficientnet_b0", "tf_efficientnet_b0", "efficientnet_lite0")
TRIPLES = st.one_of(
    st.tuples(*[st.floats(0.125, 1.0)] * 3).map(list), st.floats(0.125, 1.0).map(lambda v: [v])
)


def _arguments():
    return st.fixed_dictionaries({}, optional=ARGUMENTS)


def _resolve(metadata):
    """Return the conventions that the converter reads, or None where it refuses or asks."""
    spec = dataclasses.replace(arch_spec("b0"), variant="custom")
    try:
        return DIALECT.resolve(_raw(metadata), spec, Request()).conventions
    except (ConversionError, AmbiguousCheckpointError):
        return None


def _check(conventions, build, expected_scaling, data):
    if conventions is None:
        return
    function = build()
    assert function is not None, "timm builds no such network, and it was not refused"
    assert function["pool"] in ("avg", "fast", "fastavg") and function["strides"] == 32
    assert not function["blur"]
    for name in ("bn_epsilon", "activation", "padding"):
        assert getattr(conventions, name) == function[name], (name, data)
    mean, std = expected_scaling
    assert conventions.preprocessing.mean == pytest.approx(np.asarray(mean) * 255, rel=1e-6)
    assert conventions.preprocessing.std == pytest.approx(np.asarray(std) * 255, rel=1e-6)


@settings(
    max_examples=DRAWS, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    name=st.sampled_from(NAMES),
    arguments=_arguments(),
    mean=st.none() | TRIPLES,
    std=st.none() | TRIPLES,
    is_old=st.booleans(),
)
def test_hub_configurations_give_what_timm_builds_or_are_refused(
    timm, name, arguments, mean, std, is_old
):
    from timm.data import resolve_data_config

    tag = TAGS[name][0]
    stated = {key: value for key, value in {"mean": mean, "std": std}.items() if value is not None}
    config = {"architecture": name, "model_args": arguments, "num_classes": 5}
    if is_old:
        config |= stated
    else:
        config["pretrained_cfg"] = {"tag": tag, "crop_pct": 0.9, **stated}
    published = timm.models.get_pretrained_cfg(f"{name}.{tag}").to_dict()
    scaling = resolve_data_config(stated, pretrained_cfg=published)
    conventions = _resolve({"config": config})
    build = functools.partial(_function_of, timm, name, arguments)
    _check(conventions, build, (scaling["mean"], scaling["std"]), config)


@settings(
    max_examples=DRAWS, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    name=st.sampled_from(NAMES),
    arguments=_arguments(),
    mean=st.none() | TRIPLES,
    std=st.none() | TRIPLES,
    pool=st.sampled_from([None, "avg", "max", "fast"]),
    epsilon=st.sampled_from([None, 1e-5, 1e-2]),
)
def test_training_settings_give_what_timm_builds_or_are_refused(
    timm, name, arguments, mean, std, pool, epsilon
):
    from timm.data import resolve_data_config

    tag = TAGS[name][0]
    settings_ = {
        "model": f"{name}.{tag}",
        "lr": 0.1,
        "mean": mean,
        "std": std,
        "gp": pool,
        "bn_eps": epsilon,
        "model_kwargs": arguments,
    }
    # train.py passes these settings and `model_kwargs` to the same call: one given twice is an error.
    both = {"global_pool": pool, "bn_eps": epsilon}
    both = {key: value for key, value in both.items() if value is not None}
    if set(both) & set(arguments):
        return
    published = timm.models.get_pretrained_cfg(f"{name}.{tag}").to_dict()
    scaling = resolve_data_config(
        {key: settings_[key] for key in ("mean", "std")}, pretrained_cfg=published
    )
    given = {key: value for key, value in settings_.items() if value is not None}
    conventions = _resolve({"args": given})
    build = functools.partial(_function_of, timm, name, arguments | both)
    _check(conventions, build, (scaling["mean"], scaling["std"]), given)


def test_the_property_can_fail(timm):
    """Conventions of another epsilon than timm's are noticed."""
    build = functools.partial(_function_of, timm, "efficientnet_b0", {"bn_eps": 1e-2})
    conventions = _resolve({"config": {"architecture": "efficientnet_b0", "pretrained_cfg": {
        "tag": "ra_in1k"}}})  # fmt: skip
    with pytest.raises(AssertionError):
        _check(conventions, build, ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)), {})


def test_fields_are_refused_by_name_all_at_once(tmp_path, weights):
    path = _written(tmp_path, weights, {"global_pool": "max", "blur_factor": 2, "crop_pct": 0.9})
    with pytest.raises(ConversionError) as caught:
        convert(path)
    assert "global_pool = 'max'" in str(caught.value) and "blur_factor = 2" in str(caught.value)
    assert "crop_pct" not in str(caught.value)


def test_an_accepted_field_is_left_out_of_account(tmp_path, weights):
    path = _written(tmp_path, weights, {"blur_factor": 2})
    assert convert(path, accepted=["blur_factor"]).donor.spec.variant == "b0"


@pytest.fixture(scope="module")
def weights(timm):
    return timm.create_model("efficientnet_b0", num_classes=3).state_dict()


def _written(tmp_path, weights, fields):
    import torch

    torch.save(weights, tmp_path / "m.pth")
    config = {"architecture": "efficientnet_b0", "pretrained_cfg": {"tag": "ra_in1k"}, **fields}
    (tmp_path / "config.json").write_text(json.dumps(config))
    return tmp_path / "m.pth"


def test_a_tag_that_contradicts_the_training_settings_is_a_question(tmp_path, weights):
    import argparse

    import torch

    arguments = argparse.Namespace(model="efficientnet_b0", mean=[0.5] * 3, std=[0.5] * 3)
    torch.save({"state_dict": weights, "args": arguments}, tmp_path / "m.pth.tar")
    with pytest.raises(AmbiguousCheckpointError, match="--accept mean --accept std"):
        convert(tmp_path / "m.pth.tar", arch="efficientnet_b0.ra_in1k")
    stated = convert(tmp_path / "m.pth.tar", arch="efficientnet_b0").donor
    assert stated.conventions.preprocessing.mean == pytest.approx((127.5,) * 3)
    accepted = ["mean", "std"]
    asked = convert(tmp_path / "m.pth.tar", arch="efficientnet_b0.ra_in1k", accepted=accepted).donor
    assert asked.conventions.preprocessing.mean == pytest.approx((123.675, 116.28, 103.53))


def test_names_of_before_tags_are_those_that_timm_maps(timm):
    from timm.models._registry import _deprecated_models

    ours = {name: new for name, new in _deprecated_models.items() if "efficientnet" in name}
    assert len(ours) > 20
    for name, new in ours.items():
        model, _, tag = new.partition(".")
        assert modern_name(name) == (model, tag or None)
