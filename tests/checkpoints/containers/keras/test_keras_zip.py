"""Archives of Keras: paths, bombs, missing members, and damage anywhere."""

import zipfile

import numpy as np
import pytest
from keras_files import KERNEL, keras_archive, legacy_file, numbered_file, peak_bytes

from efn_compose.checkpoints.containers.containers import read_checkpoint
from efn_compose.checkpoints.containers.keras import keras_zip
from efn_compose.errors import CheckpointError, UnreadableCheckpointError, UnsafeCheckpointError


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
