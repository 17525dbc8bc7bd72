"""A few small tensors in every container that is read, as its own library writes it."""

import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from random_donors import TINY, random_donor

from efn_compose.checkpoints.containers.containers import read_checkpoint
from efn_compose.checkpoints.writers.safetensors_writer import write_safetensors
from efn_compose.donors import load_donor
from efn_compose.store import WeightFile
from efn_compose.store.arrays import read_arrays, write_arrays

Arrays = dict[str, np.ndarray]


def arrays(seed: int = 0) -> Arrays:
    """Return a convolution, a BatchNorm and a counter."""
    rng = np.random.default_rng(seed)
    vectors = {name: rng.random(8, np.float32) for name in ("gamma", "beta", "mean", "variance")}
    return {
        "conv.weight": rng.random((8, 3, 3, 3), np.float32),
        **{f"bn.{name}": values for name, values in vectors.items()},
        "bn.count": np.array(3, np.int64),
    }


def _keras_model():
    import keras

    keras.utils.set_random_seed(0)
    layers = [keras.Input((8, 8, 3)), keras.layers.Conv2D(8, 3), keras.layers.BatchNormalization()]
    return keras.Sequential([*layers, keras.layers.Flatten(), keras.layers.Dense(4)])


def _saved(folder: Path, name: str) -> Path:
    _keras_model().save(folder / name)
    return folder / name


def _keras_weights(folder: Path) -> Path:
    _keras_model().save_weights(folder / "m.weights.h5")
    return folder / "m.weights.h5"


def _packed_keras(folder: Path) -> Path:
    _saved(folder, "stored.keras")
    with (
        zipfile.ZipFile(folder / "stored.keras") as stored,
        zipfile.ZipFile(folder / "packed.keras", "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for name in stored.namelist():
            packed.writestr(name, stored.read(name))
    return folder / "packed.keras"


def _torch(folder: Path, name: str, is_zip: bool) -> Path:
    import torch

    state = {key: torch.from_numpy(values.copy()) for key, values in arrays().items()}
    # Slices of a storage that tensors share are read another way.
    shared = torch.arange(40.0)
    state |= {"part.0": shared[:8], "part.1": shared[8:16]}
    torch.save(state, folder / name, _use_new_zipfile_serialization=is_zip)
    return folder / name


def _safetensors(folder: Path) -> Path:
    from safetensors.numpy import save_file

    save_file(arrays(), folder / "theirs.safetensors")
    return folder / "theirs.safetensors"


def _our_safetensors(folder: Path) -> Path:
    path, values = folder / "ours.safetensors", arrays()
    entries = [(name, array.shape, array.dtype.name) for name, array in values.items()]
    write_safetensors(path, entries, iter(values.values()), {"format": "pt"})
    return path


def _npz(folder: Path) -> Path:
    write_arrays(folder / "state.npz", {**arrays(), "state": np.frombuffer(b'{"epoch": 3}', "u1")})
    return folder / "state.npz"


def _checkpoint(folder: Path) -> Path:
    import tensorflow as tf

    variables = {key.replace(".", "_"): tf.Variable(v, name=key) for key, v in arrays().items()}
    tf.train.Checkpoint(**variables).write(str(folder / "model.ckpt"))
    return folder / "model.ckpt"


def _saved_model(folder: Path) -> Path:
    import tensorflow as tf

    module = tf.Module()
    for key, values in arrays().items():
        setattr(module, key.replace(".", "_"), tf.Variable(values, name=key))
    tf.saved_model.save(module, str(folder / "saved"))
    return folder / "saved"


def _ours(folder: Path) -> Path:
    donor = random_donor(TINY, 0, classes=3)
    donor.save(folder / "ours.h5", donor_map={"stem": np.arange(8) % 3})
    return folder / "ours.h5"


def _read_foreign(path: Path) -> Arrays:
    raw = read_checkpoint(path)
    try:
        return {name: np.array(tensor.load()) for name, tensor in raw.tensors.items()}
    finally:
        raw.close()


def _read_ours(path: Path) -> Arrays:
    with WeightFile(path) as file:
        donor_map = file.read_donor_map()
        header = np.frombuffer(file.header.to_json().encode(), np.uint8)
    return {**load_donor(path).tensors, "header": header, **donor_map}


#: How a container is written, how it is read, and whether it carries checksums.
CONTAINERS: dict[str, tuple[Callable[[Path], Path], Callable[[Path], Arrays], bool]] = {
    "h5-model": (lambda folder: _saved(folder, "m.h5"), _read_foreign, False),
    "keras-weights": (_keras_weights, _read_foreign, False),
    "keras-zip": (lambda folder: _saved(folder, "m.keras"), _read_foreign, True),
    "keras-zip packed": (_packed_keras, _read_foreign, True),
    "torch-zip": (lambda folder: _torch(folder, "m.pth", True), _read_foreign, True),
    "torch-legacy": (lambda folder: _torch(folder, "old.pth", False), _read_foreign, False),
    "safetensors": (_safetensors, _read_foreign, False),
    "our safetensors": (_our_safetensors, _read_foreign, True),
    "npz": (_npz, read_arrays, True),
    "tf-checkpoint": (_checkpoint, _read_foreign, True),
    "tf-saved-model": (_saved_model, _read_foreign, True),
    "our weight file": (_ours, _read_ours, True),
}


def files_of(path: Path) -> list[Path]:
    """Return the files that a container's reader opens."""
    if path.is_file():
        return [path]
    if path.is_dir():
        return sorted((path / "variables").iterdir())
    return sorted(path.parent.glob(f"{path.name}.*"))


def equal(one: Arrays, other: Arrays) -> bool:
    """Return whether arrays have the same names, types, shapes and bits."""
    return one.keys() == other.keys() and all(
        one[name].dtype == other[name].dtype
        and one[name].shape == other[name].shape
        and one[name].tobytes() == other[name].tobytes()
        for name in one
    )
