"""What was converted or described holds its source no longer: the file can go, or become another."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from keras_applications_networks import V1, build
from repository import RECORDED
from tiny_containers import CONTAINERS, equal, files_of

from converters import convert, inspect
from converters.reading.matching import match_checkpoint
from efn_compose.checkpoints.containers.containers import read_checkpoint
from efn_compose.checkpoints.dialects.dialect import Request
from efn_compose.donors import load_donor
from efn_compose.errors import EfnComposeError, UnreadableCheckpointError
from efn_compose.store import WeightFile

#: TensorFlow's and numpy's own archives are not read through `read_checkpoint`.
FOREIGN = [name for name in CONTAINERS if name not in ("npz", "our weight file")]


def held(folder: Path) -> list[str]:
    """Return the files below a folder that this process has open or mapped."""
    found = []
    for descriptor in Path("/proc/self/fd").iterdir():
        try:
            found.append(os.readlink(descriptor))
        except OSError:
            continue  # The one that lists the folder is gone by now.
    found += Path("/proc/self/maps").read_text().split()
    return [path for path in found if path.startswith(str(folder))]


def copied(name: str, folder: Path) -> Path:
    for file in (RECORDED / name).glob("model.*"):
        shutil.copy(file, folder)
    return folder / ("model.pth" if (folder / "model.pth").exists() else "model.ckpt")


@pytest.mark.slow
@pytest.mark.parametrize("container", FOREIGN)
def test_a_checkpoint_that_was_closed_holds_nothing_and_reads_again(container, tmp_path):
    path = CONTAINERS[container][0](tmp_path)
    raw = read_checkpoint(path, hashed=True)
    first = {name: np.array(tensor.load()) for name, tensor in raw.tensors.items()}
    raw.close()
    assert held(tmp_path) == []
    again = {name: np.array(tensor.load()) for name, tensor in raw.tensors.items()}
    assert equal(first, again) and len(raw.sha256) == 64
    raw.close()
    for file in files_of(path):
        file.unlink()
    if container != "keras-zip packed":  # Inflated in memory.
        with pytest.raises(UnreadableCheckpointError):
            for tensor in raw.tensors.values():
                tensor.load()
    assert equal(first, again)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["kuangliu_tiny", "tpu_v1_tiny", "m.keras", "m.h5", "m.weights.h5"]
)
def test_a_conversion_that_is_kept_does_not_change_with_its_source(name, tmp_path):
    if name.startswith("m."):
        path, model = tmp_path / name, build("keras", V1)
        model.save_weights(path) if name.endswith("weights.h5") else model.save(path)
        arch = V1
    else:
        path, arch = copied(name, tmp_path), {"tpu_v1_tiny": "b-w0.25-d0.4"}.get(name)
    conversion = convert(path, arch=arch)
    before = conversion.donor.fingerprint
    assert held(tmp_path) == []
    description = inspect(path, arch=arch)
    assert held(tmp_path) == [] and description["sha256"] == conversion.report.sha256
    report = match_checkpoint(path, Request(dialect=conversion.report.dialect))
    assert report.raw.sha256 == conversion.report.sha256
    for file in files_of(path):
        file.write_bytes(bytes(file.stat().st_size))
    fresh = conversion.donor.replace(tensors=dict(conversion.donor.tensors))
    assert fresh.fingerprint == before
    # Its checkpoint, asked again, does not answer with the other file's values.
    with pytest.raises(UnreadableCheckpointError):
        for tensor in conversion.raw.tensors.values():
            tensor.load()


@pytest.mark.slow
def test_what_is_refused_or_written_leaves_its_source_too(tmp_path):
    path = copied("kuangliu_tiny", tmp_path)
    match_checkpoint(path).write(tmp_path / "out.h5")
    assert held(tmp_path) == []
    load_donor(tmp_path / "out.h5")
    assert held(tmp_path) == []
    with pytest.raises(EfnComposeError) as refused:
        convert(path, arch="b7")
    assert held(tmp_path) == [] and refused.value.__traceback__
    with (tmp_path / "out.h5").open("r+b") as file:
        file.write(b"\x89HDF" + bytes(2000))
    with pytest.raises(EfnComposeError) as refused:
        WeightFile(tmp_path / "out.h5")
    assert held(tmp_path) == [] and refused.value.__traceback__
