"""PyTorch files in which the network is one part of what was saved."""

import collections
import dataclasses
import io
import pathlib
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from fault_inputs.cases import Case, Truths, convert
from fault_inputs.timm_files import IMAGENET, answer, network

WRAPPED = "the network inside what was saved"
HEADS = "heads of the user's own"
CHANNELS = "stems of other channels"
PICKLES = "harmless objects in pickles"
NO_CHECKPOINT = "files under a checkpoint's name"
RA = ("--arch", "efficientnet_b0.ra_in1k")


def under(prefix: str, state: dict[str, Any]) -> dict[str, Any]:
    """Return tensors with a prefix before each name."""
    return {prefix + name: value for name, value in state.items()}


def wrapped(folder: Path) -> Iterator[Case]:
    """A loss, a metric, a wrapper's head, a decoder beside the network; prefixes of every kind."""
    truths = Truths(folder)
    whole, body = (
        network("efficientnet_b0", num_classes=5),
        network("efficientnet_b0", num_classes=0),
    )
    state, headless = whole.state_dict(), body.state_dict()
    encoder = {n: v for n, v in headless.items() if not n.startswith(("conv_head", "bn2"))}
    decoder = {"decoder.blocks.0.conv1.0.weight": torch.zeros(16, 16, 3, 3)}
    files: dict[str, Any] = {
        "lightning_loss.ckpt": {
            "epoch": 3,
            "state_dict": {**under("model.", state), "criterion.pos_weight": torch.ones(5)},
        },
        "lightning_metric.ckpt": {
            "epoch": 3,
            "state_dict": {**under("model.", state), "val_cm.confmat": torch.zeros(5, 5)},
        },
        "wrapper_fc.pth": {
            **under("backbone.", headless), "fc.weight": torch.zeros(5, 1280), "fc.bias": torch.zeros(5)
        },
        "timm_wrapper.pth": under("timm_model.", state),
        "network.pth": under("network.", state),
        "smp.pth": {
            **under("encoder.", encoder), **decoder,
            "segmentation_head.0.weight": torch.zeros(1, 16, 3, 3),
        },
        "fastai.pth": {
            "model": {
                **under("0.model.", headless), "1.2.weight": torch.ones(1280),
                "1.4.weight": torch.zeros(5, 1280),
            },
            "opt": {},
        },
    }  # fmt: skip
    for name, content in files.items():
        torch.save(content, folder / name)
        is_whole = name not in ("wrapper_fc.pth", "smp.pth", "fastai.pth")
        features, logits = answer(whole if is_whole else body, truths.pixels)
        if name == "smp.pth":  # An encoder ends with the last block.
            features = _last_block(body, truths.pixels)
        truths.add(name, features, logits)
        yield convert(WRAPPED, name, *RA)
    truths.write()


def _last_block(model: Any, pixels: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        maps = model.double().blocks(model.bn1(model.conv_stem(_scaled(pixels))))
    model.float()
    found: np.ndarray = maps.mean((2, 3)).numpy()
    return found


def _mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(1280, 64), nn.ReLU(), nn.Linear(64, 5))


def _scaled(pixels: np.ndarray) -> torch.Tensor:
    scaled = (pixels / 255 - np.float64(IMAGENET[0])) / np.float64(IMAGENET[1])
    return torch.from_numpy(scaled.transpose(0, 3, 1, 2).copy())


def own_heads(folder: Path) -> Iterator[Case]:
    """One linear layer in several clothes, and heads of two layers, of three libraries."""
    import torchvision
    from efficientnet_pytorch import EfficientNet

    truths = Truths(folder)
    x = _scaled(truths.pixels)
    torch.manual_seed(0)
    mlp = nn.Sequential(
        nn.Dropout(0.4), nn.Linear(1280, 256), nn.ReLU(), nn.Dropout(0.2), nn.Linear(256, 5)
    )
    for name, head in {
        "tv_linear": nn.Linear(1280, 5), "tv_sequential": nn.Sequential(nn.Linear(1280, 5)), "tv_mlp": mlp,
    }.items():  # fmt: skip
        model: Any = torchvision.models.efficientnet_b0()
        model.classifier = head
        torch.save(model.state_dict(), folder / f"{name}.pth")
        with torch.no_grad():
            features = model.double().eval().avgpool(model.features(x)).flatten(1)
            logits = None if name == "tv_mlp" else model.classifier(features).numpy()
        truths.add(f"{name}.pth", features.numpy(), logits)
        yield convert(HEADS, f"{name}.pth", "--arch", "efficientnet_b0.IMAGENET1K_V1")
    for name, head in {
        "timm_dropout": nn.Sequential(nn.Dropout(0.3), nn.Linear(1280, 5)), "timm_mlp": _mlp(),
    }.items():  # fmt: skip
        model = network("efficientnet_b0")
        model.classifier = head
        torch.save(model.state_dict(), folder / f"{name}.pth")
        features, logits = answer(model, truths.pixels)
        truths.add(f"{name}.pth", features, None if name == "timm_mlp" else logits)
        yield convert(HEADS, f"{name}.pth", *RA)
    model = EfficientNet.from_name("efficientnet-b0", image_size=None)
    model._fc = _mlp()
    torch.save(model.state_dict(), folder / "lukemelas_mlp.pth")
    with torch.no_grad():
        maps = model.double().eval().extract_features(x)
    truths.add("lukemelas_mlp.pth", maps.mean((2, 3)).numpy())
    truths.write()
    yield convert(HEADS, "lukemelas_mlp.pth", "--arch", "b0")


def own_pooling(folder: Path) -> Iterator[Case]:
    """A pooling with a weight in the place of the mean, inside the network."""
    truths = Truths(folder)
    model = network("efficientnet_b0", num_classes=5)
    torch.save({**model.state_dict(), "global_pool.p": torch.full((1,), 3.0)}, folder / "gem.pth")
    truths.add("gem.pth", answer(model, truths.pixels)[0])
    truths.write()
    yield convert(HEADS, "gem.pth", *RA)


def channels(folder: Path) -> Iterator[Case]:
    """Grey and four-channel stems, as they are and with the option that folds grey to RGB.

    One channel has one scaling: timm takes the mean of the three colours' (`resolve_data_config`).
    """
    from efficientnet_pytorch import EfficientNet

    truths = Truths(folder, is_grey=True)
    grey = truths.pixels[..., 0] / 255
    x = torch.from_numpy((grey - np.mean(IMAGENET[0])) / np.mean(IMAGENET[1]))[:, None]
    four = network("efficientnet_b0", in_chans=4, num_classes=5)
    torch.save(four.state_dict(), folder / "timm4.pth")
    yield convert(CHANNELS, "timm4.pth", *RA)
    model: Any = network("efficientnet_b0", in_chans=1, num_classes=5)
    torch.save(model.state_dict(), folder / "timm1.pth")
    other: Any = EfficientNet.from_name(
        "efficientnet-b0", in_channels=1, num_classes=5, image_size=None
    ).eval()
    torch.save(other.state_dict(), folder / "lukemelas1.pth")
    with torch.no_grad():
        features = model.double().forward_head(model.forward_features(x), pre_logits=True)
        truths.add("timm1.pth", features.numpy(), model.classifier(features).numpy())
        features = other.double().extract_features(x).mean((2, 3))
        truths.add("lukemelas1.pth", features.numpy(), other._fc(features).numpy())
    truths.write()
    for name, options in (("timm1.pth", RA), ("lukemelas1.pth", ("--arch", "b0"))):
        yield convert(CHANNELS, name, *options)
        folded = convert(CHANNELS, name, *options, "--channels", "sum")
        yield dataclasses.replace(folded, name=f"{name} --channels sum")


def harmless_pickles(folder: Path) -> Iterator[Case]:
    """Counters, arrays, paths and dictionaries of other classes beside the weights."""
    truths = Truths(folder)
    model = network("efficientnet_b0", num_classes=5)
    state = model.state_dict()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, [30, 60])
    data = pathlib.PurePosixPath("/data")
    truths.add("model", *answer(model, truths.pixels))
    truths.write()
    for name, content in {
        "counter.ckpt": {"state_dict": state, "lr_schedulers": [scheduler.state_dict()]},
        "arrays.pth": {"state_dict": state, "class_weights": np.ones(5), "confusion": np.eye(5)},
        "path.ckpt": {"state_dict": state, "hyper_parameters": {"data": data, "lr": 1e-3}},
        "history.pth": {"state_dict": state, "history": collections.defaultdict(list, loss=[1.0])},
    }.items():
        torch.save(content, folder / name)
        yield convert(PICKLES, name, *RA, truth="model")


def no_checkpoints(folder: Path) -> Iterator[Case]:
    """A pointer of Git LFS, and an archive as TensorFlow's checkpoints are handed out."""
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'4d' * 32}\nsize 21355344\n"
    (folder / "model.safetensors").write_text(pointer)
    with tarfile.open(folder / "efficientnet-b0.tar.gz", "w:gz") as archive:
        archive.addfile(tarfile.TarInfo("efficientnet-b0/model.ckpt.index"), io.BytesIO())
    for name in ("model.safetensors", "efficientnet-b0.tar.gz"):
        yield Case(NO_CHECKPOINT, name, ("inspect", f"{{here}}/{name}"))
