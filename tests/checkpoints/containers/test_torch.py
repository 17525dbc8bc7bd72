"""PyTorch files, good and hostile: equal to what torch reads, or refused by name."""

import argparse
import collections
import io
import os
import pickle
import shutil
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest

from efn_compose.checkpoints.containers.containers import detect_container, read_checkpoint
from efn_compose.checkpoints.containers.torch.torch_pickle import MAX_PICKLE_BYTES, safe_unpickle
from efn_compose.errors import (
    CheckpointError,
    ForbiddenPickleError,
    UnreadableCheckpointError,
    UnsafeCheckpointError,
)

torch = pytest.importorskip("torch")
save_file = pytest.importorskip("safetensors.torch").save_file

LAYOUTS = {"torch-zip": True, "torch-legacy": False}


def save(content, path, container):
    torch.save(content, path, _use_new_zipfile_serialization=LAYOUTS[container])
    return path


def state_dict():
    torch.manual_seed(0)
    shared = torch.randn(40)
    return collections.OrderedDict(
        conv=torch.randn(4, 3, 2, 2),
        transposed=torch.randn(5, 7).t(),
        channels_last=torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last),
        sliced=torch.randn(10, 10)[2:5, 1::3],
        view_a=shared[:12].view(3, 4),
        view_b=shared[30:],
        half=torch.randn(3).half(),
        bfloat=torch.randn(3).bfloat16(),
        double=torch.randn(3).double(),
        counter=torch.tensor(7),
        empty=torch.zeros(0, 3),
        parameter=torch.nn.Parameter(torch.randn(2, 2)),
    )


@pytest.mark.parametrize("container", LAYOUTS)
def test_every_tensor_equals_torch(tmp_path, container):
    path = save(state_dict(), tmp_path / "a.pth", container)
    assert detect_container(path) == container
    raw = read_checkpoint(path)
    expected = torch.load(path, weights_only=True)
    assert list(raw.tensors) == list(expected)
    for name, tensor in expected.items():
        ours = raw.tensors[name]
        assert ours.shape == tuple(tensor.shape)
        assert f"torch.{ours.dtype}" == str(tensor.dtype)
        np.testing.assert_array_equal(
            ours.load().astype(np.float64), tensor.detach().double().numpy(), err_msg=name
        )


@pytest.mark.parametrize("container", [*LAYOUTS, "safetensors"])
def test_a_large_tensor_is_copied_into_any_layout(tmp_path, container):
    """Read in several slabs, the last of them short, and with its axes in another order."""
    tensors = {"w": torch.randn(301, 900, 2), "half": torch.randn(700, 501).half()}
    path = tmp_path / "a.pth"
    if container == "safetensors":
        save_file(tensors, path)
    else:
        save(tensors, path, container)
    raw = read_checkpoint(path)
    for name, tensor in tensors.items():
        order = range(tensor.ndim)[::-1]
        turned = np.empty(tensor.shape[::-1], np.float32)
        raw.tensors[name].copy_to(turned.transpose(order))
        np.testing.assert_array_equal(turned, tensor.float().permute(*order).numpy())
        np.testing.assert_array_equal(raw.tensors[name].load(), tensor.numpy())


@pytest.mark.parametrize("container", LAYOUTS)
def test_averaged_weights_are_preferred_and_said(tmp_path, container):
    content = {
        "epoch": 3,
        "state_dict": {"module.w": torch.zeros(2)},
        "state_dict_ema": {"module.w": torch.ones(2)},
        "optimizer": {"state": {0: {"exp_avg": torch.zeros(5)}}},
    }
    path = save(content, tmp_path / "a.pth", container)
    averaged, plain = read_checkpoint(path), read_checkpoint(path, ema=False)
    assert averaged.tensors["w"].load().tolist() == [1, 1]
    assert plain.tensors["w"].load().tolist() == [0, 0]
    assert any("state_dict_ema" in note for note in averaged.notes)
    assert any("raw ones" in note for note in plain.notes)
    assert averaged.metadata["epoch"] == 3


def test_raw_weights_are_not_replaced_by_averaged_ones(tmp_path):
    path = save({"state_dict_ema": {"w": torch.ones(2)}}, tmp_path / "a.pth", "torch-zip")
    with pytest.raises(UnreadableCheckpointError, match="only averaged"):
        read_checkpoint(path, ema=False)


def test_prefixes_are_stripped_only_from_all(tmp_path):
    both = {"module._orig_mod.a": torch.zeros(1), "module._orig_mod.b": torch.zeros(1)}
    one = {"module.a": torch.zeros(1), "b": torch.zeros(1)}
    assert list(read_checkpoint(save(both, tmp_path / "a.pth", "torch-zip")).tensors) == ["a", "b"]
    assert list(read_checkpoint(save(one, tmp_path / "b.pth", "torch-zip")).tensors) == [
        "module.a",
        "b",
    ]


@pytest.mark.parametrize("container", LAYOUTS)
def test_training_settings_are_read_as_plain_values(tmp_path, container):
    settings = argparse.Namespace(model="tf_efficientnet_b0", lr=0.1, mean=None)
    content = {"state_dict": {"w": torch.ones(2)}, "args": settings, "acc": np.float64(0.5)}
    raw = read_checkpoint(save(content, tmp_path / "a.pth", container))
    assert raw.metadata["args"] == {"model": "tf_efficientnet_b0", "lr": 0.1}


class Runs:
    """Unpickling this would run a command."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.system, (f"touch {self.marker}",)


@pytest.mark.parametrize("container", LAYOUTS)
def test_code_is_refused_by_name_and_not_run(tmp_path, container):
    marker = tmp_path / "owned"
    content = {"w": torch.ones(2), "x": Runs(marker), "y": shutil.rmtree}
    path = save(content, tmp_path / "a.pth", container)
    with pytest.raises(ForbiddenPickleError) as caught:
        read_checkpoint(path)
    assert f"{os.system.__module__}.system" in str(caught.value)
    assert "shutil.rmtree" in str(caught.value)
    assert not marker.exists()


@pytest.mark.parametrize("container", LAYOUTS)
def test_a_whole_module_is_refused(tmp_path, container):
    path = save(torch.nn.Conv2d(1, 1, 1), tmp_path / "a.pth", container)
    with pytest.raises(ForbiddenPickleError, match=r"torch\.nn\.modules\.conv\.Conv2d"):
        read_checkpoint(path)


def test_globals_put_together_on_the_stack_are_refused():
    data = b"\x80\x04\x8c\x02os\x94\x8c\x06system\x94\x93\x94\x8c\x04true\x94\x85\x94R\x94."
    with pytest.raises(ForbiddenPickleError, match=r"os\.system"):
        safe_unpickle(io.BytesIO(data), "x")


def test_a_global_hidden_behind_the_memo_is_refused():
    data = b"\x80\x04\x8c\x06system\x94\x8c\x02os\x94\x8c\x01x0h\x01h\x00\x93)R."
    with pytest.raises(ForbiddenPickleError, match=r"os\.system"):
        safe_unpickle(io.BytesIO(data), "x")


def test_extension_codes_are_refused():
    with pytest.raises(ForbiddenPickleError, match="extension code 1"):
        safe_unpickle(io.BytesIO(b"\x80\x02\x82\x01."), "x")


@pytest.mark.parametrize(
    "state", [{"dtype": "float16", "call": "x"}, (None, {"__defaults__": (1,)})]
)
@pytest.mark.parametrize(
    "name",
    [
        *("torch FloatStorage", "torch float32", "torch.storage UntypedStorage", "torch Size"),
        *("torch._utils _rebuild_tensor_v2", "_codecs encode", "collections OrderedDict"),
        "torch device",
    ],
)
def test_a_file_cannot_change_how_the_next_one_is_read(tmp_path, name, state):
    path = save(state_dict(), tmp_path / "a.pth", "torch-zip")
    built = pickle.dumps(state, 2)[2:-1]
    data = b"\x80\x02c" + name.replace(" ", "\n").encode() + b"\n" + built + b"b."
    with pytest.raises(UnreadableCheckpointError):
        safe_unpickle(io.BytesIO(data), "x")
    for key, value in torch.load(path, weights_only=True).items():
        ours = read_checkpoint(path).tensors[key].load().astype(np.float64)
        np.testing.assert_array_equal(ours, value.detach().double().numpy())


@pytest.mark.parametrize("before", [b"}", b"}(X\x03\0\0\0(}.K\x07u", b"}q\x07h\x07r\1\0\0\0"])
@pytest.mark.parametrize("index", [1 << 30, 1 << 16, 0x70000000, 255 << 16])
def test_a_huge_memo_index_costs_nothing(before, index):
    """The interpreter in C would allocate up to 16 GB here."""
    data = b"\x80\x02" + before + b"r" + struct.pack("<I", index) + b"."
    tracemalloc.start()
    assert isinstance(safe_unpickle(io.BytesIO(data), "x"), dict)
    assert tracemalloc.get_traced_memory()[1] < 1 << 19
    tracemalloc.stop()


def test_a_text_longer_than_the_pickle_is_refused():
    for length in (5, 1 << 31, (1 << 32) - 1):
        data = b"\x80\x02X" + struct.pack("<I", length) + b"abc."
        with pytest.raises(CheckpointError):
            safe_unpickle(io.BytesIO(data), "x")


@pytest.mark.slow
def test_an_endless_pickle_is_cut_off():
    text = b"X" + (1 << 16).to_bytes(4, "little") + b"a" * (1 << 16) + b"0"
    endless = b"\x80\x02" + text * (MAX_PICKLE_BYTES // len(text) + 1) + b"N."
    with pytest.raises(UnsafeCheckpointError, match="MB"):
        safe_unpickle(io.BytesIO(endless), "x")
    with pytest.raises(CheckpointError):
        safe_unpickle(io.BytesIO(b"\x80\x04\x8d" + (1 << 40).to_bytes(8, "little") + b"x."), "x")


def test_torchscript_is_refused(tmp_path):
    torch.jit.script(torch.nn.Linear(2, 2)).save(str(tmp_path / "a.pt"))
    with pytest.raises(UnsafeCheckpointError, match="TorchScript"):
        read_checkpoint(tmp_path / "a.pt")


@pytest.mark.parametrize("container", LAYOUTS)
def test_a_stride_of_zero_is_refused_before_memory_is_spent(tmp_path, container):
    bomb = torch.zeros(1).expand(1000, 1000, 1000)
    path = save({"w": torch.ones(2), "bomb": bomb}, tmp_path / "a.pth", container)
    assert path.stat().st_size < 10_000
    with pytest.raises(UnsafeCheckpointError, match="1000000000 elements"):
        read_checkpoint(path)


def rewrite(path, change, compression=zipfile.ZIP_STORED):
    """Copy a zip member by member; `change` maps a name's last part to new bytes."""
    out = path.with_name(f"changed_{path.name}")
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(out, "w", compression) as new:
        for info in old.infolist():
            data = old.read(info)
            new.writestr(info.filename, change.get(info.filename.split("/", 1)[1], data))
    return out


def test_a_compressed_member_is_refused(tmp_path):
    path = save({"w": torch.zeros(1_000_000)}, tmp_path / "a.pth", "torch-zip")
    bomb = rewrite(path, {}, zipfile.ZIP_DEFLATED)
    assert bomb.stat().st_size < 20_000
    with pytest.raises(UnsafeCheckpointError, match="zip bomb"):
        read_checkpoint(bomb)


def test_overlapping_members_are_refused(tmp_path):
    path = save({"w": torch.zeros(1000)}, tmp_path / "a.pth", "torch-zip")
    data = bytearray(path.read_bytes())
    end = data.rfind(b"PK\x05\x06")
    start, count = struct.unpack("<I", data[end + 16 : end + 20])[0], data[end + 10]
    directory = bytes(data[start:end])
    # The same directory twice: every member is listed two times at one place.
    doubled = data[:start] + directory * 2 + data[end:]
    end += len(directory)
    doubled[end + 8 : end + 16] = struct.pack("<HHI", 2 * count, 2 * count, 2 * len(directory))
    forged = tmp_path / "b.pth"
    forged.write_bytes(doubled)
    with pytest.raises(CheckpointError):
        read_checkpoint(forged)


def test_a_storage_shorter_than_its_tensor_is_refused(tmp_path):
    path = save({"w": torch.zeros(100)}, tmp_path / "a.pth", "torch-zip")
    with pytest.raises(UnsafeCheckpointError, match="storage holds 2"):
        read_checkpoint(rewrite(path, {"data/0": b"\0" * 8}))


@pytest.mark.parametrize("count", [1000, 400_000])
def test_a_flipped_bit_is_noticed(tmp_path, count):
    path = save({"w": torch.zeros(count, 1)}, tmp_path / "a.pth", "torch-zip")
    data = bytearray(path.read_bytes())
    data[data.find(b"\0" * 4 * count) + 3 * count] ^= 1
    path.write_bytes(data)
    with pytest.raises(UnreadableCheckpointError, match="checksum"):
        read_checkpoint(path).tensors["w"].load()


@pytest.mark.parametrize("container", LAYOUTS)
def test_any_truncation_is_an_error_of_ours(tmp_path, container):
    path = save(state_dict(), tmp_path / "a.pth", container)
    data = path.read_bytes()
    for length in range(0, len(data), max(1, len(data) // 60)):
        path.write_bytes(data[:length])
        with pytest.raises(CheckpointError):
            for tensor in read_checkpoint(path).tensors.values():
                tensor.load()


@pytest.mark.parametrize("container", LAYOUTS)
def test_random_damage_gives_values_or_an_error_of_ours(tmp_path, container):
    path = save(state_dict(), tmp_path / "a.pth", container)
    data = path.read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(150):
        broken = bytearray(data)
        for position in rng.integers(0, len(data), 3):
            broken[position] = rng.integers(256)
        path.write_bytes(broken)
        try:
            for tensor in read_checkpoint(path).tensors.values():
                tensor.load()
        except CheckpointError:
            continue


def test_other_files_are_told_apart(tmp_path):
    page = tmp_path / "b0.pth"
    page.write_bytes(b"<html>not found</html>")
    with pytest.raises(UnreadableCheckpointError, match="HTML"):
        read_checkpoint(page)
    with pytest.raises(UnreadableCheckpointError, match="no such file"):
        read_checkpoint(tmp_path / "none.pth")
    (tmp_path / "plain.pth").write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(UnreadableCheckpointError, match="a Python pickle"):
        read_checkpoint(tmp_path / "plain.pth")


def test_several_dictionaries_of_tensors_become_prefixes(tmp_path):
    content = {"generator": {"w": torch.ones(1)}, "critic": {"w": torch.ones(1)}}
    path = save(content, tmp_path / "a.pth", "torch-zip")
    raw = read_checkpoint(path)
    assert set(raw.tensors) == {"generator.w", "critic.w"}
    assert "several dictionaries of tensors: generator, critic" in raw.notes


def test_the_place_of_a_dictionary_is_said_where_its_key_is_a_number(tmp_path):
    networks = {"teacher": {"a": {"w": torch.ones(2)}}, "student": {"a": {"w": torch.ones(2)}}}
    content = {7: {"step": torch.ones(1), "model": networks}}
    path = save(content, tmp_path / "a.pth", "torch-zip")
    with pytest.raises(UnreadableCheckpointError, match="under a known key at 7/model"):
        read_checkpoint(path)


def test_our_writer_is_read_by_torch_and_by_us(tmp_path):
    from efn_compose.checkpoints.writers.torch_writer import write_torch_zip

    rng = np.random.default_rng(0)
    arrays = {
        "a.weight": rng.normal(size=(3, 4, 2, 1)).astype(np.float32),
        "a.counter": np.zeros((), np.int64),
        "a.bias": rng.normal(size=5).astype(np.float32),
    }
    entries = [(name, array.shape, array.dtype.name) for name, array in arrays.items()]
    write_torch_zip(tmp_path / "a.pth", entries, iter(arrays.values()))
    for name, value in torch.load(tmp_path / "a.pth", weights_only=True).items():
        np.testing.assert_array_equal(value.numpy(), arrays[name])
    for name, tensor in read_checkpoint(tmp_path / "a.pth").tensors.items():
        np.testing.assert_array_equal(tensor.load(), arrays[name])
