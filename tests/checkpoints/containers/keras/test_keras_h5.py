"""Keras weight files: what is read, and which configurations are refused."""

import zipfile

import h5py
import numpy as np
import pytest
from keras_files import KERNEL, keras_archive, legacy_file, numbered_file

from efn_compose.checkpoints.containers.keras import keras_h5, keras_zip
from efn_compose.checkpoints.containers.keras.keras_h5 import layer_names_by_path
from efn_compose.errors import UnreadableCheckpointError, UnsafeCheckpointError


def test_legacy_names_lose_their_output_number_and_values_are_exact(tmp_path):
    with legacy_file(tmp_path / "w.h5") as file:
        file["stem_conv/stem_conv/kernel:0"] = KERNEL
    raw = keras_h5.read(tmp_path / "w.h5")
    assert raw.container == "h5-weights"
    np.testing.assert_array_equal(raw.tensors["stem_conv/kernel"].load(), KERNEL)


def test_names_split_over_several_attributes_are_joined(tmp_path):
    # Keras splits an attribute of more than 64 kB.
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file.attrs["layer_names0"] = [b"stem_conv"]
        file.attrs["layer_names1"] = [b"top_conv"]
        for layer in ("stem_conv", "top_conv"):
            group = file.create_group(layer)
            group.attrs["weight_names"] = [f"{layer}/kernel".encode()]
            group[f"{layer}/kernel"] = KERNEL
    assert list(keras_h5.read(tmp_path / "w.h5").tensors) == ["stem_conv/kernel", "top_conv/kernel"]


def test_numbered_layers_come_in_numeric_order_with_roles(tmp_path):
    numbered_file(tmp_path / "n.weights.h5")
    raw = keras_h5.read(tmp_path / "n.weights.h5")
    kernels = [name for name in raw.tensors if name.endswith("kernel")]
    assert kernels == ["conv2d/kernel", "conv2d_2/kernel", "conv2d_10/kernel"]
    assert raw.tensors["batch_normalization/moving_variance"].load()[0] == 3
    assert any("optimizer" in note for note in raw.notes)


def test_stored_names_win_over_numbers(tmp_path):
    numbered_file(tmp_path / "n.weights.h5")
    with h5py.File(tmp_path / "n.weights.h5", "a") as file:
        file["layers/conv2d_2/vars"].attrs["name"] = "stem_conv"
    raw = keras_h5.read(tmp_path / "n.weights.h5")
    assert raw.tensors["stem_conv/kernel"].load().flat[0] == 2


def test_bfloat16_keeps_its_values(tmp_path):
    import ml_dtypes

    values = np.array([1.5, -2.0, 0.25], ml_dtypes.bfloat16)
    with h5py.File(tmp_path / "n.weights.h5", "w") as file:
        file.create_dataset("layers/dense/vars/0", data=values.view("V2"))
        file["layers/dense/vars/0"].attrs["dtype"] = "bfloat16"
    tensor = next(iter(keras_h5.read(tmp_path / "n.weights.h5").tensors.values()))
    assert tensor.dtype == "bfloat16"
    assert tensor.load().astype(np.float32).tolist() == [1.5, -2.0, 0.25]


def test_a_configuration_names_the_layers_of_an_archive(tmp_path):
    layers = [
        {"class_name": "InputLayer", "config": {"name": "image"}},
        {"class_name": "Conv2D", "config": {"name": "stem_conv"}},
        {"class_name": "Conv2D", "config": {"name": "unused"}},
        {"class_name": "Conv2D", "config": {"name": "top_conv"}},
    ]
    config = {"class_name": "Functional", "config": {"layers": layers}}
    keras_archive(tmp_path / "m.keras", config)
    raw = keras_zip.read(tmp_path / "m.keras")
    assert raw.tensors["stem_conv/kernel"].load().flat[0] == 0
    assert raw.tensors["top_conv/kernel"].load().flat[0] == 2
    assert raw.metadata["keras_version"] == "3.15.1"


def test_group_names_follow_keras_own_spelling():
    from keras.src.utils.naming import to_snake_case

    for name in ("Conv2D", "DepthwiseConv2D", "BatchNormalization", "MBConvBlock", "ZeroPadding2D"):
        config = {"config": {"layers": [{"class_name": f"P>{name}", "config": {"name": "it"}}]}}
        assert layer_names_by_path(config) == {f"layers/{to_snake_case(name)}": "it"}


def test_a_compressed_archive_reads_like_a_stored_one(tmp_path):
    keras_archive(tmp_path / "stored.keras")
    with (
        zipfile.ZipFile(tmp_path / "stored.keras") as stored,
        zipfile.ZipFile(tmp_path / "packed.keras", "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for name in stored.namelist():
            packed.writestr(name, stored.read(name))
    one, other = (keras_zip.read(tmp_path / f"{name}.keras") for name in ("stored", "packed"))
    for name, tensor in one.tensors.items():
        np.testing.assert_array_equal(tensor.load(), other.tensors[name].load())


def test_a_lambda_layer_in_a_whole_model_is_refused_by_name(tmp_path):
    import keras

    image = keras.Input((8, 8, 3))
    x = keras.layers.Lambda(lambda x: x * 2, name="sneaky")(image)
    model = keras.Model(image, keras.layers.Conv2D(4, 3, name="stem_conv")(x))
    model.save(tmp_path / "m.h5")
    model.save(tmp_path / "m.keras")
    for path, read in ((tmp_path / "m.h5", keras_h5.read), (tmp_path / "m.keras", keras_zip.read)):
        with pytest.raises(UnsafeCheckpointError, match="Lambda layer 'sneaky'"):
            read(path)


def test_a_lambda_inside_a_nested_model_is_found(tmp_path):
    inner = {"class_name": "Lambda", "config": {"name": "deep"}}
    nested = {"class_name": "Sequential", "config": {"layers": [{"config": {"layers": [inner]}}]}}
    keras_archive(tmp_path / "m.keras", nested)
    with pytest.raises(UnsafeCheckpointError, match="deep"):
        keras_zip.read(tmp_path / "m.keras")


def test_a_damaged_configuration_is_an_error_not_a_crash(tmp_path):
    with legacy_file(tmp_path / "m.h5", "/model_weights") as file:
        file.attrs["model_config"] = "{not json"
    with pytest.raises(UnreadableCheckpointError, match="not JSON"):
        keras_h5.read(tmp_path / "m.h5")
