"""Plain objects beside the weights are read past, and files of other kinds are called by name."""

import argparse
import bz2
import collections
import datetime
import decimal
import gzip
import io
import lzma
import pathlib
import pickle
import tarfile
import types
import uuid

import numpy as np
import pytest

from efn_compose.checkpoints.containers.containers import read_checkpoint
from efn_compose.errors import UnreadableCheckpointError

torch = pytest.importorskip("torch")

PLAIN = {
    "Counter": lambda: collections.Counter({2: 1}),
    "defaultdict": lambda: collections.defaultdict(list, {"loss": [1.0]}),
    "deque": lambda: collections.deque([1, 2]),
    "ndarray": lambda: np.arange(6.0).reshape(2, 3),
    "text array": lambda: np.array(["cat", "dog"]),
    "numpy scalar": lambda: np.float64(0.5),
    "numpy dtype": lambda: np.dtype("int64"),
    "Path": lambda: pathlib.Path("a") / "b",
    "datetime": lambda: datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC),
    "timedelta": lambda: datetime.timedelta(hours=2),
    "Decimal": lambda: decimal.Decimal("0.1"),
    "UUID": lambda: uuid.UUID(int=1),
    "namespace": lambda: argparse.Namespace(lr=0.1, mean=[0.5, 0.5], nested={"deep": (1, 2)}),
    "SimpleNamespace": lambda: types.SimpleNamespace(a=1),
    "set": lambda: {1, 2},
    "frozenset": lambda: frozenset({1}),
    "complex": lambda: 1j,
    "range": lambda: range(3),
    "slice": lambda: slice(1, 2),
    "bytearray": lambda: bytearray(b"ab"),
    "random state": lambda: np.random.RandomState(0).get_state(),
    "RandomState": lambda: np.random.RandomState(0),
    "random generator": lambda: np.random.default_rng(0),
    "generator of torch": torch.Generator,
    "object array": lambda: np.array(["a", None], dtype=object),
    "numpy date": lambda: np.datetime64("2026-01-02"),
    "dtype of torch": lambda: torch.float32,
    "device": lambda: torch.device("cpu"),
}


# A file of before PyTorch 1.6 has protocol 2.
@pytest.mark.parametrize(("protocol", "legacy"), [(2, False), (4, False), (2, True)])
@pytest.mark.parametrize("kind", sorted(PLAIN))
def test_weights_beside_a_plain_object_are_read(tmp_path, kind, protocol, legacy):
    path = tmp_path / "m.pth"
    weights = torch.arange(6.0).reshape(2, 3)
    content = {"state_dict": {"w": weights}, "beside": PLAIN[kind](), "inner": [PLAIN[kind]()]}
    torch.save(content, path, pickle_protocol=protocol, _use_new_zipfile_serialization=not legacy)
    raw = read_checkpoint(path)
    assert np.array_equal(raw.tensors["w"].load(), weights.numpy())


def test_settings_keep_lists_and_what_is_not_plain_is_marked(tmp_path):
    settings = argparse.Namespace(
        model="b0", mean=[0.5], scale=(0.1, 1), layer=torch.device("cpu"), none=None
    )
    path = tmp_path / "m.pth"
    torch.save({"state_dict": {"w": torch.ones(2)}, "args": settings}, path)
    assert read_checkpoint(path).metadata["args"] == {
        "model": "b0",
        "mean": [0.5],
        "scale": [0.1, 1],
        "layer": "(not a plain value)",
    }


def _tar(data):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        info = tarfile.TarInfo("model.ckpt")
        info.size = len(data)
        archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


OTHER_KINDS = {
    "Git LFS pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:4d\nsize 21\n",
    "gzip archive": gzip.compress(b"weights"),
    "bzip2 archive": bz2.compress(b"weights"),
    "xz archive": lzma.compress(b"weights"),
    "tar archive": _tar(b"weights"),
    "HTML page": b"\n<!DOCTYPE html>\n<html><body>404</body></html>",
    "XML document": b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>',
    "JSON document": b'{"architecture": "efficientnet_b0"}',
    "image": b"\x89PNG\r\n\x1a\n",
    "pointer of git-annex": b"/annex/objects/SHA256E-s21--4d.pth\n",
    "Git LFS pointer, which": b"version http://git-media.io/v/2\noid sha256:4d\n",
    "Python pickle": pickle.dumps({"w": np.ones(2)}),
    "MessagePack": b"\x81\xa6params\x80",
    "one array of NumPy": b"\x93NUMPY\x01\x00",
    "zeros alone": bytes(4096),
    "GGUF": b"GGUF\x03\0\0\0",
    "index of a checkpoint in several files": b'{"metadata": {}, "weight_map": {"w": "m-1-of-2"}}',
}


@pytest.mark.parametrize("name", ["m.pth", "m.safetensors", "m.h5", "model.ckpt.index"])
@pytest.mark.parametrize("kind", sorted(OTHER_KINDS))
def test_a_file_of_another_kind_is_called_by_its_name(tmp_path, kind, name):
    path = tmp_path / name
    path.write_bytes(OTHER_KINDS[kind])
    with pytest.raises(UnreadableCheckpointError, match=kind):
        read_checkpoint(path)


def test_a_folder_of_a_distributed_checkpoint_is_called_so(tmp_path):
    (tmp_path / "__0_0.distcp").write_bytes(b"")
    with pytest.raises(UnreadableCheckpointError, match="distributed checkpoint of PyTorch"):
        read_checkpoint(tmp_path)


def test_an_empty_file_is_called_empty(tmp_path):
    (tmp_path / "m.pth").write_bytes(b"")
    with pytest.raises(UnreadableCheckpointError, match="empty"):
        read_checkpoint(tmp_path / "m.pth")
