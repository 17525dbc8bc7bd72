"""Files as timm and its training script write them, with settings beside the weights."""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fault_inputs.cases import Case, Truths, convert

BESIDE = "settings beside the weights"
NAMES = "names of older versions"
IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def network(name: str, seed: int = 0, **options: Any) -> torch.nn.Module:
    """Return a timm network with statistics as after a training."""
    import timm

    torch.manual_seed(seed)
    model = timm.create_model(name, **options)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_var.uniform_(0.5, 1.1)
            module.running_mean.normal_(0, 0.05)
    return model.eval()


def answer(
    model: torch.nn.Module, pixels: np.ndarray, mean: Any = IMAGENET[0], std: Any = IMAGENET[1]
) -> tuple[np.ndarray, np.ndarray | None]:
    """Return features and logits of a timm network in float64."""
    scaled = (pixels / 255 - np.float64(mean)) / np.float64(std)
    model = model.double().eval()
    with torch.no_grad():
        found: Any = model
        maps = found.forward_features(torch.from_numpy(scaled.transpose(0, 3, 1, 2).copy()))
        features = found.forward_head(maps, pre_logits=True)
        logits = found.classifier(features) if found.num_classes else None
    model.float()
    return features.numpy(), None if logits is None else logits.numpy()


def hub_folders(folder: Path) -> Iterator[Case]:
    """Folders as timm pushes them: `config.json` says when the network is not the plain one."""
    from timm.models._hub import save_for_hf

    truths = Truths(folder)
    for name, options in {
        "plain": {},
        "pool_max": {"global_pool": "max"},
        "eps": {"bn_eps": 1e-2},
        "relu": {"act_layer": "relu"},
    }.items():
        model = network("efficientnet_b0", num_classes=5, **options)
        save_for_hf(
            model, folder / name, {"num_classes": 5}, options or None, safe_serialization=True
        )
        truths.add(f"{name}/model.safetensors", *answer(model, truths.pixels))
        yield convert(BESIDE, f"{name}/model.safetensors")
    truths.write()


def old_hub_folder(folder: Path) -> Iterator[Case]:
    """A folder of timm 0.4 to 0.6: mean and deviation at the top of `config.json`."""
    truths, half = Truths(folder), [0.5] * 3
    model = network("efficientnet_b2", num_classes=5)
    torch.save(model.state_dict(), folder / "pytorch_model.bin")
    fields = {
        "architecture": "efficientnet_b2", "num_classes": 5, "input_size": [3, 224, 224],
        "pool_size": [7, 7], "crop_pct": 0.9, "interpolation": "bicubic", "mean": half, "std": half,
        "first_conv": "conv_stem", "classifier": "classifier",
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(fields))
    truths.add("pytorch_model.bin", *answer(model, truths.pixels, half, half))
    truths.write()
    yield convert(BESIDE, "pytorch_model.bin")


def training_script(folder: Path) -> Iterator[Case]:
    """Checkpoints of timm's `train.py`, whose `args` say how the network was trained."""
    truths, half = Truths(folder), [0.5] * 3
    for name, arguments, options in (
        ("plain", {}, {}),
        ("mean_std", {"mean": half, "std": half}, {}),
        ("bn_eps", {"bn_eps": 1e-2}, {"bn_eps": 1e-2}),
        ("gp_max", {"gp": "max"}, {"global_pool": "max"}),
    ):
        model = network("efficientnet_b2", num_classes=5, **options)
        settings: dict[str, Any] = {
            "model": "efficientnet_b2", "num_classes": 5, "mean": None, "std": None, "bn_eps": None,
            "gp": None, "in_chans": None, **arguments,
        }  # fmt: skip
        content = {
            "epoch": 9, "arch": "efficientnet_b2", "state_dict": model.state_dict(), "version": 2,
            "metric": 91.0, "args": argparse.Namespace(**settings),
        }  # fmt: skip
        torch.save(content, folder / f"{name}.pth.tar")
        mean, std = settings["mean"] or IMAGENET[0], settings["std"] or IMAGENET[1]
        truths.add(f"{name}.pth.tar", *answer(model, truths.pixels, mean, std))
        yield convert(BESIDE, f"{name}.pth.tar")
    truths.write()


def old_names(folder: Path) -> Iterator[Case]:
    """Models under the names they had before timm 0.8, in files and with `--arch`."""
    truths, old = Truths(folder), "tf_efficientnet_b0_ns"
    model = network("tf_efficientnet_b0", num_classes=5)
    state = model.state_dict()
    torch.save(state, folder / "weights.pth")
    settings = argparse.Namespace(model=old, mean=None, std=None)
    content = {"epoch": 1, "arch": old, "state_dict": state, "args": settings}
    torch.save(content, folder / "model_best.pth.tar")
    (folder / "hub").mkdir()
    torch.save(state, folder / "hub" / "pytorch_model.bin")
    fields = {"architecture": old, "num_classes": 5, "mean": IMAGENET[0], "std": IMAGENET[1]}
    (folder / "hub" / "config.json").write_text(json.dumps(fields))
    truths.add("model", *answer(model, truths.pixels))
    truths.write()
    yield convert(NAMES, "model_best.pth.tar", truth="model")
    yield convert(NAMES, "hub/pytorch_model.bin", truth="model")
    yield convert(NAMES, "weights.pth", "--arch", old, truth="model")
