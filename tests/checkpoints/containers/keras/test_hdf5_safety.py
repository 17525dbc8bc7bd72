"""HDF5 that points elsewhere or lies about its size is refused before memory is spent."""

import json
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from keras_files import KERNEL, legacy_file, numbered_file, peak_bytes

from efn_compose.checkpoints.containers.keras import keras_h5
from efn_compose.checkpoints.containers.keras.hdf5_safety import walk_groups
from efn_compose.errors import UnreadableCheckpointError, UnsafeCheckpointError


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


@pytest.mark.slow
def test_a_heap_without_end_is_refused_where_the_library_never_returns(tmp_path):
    # A text attribute lies in a heap. Its first object is made one of no size: libhdf5 loops.
    with legacy_file(tmp_path / "w.h5") as file:
        file["stem_conv/stem_conv/kernel:0"] = KERNEL
        file.attrs["model_config"] = json.dumps({"class_name": "Functional", "config": {}})
    assert keras_h5.read(tmp_path / "w.h5").tensors
    content = bytearray((tmp_path / "w.h5").read_bytes())
    heap = content.index(b"GCOL")
    content[heap + 16 : heap + 48] = bytes(32)
    (tmp_path / "w.h5").write_bytes(content)
    code = f"import h5py; h5py.File({str(tmp_path / 'w.h5')!r}).attrs['model_config']"
    with pytest.raises(subprocess.TimeoutExpired):  # Else the refusal would prove nothing.
        subprocess.run([sys.executable, "-c", code], timeout=2)
    with pytest.raises(UnreadableCheckpointError, match="its texts have no end"):
        keras_h5.read(tmp_path / "w.h5")
