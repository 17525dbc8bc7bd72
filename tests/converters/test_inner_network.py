"""The network inside what was saved: wrappers' prefixes, two networks, users' heads, other stems."""

import numpy as np
import pytest

from converters import convert, inspect
from converters.oracles.torch_models import Wanted, declare_torchvision_operators
from efn_compose.arch import arch_spec
from efn_compose.errors import (
    AmbiguousCheckpointError,
    ConfigError,
    ConversionError,
    EfnComposeError,
)

pytestmark = pytest.mark.parity

ARCH = "efficientnet_b0.ra_in1k"
SIDE = 64


@pytest.fixture(scope="module")
def network():
    from lab.random_checkpoints import random_network

    declare_torchvision_operators()
    wanted = Wanted(arch_spec("b-w0.1-d0.3"), "efficientnet_b0", bn_epsilon=1e-5)
    return random_network("timm", wanted)


def under(prefix, state):
    return {prefix + name: value for name, value in state.items()}


def backbone(state):
    return {name: value for name, value in state.items() if not name.startswith("classifier")}


def saved(path, content):
    import torch

    torch.save(content, path)
    return path


def features_of(donor):
    """Return pooled features of a donor in float64 (image, channel)."""
    from efn_compose.nesting.running.forward import NumpyNetwork
    from efn_compose.nesting.running.weight_source import WeightSource

    source = WeightSource.of(donor.without_head())
    return NumpyNetwork(source).run(_inputs().transpose(0, 2, 3, 1))


def _inputs():
    return np.random.default_rng(0).normal(size=(2, 3, SIDE, SIDE))


def features_of_library(network):
    import torch

    model = network.double().eval()
    with torch.no_grad():
        pooled = model.global_pool(model.forward_features(torch.from_numpy(_inputs())))
    network.float()
    return pooled.numpy()


def same_features(donor, network):
    ours, theirs = features_of(donor), features_of_library(network)
    return np.abs(ours - theirs).max() / theirs.std() < 1e-5


def wrappers(state):
    import torch

    return {
        "loss": {"state_dict": {**under("model.", state), "criterion.pos_weight": torch.ones(5)}},
        "metric": {"state_dict": {**under("model.", state), "cm.confmat": torch.zeros(5, 5)}},
        "unknown prefix": under("student_net.trunk.", state),
        "decoder": {
            **under("encoder.", backbone(state)),
            "decoder.blocks.0.conv1.0.weight": torch.zeros(16, 16, 3, 3),
            "segmentation_head.0.weight": torch.zeros(1, 16, 3, 3),
        },
        "a body and a deep head": {
            **under("0.model.", backbone(state)),
            "1.2.weight": torch.ones(32),
            "1.4.weight": torch.zeros(5, 32),
        },
        "a swag of models": {"student": under("net.", state), "optimizer": {"lr": 0.1}},
    }


@pytest.mark.parametrize(
    "kind",
    [
        "loss",
        "metric",
        "unknown prefix",
        "decoder",
        "a body and a deep head",
        "a swag of models",
    ],
)
def test_a_network_inside_a_wrapper_converts_exactly(tmp_path, network, kind):
    path = saved(tmp_path / "m.pth", wrappers(network.state_dict())[kind])
    conversion = convert(path, arch=ARCH)
    assert same_features(conversion.donor, network)
    assert inspect(path, arch=ARCH)["open_questions"] == []


def test_what_stands_outside_is_named_with_its_reason(tmp_path, network):
    path = saved(tmp_path / "m.pth", wrappers(network.state_dict())["metric"])
    ignored = dict(convert(path, arch=ARCH).report.mapping.ignored)
    assert ignored["cm.confmat"] == "state of a metric, kept by the training"


def test_two_networks_are_asked_for_by_prefix(tmp_path, network):
    import torch

    state = network.state_dict()
    other = {
        name: torch.flip(value, (0,)) if value.dim() else value for name, value in state.items()
    }
    path = saved(tmp_path / "m.pth", {**under("student.", state), **under("teacher.", other)})
    with pytest.raises(AmbiguousCheckpointError) as caught:
        convert(path, arch=ARCH)
    assert "--prefix student." in str(caught.value) and "--prefix teacher." in str(caught.value)
    assert same_features(convert(path, arch=ARCH, prefix="student").donor, network)
    assert not same_features(convert(path, arch=ARCH, prefix="teacher.").donor, network)
    with pytest.raises(ConfigError, match=r"'student\.', 'teacher\.'"):
        convert(path, arch=ARCH, prefix="pupil")


def test_a_network_without_a_prefix_beside_another_is_a_question(tmp_path, network):
    state = network.state_dict()
    path = saved(tmp_path / "m.pth", {**state, **under("teacher.", state)})
    with pytest.raises(AmbiguousCheckpointError, match="--prefix ''"):
        convert(path, arch=ARCH)
    assert same_features(convert(path, arch=ARCH, prefix="").donor, network)


def heads(width):
    import torch

    return {
        "linear": ({"classifier": torch.nn.Linear(width, 4)}, 4),
        "dropout before it": (
            {"classifier": torch.nn.Sequential(torch.nn.Dropout(), torch.nn.Linear(width, 4))},
            4,
        ),
        "no bias": ({"classifier": torch.nn.Linear(width, 4, bias=False)}, 4),
        "two layers": (
            {
                "classifier": torch.nn.Sequential(
                    torch.nn.Linear(width, 8), torch.nn.ReLU(), torch.nn.Linear(8, 4)
                )
            },
            None,
        ),
        "a norm before it": (
            {
                "classifier": torch.nn.Sequential(
                    torch.nn.BatchNorm1d(width), torch.nn.Linear(width, 4)
                )
            },
            None,
        ),
    }


@pytest.mark.parametrize(
    "kind", ["linear", "dropout before it", "no bias", "two layers", "a norm before it"]
)
def test_one_linear_layer_is_the_head_and_others_are_left_out(tmp_path, network, kind):
    import torch

    torch.manual_seed(1)
    modules, classes = heads(network.num_features)[kind]
    head = modules["classifier"].eval()
    state = {**backbone(network.state_dict()), **under("classifier.", head.state_dict())}
    conversion = convert(saved(tmp_path / "m.pth", state), arch=ARCH)
    donor = conversion.donor
    assert donor.classes == classes and same_features(donor, network)
    if classes is None:
        left_out = {name for name, reason in conversion.report.mapping.ignored if "head" in reason}
        assert {name for name in state if name.startswith("classifier.")} == left_out
    else:
        with torch.no_grad():
            expected = head.double()(torch.from_numpy(features_of_library(network))).numpy()
        kernel, bias = donor.tensors["predictions/kernel"], donor.tensors["predictions/bias"]
        assert features_of(donor) @ kernel + bias == pytest.approx(expected, abs=1e-5)


def test_a_wrappers_linear_head_is_taken_and_said(tmp_path, network):
    import torch

    state = under("backbone.", backbone(network.state_dict()))
    weight = torch.randn(6, network.num_features)
    path = saved(tmp_path / "m.pth", {**state, "fc.weight": weight, "fc.bias": torch.zeros(6)})
    conversion = convert(path, arch=ARCH)
    kernel = conversion.donor.tensors["predictions/kernel"]
    assert np.array_equal(kernel, weight.numpy().T)
    assert any("'fc'" in note and "does not say" in note for note in conversion.report.notes)


def test_a_grey_stem_is_folded_by_choice_and_equals_the_network_on_grey_images(tmp_path, network):
    import torch

    state = dict(network.state_dict())
    state["conv_stem.weight"] = state["conv_stem.weight"].sum(1, keepdim=True)
    path = saved(tmp_path / "grey.pth", state)
    with pytest.raises(ConversionError, match="--channels sum"):
        convert(path, arch=ARCH)
    donor = convert(path, arch=ARCH, channels="sum").donor
    grey = np.random.default_rng(0).normal(size=(2, 1, SIDE, SIDE))
    from efn_compose.nesting.running.forward import NumpyNetwork
    from efn_compose.nesting.running.weight_source import WeightSource

    rgb = np.repeat(grey, 3, axis=1).transpose(0, 2, 3, 1)
    ours = NumpyNetwork(WeightSource.of(donor.without_head())).run(rgb)
    library = _with_stem(network, state["conv_stem.weight"])
    with torch.no_grad():
        features = library.forward_features(torch.from_numpy(grey))
        theirs = library.global_pool(features).numpy()
    assert np.abs(ours - theirs).max() / theirs.std() < 1e-5
    # One channel has one scaling; where three are known, timm's loaders take their mean.
    scaling = donor.conventions.preprocessing
    assert scaling.mean == pytest.approx([255 * (0.485 + 0.456 + 0.406) / 3] * 3)
    assert scaling.std == pytest.approx([255 * (0.229 + 0.224 + 0.225) / 3] * 3)


def test_a_pooling_of_the_user_s_own_inside_the_network_is_left_out_with_its_head(
    tmp_path, network
):
    import torch

    state = {**network.state_dict(), "global_pool.p": torch.full((1,), 3.0)}
    state |= {
        "classifier.weight": torch.zeros(5, network.num_features),
        "classifier.bias": torch.zeros(5),
    }
    conversion = convert(saved(tmp_path / "gem.pth", state), arch=ARCH)
    assert conversion.donor.classes is None
    left_out = {name for name, reason in conversion.report.mapping.ignored if "pooling" in reason}
    assert left_out == {"global_pool.p", "classifier.weight", "classifier.bias"}


def _with_stem(network, weight):
    import copy

    import torch

    library = copy.deepcopy(network).double().eval()
    library.conv_stem.weight = torch.nn.Parameter(weight.double())
    library.conv_stem.in_channels = weight.shape[1]
    return library


def test_four_channels_are_refused_in_one_sentence(tmp_path, network):
    import torch

    state = dict(network.state_dict())
    weight = state["conv_stem.weight"]
    state["conv_stem.weight"] = torch.cat([weight, weight[:, :1]], 1)
    path = saved(tmp_path / "m.pth", state)
    with pytest.raises(ConversionError, match="4 channels"):
        convert(path, arch=ARCH, channels="sum")


@pytest.mark.parametrize("kind", ["two networks", "grey", "nothing"])
def test_inspect_says_what_convert_says(tmp_path, network, kind):
    import torch

    state = network.state_dict()
    grey = {**state, "conv_stem.weight": state["conv_stem.weight"][:, :1]}
    content = {
        "two networks": {**under("a.", state), **under("b.", state)},
        "grey": grey,
        "nothing": {"w": torch.ones(2)},
    }[kind]
    path = saved(tmp_path / "m.pth", content)
    with pytest.raises(EfnComposeError) as caught:
        convert(path, arch=ARCH)
    assert inspect(path, arch=ARCH)["open_questions"] == [str(caught.value)]
