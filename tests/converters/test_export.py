"""Files written for other libraries: loaded strictly by them, tensors and logits compared."""

import dataclasses

import numpy as np
import pytest
from lab.random_checkpoints import random_network, write_checkpoint

from converters import CONVERTERS, convert, export
from converters.oracles.torch_models import NETWORKS, Wanted
from converters.oracles.torch_side import run_torch
from converters.reading.verification import relative_error, smooth_images
from efn_compose.arch import arch_spec
from efn_compose.errors import ConfigError, ConversionError, RunError

pytestmark = pytest.mark.parity

SIZE = (64, 64)
#: dialect, model name or arch, variant, epsilon
SOURCES = {
    "timm-tf": ("timm", "tf_efficientnet_b0.in1k", "b-w0.5-d0.4"),
    "timm": ("timm", "efficientnet_b0.ra_in1k", "b-w0.5-d0.4"),
    "timm-v2": ("timm", "tf_efficientnetv2_b0.in1k", "v2-b-w0.1-d1.1"),
    "torchvision": ("torchvision", "efficientnet_b0", "b-w0.5-d0.4"),
    "lukemelas": ("lukemelas", "efficientnet-b0", "b-w0.5-d0.4"),
    "transformers": ("transformers", None, "b-w0.5-d0.4"),
    "timm-v2-s": ("timm", "tf_efficientnetv2_s.in1k", "v2-s-w0.25-d0.4"),
    "timm-tinynet": ("timm", "tinynet_e.in1k", "tinynet-w0.25-d0.4"),
    "timm-mnasnet": ("timm", "semnasnet_075.rmsp_in1k", "mnasnet-a1-w0.75-d1"),
    "torchvision-mnasnet": ("torchvision", None, "mnasnet-b1-w0.25-d1"),
}


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """Return for each source its torch model, its file and the conversion of it."""
    made = {}
    for key, (dialect, arch, variant) in SOURCES.items():
        folder = tmp_path_factory.mktemp(key)
        epsilon = 1e-5 if dialect == "torchvision" else 1e-3
        wanted = Wanted(arch_spec(variant), arch or "", bn_epsilon=epsilon, resolution=64)
        model = random_network(dialect, wanted)
        if dialect == "transformers":
            model.config.save_pretrained(folder)
        path = write_checkpoint(model, folder / "model.safetensors")
        made[key] = (model, path, convert(path, arch=arch), wanted)
    return made


def load(path):
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(path)
    import torch

    return torch.load(path, weights_only=True)


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
@pytest.mark.parametrize("key", ["timm-tf", "timm", "timm-v2", "torchvision", "lukemelas"])
def test_round_trip_is_bit_for_bit(sources, tmp_path, key, suffix):
    model, _, conversion, wanted = sources[key]
    target = SOURCES[key][0]
    path = tmp_path / f"out{suffix}"
    report = export(conversion.donor, to=target, path=path)
    assert not report.folded and not report.approximations
    state = load(path)
    own = model.state_dict()
    assert set(state) == set(own)
    for name, value in own.items():
        if not name.endswith("num_batches_tracked"):
            assert state[name].numpy().tobytes() == value.numpy().tobytes(), name
    NETWORKS[target](wanted).load_state_dict(state, strict=True)


@pytest.mark.parametrize(
    "key", ["timm-tf", "timm-v2-s", "timm-tinynet", "timm-mnasnet", "torchvision-mnasnet"]
)
def test_the_line_of_the_report_loads_what_was_written(sources, tmp_path, key):
    import collections

    import timm
    import torch
    import torchvision

    model, _, conversion, _ = sources[key]
    donor = conversion.donor
    report = export(donor, to=SOURCES[key][0], path=tmp_path / "out.pth")
    names = {"collections": collections, "timm": timm, "torch": torch, "torchvision": torchvision}
    line = report.load if report.load.startswith("model =") else f"model = {report.load}"
    # nosemgrep: the line is our own, and showing that it runs is the point.
    exec(line, names)
    images = donor.preprocess(smooth_images(2, SIZE)).astype(np.float64)
    expected = run_torch(model)(images, "float64")
    assert relative_error(run_torch(names["model"])(images, "float64"), expected) < 1e-12


def test_transformers_loads_the_folder(sources, tmp_path):
    from transformers import EfficientNetForImageClassification

    model, _, conversion, _ = sources["transformers"]
    donor = conversion.donor
    export(donor, to="transformers", path=tmp_path / "hf", resolution=64)
    loaded, info = EfficientNetForImageClassification.from_pretrained(
        tmp_path / "hf", output_loading_info=True
    )
    assert not info["missing_keys"] and not info["unexpected_keys"]
    images = donor.preprocess(smooth_images(2, SIZE)).astype(np.float64)
    expected = run_torch(model)(images, "float64")
    assert relative_error(run_torch(loaded)(images, "float64"), expected) < 1e-12
    again = convert(tmp_path / "hf" / "model.safetensors").donor
    assert again.fingerprint == donor.fingerprint


def test_transformers_pads_odd_sizes_in_its_own_way(sources, tmp_path):
    """It pads the stem by (0, 1) always: at 65 pixels another network, with logits 2 deviations away."""
    donor = sources["transformers"][2].donor
    for resolution, error in ((65, ConversionError), (0, ConfigError), (-64, ConfigError)):
        with pytest.raises(error, match=f"resolution.*{resolution}"):
            export(donor, to="transformers", path=tmp_path / "hf", resolution=resolution)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("key", ["timm-tf", "timm-v2-s", "timm-tinynet"])
def test_a_folder_for_timm_holds_networks_that_have_a_name(sources, tmp_path, key):
    import timm

    folder = tmp_path / "timm"
    with pytest.raises(ConversionError, match=r"folder.*by name"):
        export(sources[key][2].donor, to="timm", path=folder)
    assert not folder.exists()
    named = sources["timm-mnasnet"][2].donor  # other coefficients, and a name: semnasnet_075
    export(named, to="timm", path=folder)
    loaded = timm.create_model(f"local-dir:{folder}", pretrained=True)
    images = named.preprocess(smooth_images(2, SIZE)).astype(np.float64)
    expected = run_torch(sources["timm-mnasnet"][0])(images, "float64")
    assert relative_error(run_torch(loaded)(images, "float64"), expected) < 1e-12


def test_timm_loads_the_folder_with_our_conventions(tmp_path):
    wanted = Wanted(arch_spec("b0"), "tf_efficientnet_b0", classes=7)
    model = random_network("timm", wanted)
    import timm

    path = write_checkpoint(model, tmp_path / "b0.pth")
    donor = convert(path, arch="tf_efficientnet_b0.ap_in1k").donor
    folder = tmp_path / "timm"
    export(donor, to="timm", path=folder)
    loaded = timm.create_model(f"local-dir:{folder}", pretrained=True)
    assert loaded.pretrained_cfg["mean"] == [0.5, 0.5, 0.5]
    for name, value in model.named_parameters():
        assert (loaded.state_dict()[name] == value).all(), name
    assert convert(folder / "model.safetensors").donor.conventions == donor.conventions


def test_epsilon_is_folded_exactly(sources, tmp_path):
    """From transformers (1e-3, SAME) to torchvision's 1e-5 at a size where paddings agree."""
    model, _, conversion, wanted = sources["lukemelas"]
    path = tmp_path / "tv.pth"
    with pytest.raises(ConversionError, match="padding"):
        export(conversion.donor, to="torchvision", path=path)
    assert not path.exists()
    report = export(conversion.donor, to="torchvision", path=path, accept_approximate=True)
    assert report.folded == ("BatchNorm epsilon 0.001 to 1e-05, into gamma",)
    assert report.relative_error > 0.01
    there = NETWORKS["torchvision"](dataclasses.replace(wanted, bn_epsilon=1e-5))
    there.load_state_dict(load(path), strict=True)
    odd = conversion.donor.preprocess(smooth_images(2, (65, 65))).astype(np.float64)
    error = relative_error(run_torch(there)(odd, "float64"), run_torch(model)(odd, "float64"))
    # Gamma is stored in float32, so its rounding is all that remains.
    assert error < 1e-5
    even = conversion.donor.preprocess(smooth_images(2, SIZE)).astype(np.float64)
    assert (
        relative_error(run_torch(there)(even, "float64"), run_torch(model)(even, "float64")) > 0.01
    )


def test_own_safetensors_round_trip(sources, tmp_path):
    donor = sources["timm-v2"][2].donor
    export(donor, to="safetensors", path=tmp_path / "own.safetensors")
    again = convert(tmp_path / "own.safetensors").donor
    assert again.fingerprint == donor.fingerprint
    assert again.spec == donor.spec


def test_what_a_library_has_not_is_refused(sources, tmp_path):
    v2, symmetric = sources["timm-v2"][2].donor, sources["timm"][2].donor
    for target in ("torchvision", "lukemelas", "transformers"):
        with pytest.raises(ConversionError, match="network"):
            export(v2, to=target, path=tmp_path / ("x" if target == "transformers" else "x.pth"))
    with pytest.raises(ConversionError, match="padding"):
        export(symmetric, to="transformers", path=tmp_path / "x")
    relu = symmetric.replace(
        conventions=dataclasses.replace(symmetric.conventions, activation="relu")
    )
    with pytest.raises(ConversionError, match="activation"):
        export(relu, to="torchvision", path=tmp_path / "x.pth")
    assert not list(tmp_path.iterdir())


def test_wrong_use_is_said_before_anything_is_written(sources, tmp_path):
    donor = sources["timm"][2].donor
    with pytest.raises(ConfigError, match="Known"):
        export(donor, to="caffe", path=tmp_path / "x.pth")
    with pytest.raises(ConfigError, match=r"\.safetensors"):
        export(donor, to="timm", path=tmp_path / "x.h5")
    with pytest.raises(ConfigError, match="folder"):
        export(donor, to="transformers", path=tmp_path / "x.safetensors")
    for target, name in (("timm", "x.pth"), ("torchvision", "x.pth"), ("tf-keras", "x.h5")):
        with pytest.raises(ConfigError, match="resolution"):
            export(donor, to=target, path=tmp_path / name, resolution=64)
    with pytest.raises(RunError, match="cannot be created"):
        export(sources["timm-mnasnet"][2].donor, to="timm", path=tmp_path / "no" / "folder")
    assert not list(tmp_path.iterdir())


def test_a_folder_may_have_a_dot_in_its_name_and_a_file_a_quote(sources, tmp_path):
    import torch

    donor = sources["transformers"][2].donor
    export(donor, to="transformers", path=tmp_path / "b0-v1.0", resolution=64)
    assert (tmp_path / "b0-v1.0" / "config.json").is_file()
    line = export(donor, to="lukemelas", path=tmp_path / "rev'd.pth").load
    # nosemgrep: the line is our own, and showing that it runs is the point.
    state = eval(line.partition("load_state_dict(")[2].removesuffix(")"), {"torch": torch})
    assert len(state) > 100


def test_same_donor_gives_the_same_bytes(sources, tmp_path):
    donor = sources["torchvision"][2].donor
    for suffix in (".pth", ".safetensors"):
        a, b = tmp_path / f"a{suffix}", tmp_path / f"b{suffix}"
        export(donor, to="torchvision", path=a)
        export(donor, to="torchvision", path=b)
        assert a.read_bytes() == b.read_bytes()


def test_every_dialect_is_registered():
    assert all(dialect.name == name for name, dialect in CONVERTERS.items())
