"""Keras containers: what is read, and what is refused before memory is spent."""

import io
import json
import tracemalloc
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest

from efn_compose.checkpoints.containers.containers import read_checkpoint
from efn_compose.checkpoints.containers.keras import keras_h5, keras_zip
from efn_compose.checkpoints.containers.keras.hdf5_safety import walk_groups
from efn_compose.checkpoints.containers.keras.keras_h5 import layer_names_by_path
from efn_compose.errors import CheckpointError, UnreadableCheckpointError, UnsafeCheckpointError

KERNEL = np.arange(108, dtype=np.float32).reshape(3, 3, 3, 4)


def legacy_file(path: Path, root: str = "/") -> h5py.File:
    """Return an open legacy weight file with one good layer, "stem_conv"."""
    file = h5py.File(path, "w")
    group = file.require_group(root)
    group.attrs["layer_names"] = [b"stem_conv"]
    group.create_group("stem_conv").attrs["weight_names"] = [b"stem_conv/kernel:0"]
    return file


def numbered_file(path) -> None:
    with h5py.File(path, "w") as file:
        file["layers/conv2d/vars/0"] = KERNEL
        file["layers/conv2d_2/vars/0"] = KERNEL + 2
        file["layers/conv2d_10/vars/0"] = KERNEL + 10
        for number in range(4):
            file[f"layers/batch_normalization/vars/{number}"] = np.full(4, number, np.float32)
        file["optimizer/vars/0"] = np.zeros(1)


def keras_archive(path: Path, config: dict | None = None, **extra: bytes) -> None:
    """Write a `.keras` archive as Keras does; `extra` adds or replaces members."""
    buffer = io.BytesIO()
    numbered_file(buffer)
    members = {
        "metadata.json": json.dumps({"keras_version": "3.15.1"}).encode(),
        "config.json": json.dumps(config or {"class_name": "Functional", "config": {}}).encode(),
        "model.weights.h5": buffer.getvalue(),
        **extra,
    }
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def peak_bytes(action) -> int:
    tracemalloc.start()
    try:
        action()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


# --- what is read ---------------------------------------------------------------------------


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


# --- HDF5 that points elsewhere or lies about its size ---------------------------------------


@pytest.fixture
def secret(tmp_path) -> Path:
    """Return another file's dataset, which no weight file may reach."""
    path = tmp_path / "secret.h5"
    with h5py.File(path, "w") as file:
        file["stem_conv/kernel:0"] = KERNEL + 1000
    (tmp_path / "secret.bin").write_bytes(KERNEL.tobytes())
    return path


def test_the_attacks_below_work_on_plain_h5py(tmp_path, secret):
    # Without this the refusals below would prove nothing.
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file["leak"] = h5py.ExternalLink(str(secret), "stem_conv/kernel:0")
        file.create_dataset("bomb", (10**9,), "f4", chunks=(10**6,))
    with h5py.File(tmp_path / "w.h5") as file:
        assert file["leak"][0, 0, 0, 0] == 1000
        assert file["bomb"].nbytes == 4 * 10**9
    assert (tmp_path / "w.h5").stat().st_size < 20_000


def _external_link(file, secret):
    file["stem_conv/stem_conv/kernel:0"] = h5py.ExternalLink(str(secret), "stem_conv/kernel:0")


def _external_group(file, secret):
    file["stem_conv/stem_conv"] = h5py.ExternalLink(str(secret), "stem_conv")


def _soft_link(file, secret):
    file["hidden"] = KERNEL
    file["stem_conv/stem_conv/kernel:0"] = h5py.SoftLink(f"{file.name}/hidden")


def _external_storage(file, secret):
    file.create_dataset(
        "stem_conv/stem_conv/kernel:0",
        KERNEL.shape,
        "f4",
        external=[(str(secret.with_suffix(".bin")), 0, KERNEL.nbytes)],
    )


def _virtual(file, secret):
    layout = h5py.VirtualLayout(KERNEL.shape, "f4")
    layout[...] = h5py.VirtualSource(str(secret), "stem_conv/kernel:0", KERNEL.shape)
    file.create_virtual_dataset("stem_conv/stem_conv/kernel:0", layout)


def _bomb(file, secret):
    file.create_dataset("stem_conv/stem_conv/kernel:0", (3, 3, 3, 10**9), "f4", chunks=True)


def _deflate_bomb(file, secret):
    file.create_dataset(
        "stem_conv/stem_conv/kernel:0",
        data=np.zeros((64, 1024, 1024), np.uint8),
        compression="gzip",
        compression_opts=9,
        chunks=(64, 1024, 1024),
    )


def _objects(file, secret):
    file.create_dataset("stem_conv/stem_conv/kernel:0", data=["text"], dtype=h5py.string_dtype())


ATTACKS = {
    "ExternalLink": (_external_link, "ExternalLink"),
    "external group": (_external_group, "ExternalLink"),
    "SoftLink": (_soft_link, "SoftLink"),
    "external storage": (_external_storage, "external raw storage"),
    "virtual dataset": (_virtual, "virtual dataset"),
    "declared-size bomb": (_bomb, "declares 108000000000 bytes"),
    "compression bomb": (_deflate_bomb, "declares 67108864 bytes"),
    "object values": (_objects, "plain numbers"),
}


@pytest.mark.parametrize("attack", ATTACKS)
@pytest.mark.parametrize("root", ["/", "/model_weights"])
def test_hdf5_attacks_are_refused_by_name_before_memory_is_spent(tmp_path, secret, attack, root):
    plant, message = ATTACKS[attack]
    path = tmp_path / "w.h5"
    with legacy_file(path, root) as file:
        plant(file[root], secret)

    def read() -> None:
        with pytest.raises(UnsafeCheckpointError, match=message) as error:
            keras_h5.read(path)
        assert "w.h5" in str(error.value)

    assert peak_bytes(read) < 5_000_000


@pytest.mark.parametrize("attack", ["ExternalLink", "declared-size bomb", "virtual dataset"])
def test_the_same_attacks_in_a_weights_h5_are_refused(tmp_path, secret, attack):
    path = tmp_path / "n.weights.h5"
    numbered_file(path)
    with h5py.File(path, "a") as file:
        del file["layers/conv2d/vars/0"]
        if attack == "ExternalLink":
            file["layers/conv2d/vars/0"] = h5py.ExternalLink(str(secret), "stem_conv/kernel:0")
        elif attack == "declared-size bomb":
            file.create_dataset("layers/conv2d/vars/0", (3, 3, 3, 10**9), "f4", chunks=True)
        else:
            layout = h5py.VirtualLayout(KERNEL.shape, "f4")
            layout[...] = h5py.VirtualSource(str(secret), "stem_conv/kernel:0", KERNEL.shape)
            file.create_virtual_dataset("layers/conv2d/vars/0", layout)
    with pytest.raises(UnsafeCheckpointError):
        keras_h5.read(path)


def test_groups_in_a_circle_do_not_loop(tmp_path):
    path = tmp_path / "n.weights.h5"
    numbered_file(path)
    with h5py.File(path, "a") as file:
        file["layers/conv2d/again"] = file["layers"]
    with pytest.raises(UnsafeCheckpointError, match="twice"):
        keras_h5.read(path)


def test_every_group_is_walked_once(tmp_path):
    numbered_file(tmp_path / "n.weights.h5")
    with h5py.File(tmp_path / "n.weights.h5") as file:
        paths = [path for path, _ in walk_groups(file)]
        wanted = ["", *(p for p in _visit(file))]
    assert sorted(paths) == sorted(wanted)


def _visit(file: h5py.File) -> list[str]:
    found: list[str] = []
    file.visititems(lambda name, node: found.append(name) if isinstance(node, h5py.Group) else None)
    return found


def test_a_layer_name_that_climbs_out_is_not_followed(tmp_path):
    with legacy_file(tmp_path / "w.h5") as file:
        file["stem_conv"].attrs["weight_names"] = [b"../../etc/kernel:0"]
    with pytest.raises(UnreadableCheckpointError, match="not in the file"):
        keras_h5.read(tmp_path / "w.h5")


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.95])
def test_a_truncated_file_is_refused(tmp_path, kept):
    with legacy_file(tmp_path / "w.h5") as file:
        file["stem_conv/stem_conv/kernel:0"] = np.zeros((3, 3, 3, 512), np.float32)
    whole = (tmp_path / "w.h5").read_bytes()
    (tmp_path / "w.h5").write_bytes(whole[: int(len(whole) * kept)])
    with pytest.raises(UnreadableCheckpointError, match=r"w\.h5"):
        keras_h5.read(tmp_path / "w.h5").tensors["stem_conv/kernel"].load()


def test_an_hdf5_file_of_something_else_is_refused(tmp_path):
    with h5py.File(tmp_path / "data.h5", "w") as file:
        file["images"] = np.zeros(3)
    with pytest.raises(UnreadableCheckpointError, match="images"):
        keras_h5.read(tmp_path / "data.h5")


def test_two_networks_in_one_file_are_refused(tmp_path):
    with legacy_file(tmp_path / "w.h5") as file:
        file.attrs["layer_names"] = [b"left", b"right"]
        for name in ("left", "right"):
            group = file.create_group(name)
            group.attrs["weight_names"] = [b"stem_conv/kernel", b"top_conv/kernel"]
            group["stem_conv/kernel"] = group["top_conv/kernel"] = KERNEL
    with pytest.raises(UnreadableCheckpointError, match="more than one network"):
        keras_h5.read(tmp_path / "w.h5")


# --- configurations ---------------------------------------------------------------------------


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


# --- archives ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["../escape.h5", "/etc/passwd", "a/../../b", "C:\\x", "\\x"])
def test_a_path_out_of_the_archive_is_refused(tmp_path, name):
    keras_archive(tmp_path / "m.keras", **{name: b"x"})
    with pytest.raises(UnsafeCheckpointError, match="outside the archive"):
        keras_zip.read(tmp_path / "m.keras")


@pytest.mark.slow
@pytest.mark.parametrize("member", ["model.weights.h5", "config.json"])
def test_a_zip_bomb_is_refused_before_it_inflates(tmp_path, member):
    with zipfile.ZipFile(tmp_path / "m.keras", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("metadata.json", "config.json", "model.weights.h5"):
            archive.writestr(name, b"{}" if name != member else bytes(300 << 20))
    assert (tmp_path / "m.keras").stat().st_size < 500_000

    def read() -> None:
        with pytest.raises(UnsafeCheckpointError, match=rf"{member}.*declares 314572800"):
            keras_zip.read(tmp_path / "m.keras")

    assert peak_bytes(read) < 5_000_000


@pytest.mark.parametrize("missing", ["config.json", "metadata.json", "model.weights.h5"])
def test_an_archive_with_a_member_missing_or_twice_is_refused(tmp_path, missing):
    keras_archive(tmp_path / "m.keras")
    with (
        zipfile.ZipFile(tmp_path / "m.keras") as whole,
        zipfile.ZipFile(tmp_path / "less.keras", "w") as less,
        pytest.warns(UserWarning, match="Duplicate"),
    ):
        for name in whole.namelist():
            if name != missing:
                less.writestr(name, whole.read(name))
        less.writestr("other", b"")
        less.writestr("other", b"")
    with pytest.raises(UnreadableCheckpointError, match="found 0 times"):
        keras_zip.read(tmp_path / "less.keras")
    with (
        zipfile.ZipFile(tmp_path / "m.keras", "a") as twice,
        pytest.warns(UserWarning, match="Duplicate"),
    ):
        twice.writestr(missing, b"{}")
    with pytest.raises(UnreadableCheckpointError, match="found 2 times"):
        keras_zip.read(tmp_path / "m.keras")


@pytest.mark.parametrize("kept", [0.3, 0.9])
def test_a_truncated_archive_is_refused(tmp_path, kept):
    keras_archive(tmp_path / "m.keras")
    whole = (tmp_path / "m.keras").read_bytes()
    (tmp_path / "m.keras").write_bytes(whole[: int(len(whole) * kept)])
    with pytest.raises(UnreadableCheckpointError, match=r"m\.keras"):
        keras_zip.read(tmp_path / "m.keras")


# --- damage -----------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["w.h5", "n.weights.h5", "m.keras"])
def test_flipped_bytes_raise_nothing_but_deliberate_errors(tmp_path, kind):
    path = tmp_path / kind
    if kind == "w.h5":
        with legacy_file(path) as file:
            file["stem_conv/stem_conv/kernel:0"] = KERNEL
    elif kind == "n.weights.h5":
        numbered_file(path)
    else:
        keras_archive(path)
    whole, rng = path.read_bytes(), np.random.default_rng(0)
    refused = 0
    for number in range(150):
        damaged = bytearray(whole)
        for position in rng.integers(0, len(whole), 1 + number % 20):
            damaged[position] = rng.integers(256)
        # A file of its own each time: HDF5 keeps what it knows about an open one.
        target = tmp_path / f"{number}_{kind}"
        target.write_bytes(damaged)
        try:
            for tensor in read_checkpoint(target).tensors.values():
                tensor.load()
        except CheckpointError:
            refused += 1
    assert refused > 20
