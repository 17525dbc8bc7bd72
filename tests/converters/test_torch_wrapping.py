"""What wraps a network in a PyTorch file: computed as the wrapper does, refused, or left out and said."""

import copy

import numpy as np
import pytest

from converters import convert, inspect
from converters.oracles.torch_models import Wanted, declare_torchvision_operators
from efn_compose.arch import arch_spec
from efn_compose.errors import ConversionError, ForbiddenPickleError
from efn_compose.nesting.running.forward import NumpyNetwork
from efn_compose.nesting.running.weight_source import WeightSource

pytestmark = pytest.mark.parity

ARCH = "efficientnet_b0.ra_in1k"
SIDE = 64
CLASSES = 10


@pytest.fixture(scope="module")
def network():
    from lab.random_checkpoints import random_network

    declare_torchvision_operators()
    wanted = Wanted(arch_spec("b-w0.1-d0.3"), "efficientnet_b0", bn_epsilon=1e-5)
    return random_network("timm", wanted).eval()


@pytest.fixture(scope="module")
def pixels():
    return np.random.default_rng(0).integers(0, 256, (2, SIDE, SIDE, 3)).astype(np.float64)


def saved(path, content):
    import torch

    torch.save(content, path)
    return path


def converted(tmp_path, content, **options):
    return convert(saved(tmp_path / "m.pth", content), arch=ARCH, **options)


def logits_of(donor, pixels):
    return NumpyNetwork(WeightSource.of(donor)).run(donor.preprocess(pixels))


def logits_of_library(module, inputs):
    import torch

    with torch.no_grad():
        logits = module.double()(torch.from_numpy(inputs.transpose(0, 3, 1, 2).copy())).numpy()
    module.float()
    return logits


def imagenet(pixels):
    return (pixels / 255 - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225)


def parametrized(network, kind):
    from torch import nn
    from torch.nn.utils import parametrizations, prune

    model = copy.deepcopy(network)
    if kind == "weight norm":
        nn.utils.weight_norm(model.classifier)
    elif kind == "weight norm of the whole":
        nn.utils.weight_norm(model.classifier, dim=None)
    elif kind == "weight norm, parametrized":
        parametrizations.weight_norm(model.conv_stem)
    elif kind == "spectral norm":
        nn.utils.spectral_norm(model.conv_head)
    elif kind == "spectral norm, parametrized":
        parametrizations.spectral_norm(model.classifier)
    else:
        prune.l1_unstructured(model.conv_head, "weight", 0.5)
        prune.random_structured(model.classifier, "weight", 0.3, dim=1)
    return model.eval()


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize(
    "kind",
    [
        "weight norm",
        "weight norm of the whole",
        "weight norm, parametrized",
        "spectral norm",
        "spectral norm, parametrized",
        "pruning",
    ],
)
def test_weights_in_parts_are_those_the_module_uses(tmp_path, network, pixels, kind):
    model = parametrized(network, kind)
    conversion = converted(tmp_path, model.state_dict())
    expected = logits_of_library(model, imagenet(pixels))
    ours = logits_of(conversion.donor, pixels)
    np.testing.assert_allclose(ours, expected, atol=1e-5 * expected.std())
    assert any("computed from the parts" in line for line in conversion.report.mapping.folded)


@pytest.mark.parametrize("mean, std", [((0.5, 0.4, 0.3), (0.5, 0.25, 0.2)), ((127.5,), (64.0,))])
def test_a_wrapper_that_normalises_is_the_input_scaling(tmp_path, network, pixels, mean, std):
    import torch

    class Normalize(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("mean", torch.tensor(mean).reshape(1, -1, 1, 1))
            self.register_buffer("std", torch.tensor(std).reshape(1, -1, 1, 1))

        def forward(self, images):
            return (images - self.mean) / self.std

    whole = torch.nn.Sequential(Normalize(), network)
    conversion = converted(tmp_path, whole.state_dict())
    expected = logits_of_library(whole, pixels / (255 if max(mean) <= 1 else 1))
    ours = logits_of(conversion.donor, pixels)
    np.testing.assert_allclose(ours, expected, atol=1e-5 * expected.std())
    assert conversion.report.resolved.sources["preprocessing"] == "0.mean and 0.std in the file"
    ignored = converted(tmp_path, whole.state_dict(), accepted=["0.mean", "0.std"]).donor
    assert ignored.conventions.preprocessing.mean == pytest.approx((123.675, 116.28, 103.53))


HALF = {"mean": [0.5] * 3, "std": [0.5] * 3}


@pytest.mark.parametrize(
    "settings", [HALF, {"hyper_parameters": {"lr": 0.1, **HALF}}, {"pretrained_cfg": HALF}]
)
def test_a_scaling_among_a_training_s_settings_is_honoured(tmp_path, network, settings):
    donor = converted(tmp_path, {"state_dict": network.state_dict(), **settings}).donor
    assert donor.conventions.preprocessing.mean == pytest.approx((127.5,) * 3)
    assert donor.conventions.preprocessing.std == pytest.approx((127.5,) * 3)


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"bn_eps": 1e-2}, "bn_eps = 0.01; the network's: 1e-05"),
        ({"global_pool": "max"}, "global_pool = 'max'"),
        ({"act_layer": "gelu"}, "act_layer = 'gelu'"),
        ({"pad_type": "same"}, "pad_type = 'same'"),
        ({"mean": [0.5, 0.5, 0.5]}, "mean is stated without std"),
        ({"mean": [0.5] * 3, "std": [100.0] * 3}, "neither of 0..1 nor of 0..255"),
    ],
)
def test_a_setting_that_contradicts_the_network_is_refused_by_name(
    tmp_path, network, settings, message
):
    content = {"state_dict": network.state_dict(), "hyper_parameters": settings}
    with pytest.raises(ConversionError) as caught:
        converted(tmp_path, content)
    assert message in str(caught.value) and "hyper_parameters" in str(caught.value)
    assert converted(tmp_path, content, accepted=list(settings)).donor.classes == CLASSES


def renamed(state, old, new):
    return {name.replace(old, new): value for name, value in state.items()}


def beside(state):
    import torch

    one = torch.ones(1)
    return {
        "a wrapper inside": renamed(state, "blocks.1.", "blocks.1._checkpoint_wrapped_module."),
        "a compiled part": renamed(state, "blocks.", "blocks._orig_mod."),
        "a profiler": {**state, "conv_stem.total_ops": one, "total_params": one},
        "a loss": {**state, "criterion.weight": torch.ones(5)},
        "centres": {**state, "center_loss.centers": torch.ones(5, 128)},
        "a metric": {**state, "train_acc.tp": torch.ones(5)},
        "a counter": {**{f"model.{name}": state[name] for name in state}, "n_averaged": one},
        "averages": {"model": renamed(state, "", ""), "ema": {"shadow_params": [one]}},
        "DeepSpeed": {"module": state, "optimizer": {"state": {0: {"exp_avg": one}}}},
    }


KINDS = (
    *("a wrapper inside", "a compiled part", "a profiler", "a loss", "centres", "a metric"),
    *("a counter", "averages", "DeepSpeed"),
)


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_training_leaves_is_no_part_of_the_network(tmp_path, network, kind):
    conversion = converted(tmp_path, beside(network.state_dict())[kind])
    plain = converted(tmp_path, network.state_dict()).donor
    assert conversion.donor.classes == CLASSES
    assert all(
        np.array_equal(conversion.donor.tensors[name], plain.tensors[name])
        for name in plain.tensors
    )
    assert inspect(tmp_path / "m.pth", arch=ARCH)["open_questions"] == []


def refused(state):
    import torch

    below = {f"net.{name}": value for name, value in state.items()}
    return {
        "an adapter": ({**state, "conv_head.lora_A": torch.ones(4, 32)}, "LoRA"),
        "training for int8": (
            {**state, "conv_stem.weight_fake_quant.scale": torch.ones(1)},
            "quantisation",
        ),
        "another parametrization": (
            {**state, "conv_stem.parametrizations.weight.original": torch.ones(8, 3, 3, 3)},
            "a parametrization",
        ),
        "a convolution in front": ({**below, "rgb.weight": torch.ones(3, 1, 1, 1)}, "rgb.weight"),
        "a norm in front": ({**below, "bn.running_mean": torch.ones(3)}, "bn.running_mean"),
        "a mean alone": ({**below, "mean": torch.ones(3)}, "without 'std'"),
    }


@pytest.mark.parametrize(
    "kind",
    [
        "an adapter",
        "training for int8",
        "another parametrization",
        "a convolution in front",
        "a norm in front",
        "a mean alone",
    ],
)
def test_what_changes_the_function_is_refused_by_name(tmp_path, network, kind):
    content, message = refused(network.state_dict())[kind]
    with pytest.raises(ConversionError, match=message):
        converted(tmp_path, content)
    assert message in inspect(tmp_path / "m.pth", arch=ARCH)["open_questions"][0]


@pytest.mark.filterwarnings("ignore:torch.quantize:UserWarning")
def test_quantised_tensors_are_called_by_their_name(tmp_path):
    import torch

    tensor = torch._empty_affine_quantized([4], scale=0.1, zero_point=0, dtype=torch.qint8)
    with pytest.raises(ForbiddenPickleError, match="quantised tensors"):
        converted(tmp_path, {"weight": tensor})


def test_rows_compared_by_an_angle_are_no_classifier(tmp_path, network):
    import torch

    state = {f"backbone.{n}": v for n, v in network.state_dict().items() if "classifier" not in n}
    rows = torch.ones(5, network.num_features)
    conversion = converted(tmp_path, {**state, "arcface.weight": rows})
    assert conversion.donor.classes is None
    assert "arcface.weight" in dict(conversion.report.mapping.ignored)
    assert converted(tmp_path, {**state, "fc.weight": rows}).donor.classes == 5


def test_several_dictionaries_are_asked_for_by_their_keys(tmp_path, network):
    content = {"student": network.state_dict(), "teacher": network.state_dict()}
    path = saved(tmp_path / "m.pth", content)
    assert "--prefix student." in inspect(path, arch=ARCH)["open_questions"][0]
    assert convert(path, arch=ARCH, prefix="teacher").donor.classes == CLASSES


def test_averages_are_taken_where_the_file_holds_both_sets(tmp_path, network):
    state = network.state_dict()
    averaged = {name: value * 2 for name, value in state.items()}
    content = {"model": state, "ema": averaged}
    bias = state["classifier.bias"].numpy()
    assert converted(tmp_path, content).donor.tensors["predictions/bias"] == pytest.approx(bias * 2)
    raw = converted(tmp_path, content, ema=False).donor
    assert raw.tensors["predictions/bias"] == pytest.approx(bias)
