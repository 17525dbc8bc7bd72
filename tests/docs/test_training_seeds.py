"""The examples of docs/training.md run as they stand, on one B0 file."""

import re

import numpy as np
import pytest
from keras_oracles import pixels, relative_error
from random_donors import random_donor
from repository import ROOT

from converters.oracles.torch_models import declare_torchvision_operators
from efn_compose.arch import PREPROCESSINGS
from efn_compose.models.stepwise import StepwiseNetwork

PAGE = ROOT / "docs" / "training.md"
SEEDING = (
    PAGE.read_text(encoding="utf-8").partition("## Seed a model")[2].partition("## Validate")[0]
)
EXAMPLES = re.findall(r"```python\n(.*?)```", SEEDING, re.DOTALL)
LIBRARIES = ("keras_hub", "efficientnet", "timm")


@pytest.fixture(scope="module")
def b0(tmp_path_factory):
    folder = tmp_path_factory.mktemp("docs")
    scaling = PREPROCESSINGS["imagenet"]
    images = (pixels(seed=1, count=16) - np.float32(scaling.mean)) / np.float32(scaling.std)
    donor = random_donor("b0", classes=None, images=images)
    # Smaller branches, as trained networks have them: rounding does not grow with depth.
    tame = {
        name: values * np.float32(0.3 if name.endswith("_project_bn/gamma") else 1)
        for name, values in donor.tensors.items()
    }
    donor = donor.replace(tensors=tame)
    donor.save(folder / "efn_magic_weights.h5")
    return donor, folder


@pytest.mark.parity
@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_example_runs_and_the_backbone_is_the_donors(b0, monkeypatch, number):
    donor, folder = b0
    monkeypatch.chdir(folder)
    code = EXAMPLES[number]
    for library in LIBRARIES:
        if library in code:
            pytest.importorskip(library) if library != "timm" else declare_torchvision_operators()
    if "from_preset" in code:
        pytest.skip("the preset's configuration is downloaded; tests run without a network")
    assert len([line for line in code.splitlines() if line.strip()]) <= 5
    images = pixels(count=2)
    wanted = np.asarray(StepwiseNetwork.of(donor).run(donor.preprocess(images)))
    names = {"images": images}
    exec(compile(code, f"{PAGE.name}[{number}]", "exec"), names)
    if "timm" in code:
        import torch

        inputs = torch.from_numpy(donor.preprocess(images).transpose(0, 3, 1, 2).copy())
        with torch.no_grad():
            found = names["model"].eval()(inputs).numpy()
        assert relative_error(found, wanted) < 1e-3
        return
    backbone = names.get("backbone", names["model"])
    has_scaling = any(type(layer).__name__ == "Normalization" for layer in backbone.layers)
    layer = next(
        layer for layer in backbone.layers if layer.name in ("top_activation", "top_swish")
    )
    body = type(backbone)(backbone.input, layer.output)
    inputs = images if has_scaling else donor.preprocess(images)
    found = np.asarray(body(inputs, training=False)).mean(axis=(1, 2))
    # A larger variant computes the donor's features first, then its own.
    assert relative_error(found[:, : wanted.shape[1]], wanted) < 1e-3
