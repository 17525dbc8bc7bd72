"""Oracles that run on PyTorch; imported only to verify, never to convert.

Each gets the checkpoint's tensors under their foreign names and loads them
strictly, so that nothing of our name tables and layouts is involved.
"""

import copy
from collections import OrderedDict
from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import Any

import numpy as np

from converters.oracles import NoOracleError, Oracle
from converters.oracles.torch_models import NETWORKS, Wanted
from converters.torchvision import MODELS
from converters.transformers import depthwise_padding
from efn_compose.checkpoints.containers.raw import RawCheckpoint
from efn_compose.donors import Donor


def load_strictly(model: Any, raw: RawCheckpoint, library: str) -> None:
    """Give a torch model a checkpoint's tensors under their own names.

    Raises:
        NoOracleError: Names or shapes differ from the model's.
    """
    import torch

    own = model.state_dict()
    state: OrderedDict[str, Any] = OrderedDict()
    # Versions of the modules, which a library may ask for (torchvision's MNASNet does).
    state._metadata = own._metadata  # type: ignore[attr-defined]  # torch sets it so, too
    for name, tensor in raw.tensors.items():
        values = tensor.load()
        if values.dtype.name not in ("float64", "int64"):
            values = values.astype(np.float32)
        state[name] = torch.from_numpy(np.array(values))
    for name, value in own.items():
        # Counters that inference never reads; averaged copies often lack them.
        if name.endswith("num_batches_tracked"):
            state.setdefault(name, value)
    try:
        model.load_state_dict(state, strict=True)
    except RuntimeError as error:
        raise NoOracleError(f"{library} refuses the tensors: {error}") from None


def run_torch(model: Any) -> Callable[[np.ndarray, str], np.ndarray]:
    """Return a function from preprocessed images and a dtype to a torch model's logits."""
    import torch

    model.eval()
    single = copy.deepcopy(model.state_dict())

    def run(images: np.ndarray, dtype: str) -> np.ndarray:
        kind = getattr(torch, dtype)
        model.to(kind)
        model.load_state_dict(single)
        with torch.no_grad():
            batch = torch.from_numpy(np.ascontiguousarray(images.transpose(0, 3, 1, 2)))
            output = model(batch.to(kind))
        return getattr(output, "logits", output).numpy()

    return run


def _wanted(donor: Donor, raw: RawCheckpoint) -> Wanted:
    config = raw.metadata.get("config", {})
    model, tag = donor.provenance.get("model", ""), donor.provenance.get("tag")
    return Wanted(
        spec=donor.spec,
        name=f"{model}.{tag}" if tag else model,
        classes=donor.classes or 0,
        bn_epsilon=donor.conventions.bn_epsilon,
        resolution=config.get("image_size", donor.spec.resolution),
        arguments=_timm_arguments(raw),
    )


def _timm_arguments(raw: RawCheckpoint) -> dict[str, Any]:
    """Return what timm's own loader or training script would pass to its builder."""
    arguments = dict(raw.metadata.get("config", {}).get("model_args") or {})
    settings = raw.metadata.get("args")
    if isinstance(settings, Mapping):
        arguments |= settings.get("model_kwargs") or {}
        names = {"bn_eps": "bn_eps", "bn_momentum": "bn_momentum", "gp": "global_pool"}
        arguments |= {new: settings[old] for old, new in names.items() if settings.get(old)}
    # The network's size and head are the donor's.
    return {name: value for name, value in arguments.items() if name not in ("num_classes",)}


def _oracle(dialect: str, library: str, donor: Donor, raw: RawCheckpoint, **options: Any) -> Oracle:
    model = NETWORKS[dialect](_wanted(donor, raw))
    load_strictly(model, raw, library)
    return Oracle(f"{library} {version(library)}", run_torch(model), **options)


def _affine(mean: Any, std: Any) -> Callable[[np.ndarray], np.ndarray]:
    center, scale = np.asarray(mean, np.float64), np.asarray(std, np.float64)
    return lambda pixels: (np.asarray(pixels, np.float64) / 255 - center) / scale


def timm_oracle(donor: Donor, raw: RawCheckpoint) -> Oracle:
    """Return timm's model; its input scaling is that of the tag."""
    oracle = _oracle("timm", "timm", donor, raw)
    import timm

    published = timm.get_pretrained_cfg(_wanted(donor, raw).name)
    stated = {} if published is None else published.to_dict()
    config = raw.metadata.get("config", {})
    for beside in (config, config.get("pretrained_cfg") or {}, raw.metadata.get("args") or {}):
        stated |= {name: beside[name] for name in ("mean", "std") if beside.get(name)}
    is_known = "mean" in stated and "std" in stated
    preprocess = _affine(stated["mean"], stated["std"]) if is_known else None
    return Oracle(oracle.library, oracle.run, preprocess=preprocess)


def geffnet_oracle(donor: Donor, raw: RawCheckpoint) -> Oracle:
    """Return geffnet's model."""
    return _oracle("geffnet", "geffnet", donor, raw)


def torchvision_oracle(donor: Donor, raw: RawCheckpoint) -> Oracle:
    """Return torchvision's model; its input scaling is that of its default weights."""
    oracle = _oracle("torchvision", "torchvision", donor, raw)
    if donor.spec.variant not in MODELS:
        return oracle
    from torchvision.models import get_model_weights

    stated = get_model_weights(MODELS[donor.spec.variant].name).DEFAULT.transforms()
    return Oracle(oracle.library, oracle.run, preprocess=_affine(stated.mean, stated.std))


def lukemelas_oracle(donor: Donor, raw: RawCheckpoint) -> Oracle:
    """Return efficientnet_pytorch's model."""
    return _oracle("lukemelas", "efficientnet_pytorch", donor, raw)


def lite_oracle(donor: Donor, raw: RawCheckpoint) -> Oracle:
    """Return efficientnet_lite_pytorch's model."""
    return _oracle("lite", "efficientnet_lite_pytorch", donor, raw)


def transformers_oracle(donor: Donor, raw: RawCheckpoint) -> Oracle:
    """Return transformers' model; its padding is right for even sizes of one parity chain."""
    resolution = _wanted(donor, raw).resolution
    chain = depthwise_padding(donor.spec, resolution)

    def is_exact_at(size: tuple[int, int]) -> bool:
        return all(side % 2 == 0 and depthwise_padding(donor.spec, side) == chain for side in size)

    note = f"transformers pads for {resolution} pixels; sizes of other parity are skipped"
    return _oracle("transformers", "transformers", donor, raw, is_exact_at=is_exact_at, note=note)
