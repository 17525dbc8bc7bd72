"""Checkpoints of the libraries' own networks with random weights that mean something.

A freshly initialised network is a poor test: its BatchNorm statistics are 0 and 1,
so that signals die or explode and any epsilon looks right. Here they are set by
one pass over images, then perturbed together with scales and shifts.
"""

import os
from pathlib import Path
from typing import Any

import numpy as np

from converters.oracles.torch_models import NETWORKS, Wanted
from converters.reading.verification import smooth_images


def random_network(dialect: str, wanted: Wanted, seed: int = 0) -> Any:
    """Return a torch model with random weights and calibrated, perturbed statistics.

    Args:
        dialect: One of `NETWORKS`.
        wanted: The network.
        seed: Of weights, images and perturbation.
    """
    import torch

    torch.manual_seed(seed)
    model = NETWORKS[dialect](wanted)
    settle(model, seed)
    return model


def settle(model: Any, seed: int = 0) -> None:
    """Give a torch model calibrated, then perturbed BatchNorm statistics."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    norms = [layer for layer in model.modules() if isinstance(layer, torch.nn.BatchNorm2d)]
    pixels = smooth_images(8, (96, 96), seed + 1).astype(np.float32)
    images = torch.from_numpy(((pixels - 127) / 64).transpose(0, 3, 1, 2).copy())
    model.eval()
    momenta = [layer.momentum for layer in norms]
    for layer in norms:
        layer.momentum = 1.0
        layer.train()

    def uniform(like: Any, low: float, high: float) -> Any:
        return torch.rand(like.shape, generator=generator) * (high - low) + low

    def normal(like: Any, scale: float) -> Any:
        return torch.randn(like.shape, generator=generator) * scale

    with torch.no_grad():
        for layer in norms:
            layer.weight.copy_(uniform(layer.weight, 0.6, 1.4))
            layer.bias.copy_(normal(layer.bias, 0.2))
        for layer in model.modules():
            if isinstance(layer, (torch.nn.Conv2d, torch.nn.Linear)):
                # Libraries initialise so differently that some networks would say nothing.
                layer.weight.copy_(normal(layer.weight, layer.weight[0].numel() ** -0.5))
                if layer.bias is not None:
                    layer.bias.copy_(normal(layer.bias, 0.2))
        model(images)
        for layer, momentum in zip(norms, momenta, strict=True):
            layer.momentum = momentum
            layer.eval()
            spread = layer.running_var.sqrt()
            layer.running_mean.add_(normal(spread, 0.2) * spread)
            # A floor: channels of almost no variance multiply rounding errors.
            floor = 0.1 * layer.running_var.mean()
            layer.running_var.mul_(uniform(spread, 0.7, 1.4)).add_(floor)


def write_checkpoint(
    model: Any,
    path: str | os.PathLike[str],
    *,
    legacy: bool = False,
    wrap: dict[str, Any] | None = None,
) -> Path:
    """Write a torch model's tensors as `.pth` or `.safetensors`, as its library would.

    Args:
        model: The model.
        path: The file; its suffix decides.
        legacy: Whether a `.pth` has the layout of before PyTorch 1.6.
        wrap: Further entries of a training checkpoint; the tensors go under "state_dict".
    """
    path = Path(path)
    state = model.state_dict()
    if path.suffix == ".safetensors":
        from safetensors.torch import save_file

        save_file({name: value.contiguous() for name, value in state.items()}, path)
        return path
    import torch

    content = state if wrap is None else {**wrap, "state_dict": state}
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    return path
