"""ONNX files, decoded by hand: the same tensors as the onnx package reads, and nothing unsafe."""

import os
from pathlib import Path

import numpy as np
import pytest

from efn_compose.checkpoints.containers import onnx_file
from efn_compose.errors import CheckpointError, UnreadableCheckpointError, UnsafeCheckpointError

onnx = pytest.importorskip("onnx")
RNG = np.random.default_rng(0)
ARRAYS = {
    "float32": RNG.normal(size=(4, 3, 3, 3)).astype(np.float32),
    "float16": RNG.normal(size=(5, 2)).astype(np.float16),
    "float64": RNG.normal(size=7),
    "int64": np.array([-3, 0, 2**40]),
    "int32": np.array([[-1, 5]], np.int32),
    "scalar": np.array(1.5, np.float32),
    "bool": np.array([True, False]),
}


def model_of(tensors, nodes=(), shape=(1, 3, 8, None)):
    """Return a model with initializers, nodes, and one image input."""
    image = onnx.helper.make_tensor_value_info("image", onnx.TensorProto.FLOAT, shape)
    result = onnx.helper.make_tensor_value_info("result", onnx.TensorProto.FLOAT, None)
    graph = onnx.helper.make_graph(list(nodes), "g", [image], [result], list(tensors))
    return onnx.helper.make_model(graph, producer_name="a test")


def raw_tensors():
    return [onnx.numpy_helper.from_array(array, name) for name, array in ARRAYS.items()]


def typed_tensors():
    """Return the same arrays in the typed fields instead of raw bytes."""
    types = {"float32": 1, "float16": 10, "float64": 11, "int64": 7, "int32": 6, "bool": 9}
    return [
        onnx.helper.make_tensor(name, types[name], array.shape, array.reshape(-1).tolist())
        for name, array in ARRAYS.items()
        if name in types
    ]


@pytest.mark.parametrize("make", [raw_tensors, typed_tensors])
def test_every_stored_form_gives_the_values_of_the_onnx_package(tmp_path, make):
    path = tmp_path / "m.onnx"
    onnx.save(model_of(make()), path)
    raw = onnx_file.read(path)
    assert set(raw.tensors) == {tensor.name for tensor in make()}
    for name, tensor in raw.tensors.items():
        np.testing.assert_array_equal(tensor.load(), ARRAYS[name])
        assert tensor.load().shape == tensor.shape == ARRAYS[name].shape


def test_nodes_attributes_constants_and_shapes_are_read(tmp_path):
    constant = onnx.helper.make_node(
        "Constant", [], ["six"], value=onnx.numpy_helper.from_array(np.float32([6]), "six")
    )
    conv = onnx.helper.make_node(
        "Conv",
        ["image", "float32"],
        ["y"],
        strides=[2, 2],
        pads=[0, 0, 1, 1],
        group=1,
        auto_pad="X",
    )
    gemm = onnx.helper.make_node("Gemm", ["y", "float16"], ["result"], alpha=0.5, transB=1)
    onnx.save(model_of(raw_tensors(), [constant, conv, gemm]), tmp_path / "m.onnx")
    raw = onnx_file.read(tmp_path / "m.onnx")
    assert [node.op for node in raw.metadata["nodes"]] == ["Constant", "Conv", "Gemm"]
    _, conv, gemm = raw.metadata["nodes"]
    assert conv.attributes["pads"] == [0, 0, 1, 1]
    assert (conv.attributes["group"], conv.attributes["auto_pad"]) == (1, "X")
    assert (gemm.attributes["alpha"], gemm.attributes["transB"]) == (0.5, 1)
    assert raw.tensors["six"].load().tolist() == [6.0]
    assert raw.metadata["inputs"] == {"image": (1, 3, 8, None)}
    assert raw.metadata["producer"] == "a test"


def external_model(folder: Path, location: str, **entries: str) -> Path:
    """Write a model whose tensor lies in a side file, its location replaced."""
    path = folder / "m.onnx"
    model = model_of([onnx.numpy_helper.from_array(ARRAYS["float32"], "w")])
    onnx.save(model, path, save_as_external_data=True, location="side.bin", size_threshold=0)
    stored = onnx.load(path, load_external_data=False)
    for entry in stored.graph.initializer[0].external_data:
        if entry.key == "location":
            entry.value = location
        elif entry.key in entries:
            entry.value = entries[entry.key]
    path.write_bytes(stored.SerializeToString())
    return path


def test_a_side_file_in_the_models_folder_is_read(tmp_path):
    raw = onnx_file.read(external_model(tmp_path, "side.bin"))
    np.testing.assert_array_equal(raw.tensors["w"].load(), ARRAYS["float32"])


@pytest.mark.parametrize("location", ["../side.bin", "/etc/passwd", "a/../../side.bin", "..\\x"])
def test_a_side_file_elsewhere_is_refused(tmp_path, location):
    (tmp_path / "inner").mkdir()
    (tmp_path / "side.bin").write_bytes(ARRAYS["float32"].tobytes())
    path = external_model(tmp_path / "inner", location)
    with pytest.raises(UnsafeCheckpointError, match="outside the model's folder"):
        onnx_file.read(path)


def test_a_side_file_that_links_elsewhere_is_refused(tmp_path):
    (tmp_path / "inner").mkdir()
    (tmp_path / "secret.bin").write_bytes(ARRAYS["float32"].tobytes())
    path = external_model(tmp_path / "inner", "link.bin")
    os.symlink(tmp_path / "secret.bin", tmp_path / "inner" / "link.bin")
    with pytest.raises(UnsafeCheckpointError, match="link out of the model's folder"):
        onnx_file.read(path)


def test_a_missing_side_file_is_named(tmp_path):
    with pytest.raises(UnreadableCheckpointError, match=r"gone\.bin"):
        onnx_file.read(external_model(tmp_path, "gone.bin"))


@pytest.mark.parametrize("entries", [{"offset": "400"}, {"length": "4000"}, {"offset": "-8"}])
def test_a_side_file_that_is_too_short_is_refused(tmp_path, entries):
    path = external_model(tmp_path, "side.bin", **{"offset": "0", **entries})
    with pytest.raises(UnsafeCheckpointError, match="declares"):
        onnx_file.read(path)


def test_a_tensor_that_declares_more_than_it_stores_is_refused(tmp_path):
    tensor = onnx.numpy_helper.from_array(ARRAYS["float32"], "w")
    del tensor.dims[:]
    tensor.dims.extend([10**6, 10**6])
    (tmp_path / "m.onnx").write_bytes(model_of([tensor]).SerializeToString())
    with pytest.raises(UnsafeCheckpointError, match="declares 4000000000000 bytes, stores 432"):
        onnx_file.read(tmp_path / "m.onnx")


@pytest.mark.parametrize("kept", [0.05, 0.4, 0.9])
def test_a_truncated_file_is_refused(tmp_path, kept):
    whole = model_of(raw_tensors()).SerializeToString()
    (tmp_path / "m.onnx").write_bytes(whole[: int(len(whole) * kept)])
    with pytest.raises(UnreadableCheckpointError, match=r"m\.onnx"):
        onnx_file.read(tmp_path / "m.onnx")


@pytest.mark.parametrize("content", [b"", b"<html>not a model</html>", b"\xff" * 64, bytes(64)])
def test_a_file_of_something_else_is_refused(tmp_path, content):
    (tmp_path / "m.onnx").write_bytes(content)
    with pytest.raises(UnreadableCheckpointError, match=r"m\.onnx"):
        onnx_file.read(tmp_path / "m.onnx")


def test_flipped_bytes_raise_nothing_but_deliberate_errors(tmp_path):
    constant = onnx.helper.make_node(
        "Constant", [], ["six"], value=onnx.numpy_helper.from_array(np.float32([6]), "six")
    )
    conv = onnx.helper.make_node("Conv", ["image", "float32"], ["y"], strides=[2, 2], group=1)
    whole = model_of(raw_tensors() + typed_tensors(), [constant, conv]).SerializeToString()
    rng, path, refused = np.random.default_rng(0), tmp_path / "m.onnx", 0
    for number in range(400):
        damaged = bytearray(whole)
        for position in rng.integers(0, len(whole), 1 + number % 5):
            damaged[position] = rng.integers(256)
        path.write_bytes(damaged)
        try:
            for tensor in onnx_file.read(path).tensors.values():
                tensor.load()
        except CheckpointError:
            refused += 1
    assert refused > 50
