"""safetensors files, good and hostile."""

import json

import numpy as np
import pytest

from efn_compose.checkpoints.containers.containers import detect_container, read_checkpoint
from efn_compose.errors import CheckpointError, UnreadableCheckpointError, UnsafeCheckpointError

torch = pytest.importorskip("torch")
save_file = pytest.importorskip("safetensors.torch").save_file


def write(path, header, data=b""):
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)
    return path


def test_every_type_equals_the_library(tmp_path):
    torch.manual_seed(0)
    state = {
        "a": torch.randn(2, 3),
        "b": torch.randn(4).half(),
        "c": torch.randn(4).bfloat16(),
        "d": torch.tensor(3),
        "e": torch.randn(2).double(),
        "f": torch.zeros(0),
    }
    path = tmp_path / "m.safetensors"
    save_file(state, path, metadata={"format": "pt"})
    assert detect_container(path) == "safetensors"
    raw = read_checkpoint(path)
    assert set(raw.tensors) == set(state)
    assert raw.metadata["format"] == "pt"
    for name, tensor in state.items():
        np.testing.assert_array_equal(
            raw.tensors[name].load().astype(np.float64), tensor.double().numpy()
        )


def entry(shape, begin, end, dtype="F32"):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


@pytest.mark.parametrize(
    ("header", "data", "words"),
    [
        ({"a": entry([10**9], 0, 4 * 10**9)}, b"\0" * 4, "truncated"),
        ({"a": entry([10**9], 0, 4)}, b"\0" * 4, "needs 4000000000 bytes"),
        ({"a": entry([1], 0, 4), "b": entry([1], 0, 4)}, b"\0" * 4, "overlaps"),
        ({"a": entry([1], 4, 8)}, b"\0" * 8, "gap"),
        ({"a": entry([-1], 0, 4)}, b"\0" * 4, "no counts"),
        ({"a": entry([1], 0, 4, "F8")}, b"\0" * 4, "F8"),
        ({"a": entry([1], 0, 4)}, b"\0" * 9, "after the last"),
        ({"a": 3}, b"", "not a tensor record"),
    ],
)
def test_headers_that_lie_are_refused(tmp_path, header, data, words):
    path = write(tmp_path / "m.safetensors", header, data)
    with pytest.raises(UnsafeCheckpointError, match=words):
        read_checkpoint(path)


def test_a_header_out_of_proportion_is_refused(tmp_path):
    path = tmp_path / "m.safetensors"
    path.write_bytes((1 << 31).to_bytes(8, "little") + b"{}")
    with pytest.raises(UnsafeCheckpointError, match="2147483648 bytes"):
        read_checkpoint(path)


def test_truncation_and_damage_are_errors_of_ours(tmp_path):
    path = tmp_path / "m.safetensors"
    save_file({"a": torch.randn(50), "b": torch.randn(3, 3)}, path)
    data = path.read_bytes()
    for length in range(0, len(data), 7):
        path.write_bytes(data[:length])
        with pytest.raises(CheckpointError):
            read_checkpoint(path)
    path.write_bytes(data[:8] + b"[" * (len(data) - 8))
    with pytest.raises(UnreadableCheckpointError):
        read_checkpoint(path)


def test_only_a_config_of_a_model_is_used(tmp_path):
    path = tmp_path / "m.safetensors"
    save_file({"a": torch.zeros(1)}, path)
    (tmp_path / "config.json").write_text('{"seed": 1}')
    assert "config" not in read_checkpoint(path).metadata
    (tmp_path / "config.json").write_text('{"architecture": "efficientnet_b0"}')
    assert read_checkpoint(path).metadata["config"] == {"architecture": "efficientnet_b0"}
    (tmp_path / "config.json").write_text("{broken")
    raw = read_checkpoint(path)
    assert "config" not in raw.metadata and any("unreadable" in note for note in raw.notes)
