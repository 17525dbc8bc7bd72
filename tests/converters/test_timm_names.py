"""What timm's names and tags mean, against timm's own registry and builders."""

import dataclasses
import json

import pytest
from lab.random_checkpoints import random_network, write_checkpoint

from converters import convert, inspect
from converters.oracles.torch_models import Wanted, declare_torchvision_operators
from converters.timm_models import timm_conventions
from converters.timm_names import TAGS, UNTRAINED, timm_model, timm_preprocessing
from efn_compose.arch import PREPROCESSINGS, arch_spec
from efn_compose.checkpoints.containers.containers import read_checkpoint
from efn_compose.checkpoints.dialects.dialect import Request
from efn_compose.errors import AmbiguousCheckpointError, ConversionError

pytestmark = pytest.mark.parity

#: Networks that timm builds under such names and that are refused by their tensors.
REFUSED = ("_gn", "_evos", "_blur", "_cc_", "_x_", "_h_", "test_", "_ln")


@pytest.fixture(scope="module")
def registry():
    declare_torchvision_operators()
    import timm
    from timm.models._registry import _model_pretrained_cfgs

    del timm
    return {
        name: settings
        for name, settings in _model_pretrained_cfgs.items()
        if any(family in name for family in ("efficientnet", "tinynet", "mnasnet"))
        and not name.startswith("gc_")
        and not any(part in name for part in REFUSED)
    }


def test_every_tag_and_no_other_is_known(registry):
    tagged = {name for name in registry if "." in name and not name.endswith(".untrained")}
    assert {f"{model}.{tag}" for model, tags in TAGS.items() for tag in tags} == tagged
    untrained = {name.partition(".")[0] for name in registry if name.endswith(".untrained")}
    assert set(UNTRAINED) == untrained


def test_default_tag_comes_first(registry):
    for model, tags in TAGS.items():
        default, stated = registry[model], registry[f"{model}.{tags[0]}"]
        assert (default.mean, default.input_size) == (stated.mean, stated.input_size), model


def test_input_scaling_of_every_tag(registry):
    for model, tags in TAGS.items():
        for tag in tags:
            ours = PREPROCESSINGS[timm_preprocessing(model, tag)]
            stated = registry[f"{model}.{tag}"]
            assert ours.mean == pytest.approx([value * 255 for value in stated.mean])
            assert ours.std == pytest.approx([value * 255 for value in stated.std])


@pytest.mark.parametrize("model", ["tf_efficientnet_b0", "efficientnet_b0", "efficientnet_b1_pruned",
                                   "tf_efficientnetv2_b0", "efficientnetv2_rw_t", "efficientnet_lite0",
                                   "tf_efficientnet_es", "efficientnet_es", "tinynet_e", "mnasnet_050",
                                   "semnasnet_050", "mnasnet_small"])  # fmt: skip
def test_epsilon_padding_and_activation_are_those_timm_builds(model):
    declare_torchvision_operators()
    import timm
    import torch

    network = timm.create_model(model)
    known = timm_model(model)
    norms = [layer for layer in network.modules() if isinstance(layer, torch.nn.BatchNorm2d)]
    assert {layer.eps for layer in norms} == {known.bn_epsilon}
    assert ("Same" in type(network.conv_stem).__name__) == (known.padding == "same")
    activation = type(network.bn1.act).__name__
    expected = {"swish": "SiLU", "relu6": "ReLU6", "relu": "ReLU"}[known.activation]
    assert activation.replace("Swish", "SiLU") == expected


@pytest.mark.parametrize(
    ("arch", "variant"),
    [
        ("tf_efficientnet_b1.ns_jft_in1k", "b1"),
        ("efficientnet_b1_pruned.in1k", "custom"),
        ("efficientnetv2_rw_t.ra2_in1k", "custom"),
        ("tf_efficientnetv2_s.in21k", "v2-s"),
        ("efficientnet_el.ra_in1k", "el"),
        ("tinynet_e.in1k", "tinynet-e"),
        ("semnasnet_075.rmsp_in1k", "mnasnet-a1-w0.75-d1"),
        ("mnasnet_small.lamb_in1k", "mnasnet-small"),
    ],
)
def test_full_networks_are_read(tmp_path, arch, variant):
    """Every width comes from the tensors: pruned and rw networks are in no table."""
    declare_torchvision_operators()
    import timm

    model = timm.create_model(arch.partition(".")[0], num_classes=3)
    path = write_checkpoint(model, tmp_path / "m.safetensors")
    conversion = convert(path, arch=arch)
    assert conversion.donor.spec.variant == variant
    assert conversion.report.parameters == sum(p.numel() for p in model.parameters())
    assert conversion.report.resolved.provenance["tag"] == arch.partition(".")[2]


@pytest.fixture(scope="module")
def nano(tmp_path_factory):
    wanted = Wanted(arch_spec("b-w0.1-d0.3"), "tf_efficientnet_b0")
    return write_checkpoint(
        random_network("timm", wanted), tmp_path_factory.mktemp("nano") / "m.safetensors"
    )


def test_conventions_are_never_guessed(nano):
    with pytest.raises(AmbiguousCheckpointError) as caught:
        convert(nano)
    assert "--arch tf_efficientnet_b0.ap_in1k" in str(caught.value)
    assert "--arch efficientnet_b0.ra_in1k" in str(caught.value)
    with pytest.raises(AmbiguousCheckpointError, match="several input scalings"):
        convert(nano, arch="tf_efficientnet_b0")
    with pytest.raises(AmbiguousCheckpointError, match="no published tag"):
        convert(nano, arch="tf_efficientnet_b0.best")
    with pytest.raises(AmbiguousCheckpointError, match="not known here"):
        convert(nano, arch="efficientnet_b77.in1k")


def test_candidates_are_of_the_network_and_of_the_name_that_a_checkpoint_states(nano):
    raw = read_checkpoint(nano)
    with pytest.raises(AmbiguousCheckpointError, match="nothing names") as caught:
        timm_conventions(raw, arch_spec("b0"), Request())
    lines = [line for line in str(caught.value).splitlines() if "--arch " in line]
    assert len(lines) > 4 and all("efficientnet_b0." in line for line in lines)
    # What timm's trainer writes beside the weights.
    named = dataclasses.replace(raw, metadata={"arch": "tf_efficientnet_b0"})
    with pytest.raises(AmbiguousCheckpointError, match="several input scalings") as caught:
        timm_conventions(named, arch_spec("b0"), Request())
    assert "--arch efficientnet_b0" not in str(caught.value)
    with_tag = dataclasses.replace(raw, metadata={"arch": "tf_efficientnet_b0.ap_in1k"})
    assert timm_conventions(with_tag, arch_spec("b0"), Request()).conventions.padding == "same"
    strange = dataclasses.replace(raw, metadata={"arch": "my_net"})
    with pytest.raises(AmbiguousCheckpointError, match=r"arch in the .* names 'my_net'"):
        timm_conventions(strange, arch_spec("b0"), Request())


def test_inspect_says_what_must_be_asked(nano):
    found = inspect(nano)
    assert found["dialects"] == ["timm"] and found["variant"] == "b-w0.1-d0.3"
    assert found["classes"] == 10 and "conventions" not in found
    assert "Candidates" in found["open_questions"][0]
    answered = inspect(nano, arch="tf_efficientnet_b0.in1k")
    assert not answered["open_questions"] and answered["conventions"]["padding"] == "same"


def test_config_json_answers(nano, tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(nano.read_bytes())
    config = {
        "architecture": "efficientnet_b0",
        "pretrained_cfg": {"mean": [0.5, 0.4, 0.3], "std": [0.2, 0.2, 0.2], "tag": "mine"},
    }
    (tmp_path / "config.json").write_text(json.dumps(config))
    resolved = convert(path).report.resolved
    assert resolved.conventions.padding == "symmetric"
    assert resolved.conventions.preprocessing.mean == pytest.approx((127.5, 102, 76.5))
    assert "config.json" in resolved.sources["preprocessing"]


def test_a_variant_that_the_tensors_are_not_is_refused(tmp_path):
    declare_torchvision_operators()
    import timm

    path = write_checkpoint(timm.create_model("tf_efficientnet_b0"), tmp_path / "m.safetensors")
    with pytest.raises(ConversionError, match="b1"):
        convert(path, arch="tf_efficientnet_b1.aa_in1k")


def test_edge_is_ambiguous_between_timm_and_geffnet(tmp_path):
    wanted = Wanted(arch_spec("edge-w0.25-d0.3"), "efficientnet_es")
    path = write_checkpoint(random_network("timm", wanted), tmp_path / "m.pth")
    with pytest.raises(AmbiguousCheckpointError, match=r"timm.*geffnet"):
        convert(path)
    assert convert(path, arch="efficientnet_es.ra_in1k").report.dialect == "timm"
    with pytest.raises(ConversionError, match="strides in the projection"):
        convert(path, dialect="geffnet", arch="tf_efficientnet_es")


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("efficientnet_cc_b0_4e", "CondConv"),
        ("efficientnet_b0_gn", "GroupNorm"),
        ("efficientnet_b0_g8_gn", "GroupNorm"),
        ("gc_efficientnetv2_rw_t", "global-context"),
        ("efficientnet_h_b5", "space-to-depth"),
        ("mixnet_s", "MixNet"),
        ("mobilenetv3_small_050", "MobileNetV3"),
    ],
)
def test_relatives_are_refused_by_name(tmp_path, model, words):
    declare_torchvision_operators()
    import timm

    path = write_checkpoint(timm.create_model(model, num_classes=2), tmp_path / "m.safetensors")
    with pytest.raises(ConversionError, match=words):
        convert(path, arch=f"{model}.in1k")
