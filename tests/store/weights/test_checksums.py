"""What a weight file says is checked when it is read: a flipped bit is an error and not a result."""

import json
import shutil
import warnings
import zlib
from pathlib import Path

import h5py
import numpy as np
import pytest
from random_donors import TINY, random_donor

from efn_compose.cli import main
from efn_compose.donors import load_donor
from efn_compose.errors import (
    CheckpointError,
    UncheckedFileWarning,
    UnreadableCheckpointError,
    WeightFileError,
)
from efn_compose.models import build_model
from efn_compose.store import WeightFile
from efn_compose.store.weights.parts import Part

KEPT = Path(__file__).parent / "kept" / "weights_0_1_0.h5"
MAP = {"stem": np.arange(8) % 3}


@pytest.fixture(scope="module")
def donor():
    """Backbone, head and a further part."""
    kernel = np.random.default_rng(1).random((1, 1, 8, 4), np.float32)
    parts = {"decoder": Part({"decoder_conv/kernel": kernel})}
    return random_donor(TINY, 0, classes=3).replace(parts=parts)


@pytest.fixture
def path(donor, tmp_path):
    donor.save(tmp_path / "w.h5", donor_map=MAP)
    return tmp_path / "w.h5"


def flip(path, offset, bit=0):
    content = bytearray(path.read_bytes())
    content[offset] ^= 1 << bit
    path.write_bytes(content)


def test_checksums_are_the_crc_32_of_the_bytes_that_h5py_sees(path, donor):
    with h5py.File(path) as file:
        stored = json.loads(file.attrs["efn_compose_crc32"])
        header = file.attrs["efn_compose"].encode()
        found = {"efn_compose": zlib.crc32(header)}
        file.visititems(
            lambda name, node: (
                found.update({name: zlib.crc32(node[()].tobytes())})
                if isinstance(node, h5py.Dataset)
                else None
            )
        )
    assert set(donor.tensors) | {"decoder_conv/kernel", "donor_map/stem"} < set(found)
    assert stored == {name: f"{crc:08x}" for name, crc in found.items()}


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "float64"])
def test_every_tensor_is_checked_in_every_type(donor, tmp_path, dtype):
    from efn_compose.store import WeightHeader, write_weights

    path = tmp_path / f"{dtype}.h5"
    header = WeightHeader(donor.spec, donor.conventions, donor.classes, dtype=dtype)
    write_weights(path, header, donor.tensors)
    whole = path.read_bytes()
    with h5py.File(path) as file:
        places = {name: file[name].id.get_offset() for name in donor.tensors}
    for name, offset in places.items():
        flip(path, offset + 1)
        with WeightFile(path) as file:
            with pytest.raises(UnreadableCheckpointError) as error:
                file.read(name)
            assert f"{path}: {name}: its checksum is wrong" in str(error.value)
            assert "Fetch or write it again" in str(error.value)
            # The others are still there.
            for other in set(places) - {name}:
                assert np.isfinite(file.read(other)).all()
        path.write_bytes(whole)


def test_header_parts_and_donor_map_are_checked_too(path, donor):
    whole = path.read_bytes()
    with h5py.File(path) as file:
        part = file["decoder_conv/kernel"].id.get_offset()
        donors = file["donor_map/stem"].id.get_offset()
    for offset, words in (
        (whole.index(b'"bn_epsilon"') + 15, "efn_compose: its checksum"),
        (part, "decoder_conv/kernel: its checksum"),
        (donors, "donor_map/stem: its checksum"),
    ):
        flip(path, offset)
        with pytest.raises(UnreadableCheckpointError, match=words), WeightFile(path) as file:
            file.read_part("decoder")
            file.read_donor_map()
        path.write_bytes(whole)


def test_a_missing_or_unreadable_checksum_is_damage(path):
    with h5py.File(path, "r+") as file:
        stored = json.loads(file.attrs["efn_compose_crc32"])
        del stored["stem_conv/kernel"]
        file.attrs["efn_compose_crc32"] = json.dumps(stored)
    with pytest.raises(WeightFileError, match="no checksum: stem_conv/kernel"):
        WeightFile(path)
    with h5py.File(path, "r+") as file:
        file.attrs["efn_compose_crc32"] = "{nonsense"
    with pytest.raises(WeightFileError, match="damaged checksums"):
        WeightFile(path)


def test_a_file_that_h5py_packed_again_is_checked_too(path, donor, tmp_path):
    with h5py.File(path) as file, h5py.File(tmp_path / "packed.h5", "w") as packed:
        packed.attrs.update(file.attrs)
        for name in donor.tensors | donor.parts["decoder"].tensors:
            packed.create_dataset(name, data=file[name][()], compression="gzip")
    found = load_donor(tmp_path / "packed.h5")
    assert found.fingerprint == donor.fingerprint
    with h5py.File(tmp_path / "packed.h5", "r+") as packed:
        packed["stem_conv/kernel"][0, 0, 0, 0] += 1
    with pytest.raises(UnreadableCheckpointError, match="stem_conv/kernel: its checksum"):
        load_donor(tmp_path / "packed.h5")


def test_plain_keras_loads_a_checked_file(path, donor):
    model = build_model(donor.spec, donor.conventions, include_top=False)
    model.load_weights(path)
    kernel = model.get_layer("stem_conv").get_weights()[0]
    np.testing.assert_array_equal(kernel, donor.tensors["stem_conv/kernel"])


def test_an_old_file_loads_and_says_so_once(tmp_path, capsys):
    old = shutil.copy(KEPT, tmp_path / "old.h5")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        first, second = load_donor(old), load_donor(old)
    assert first.fingerprint == second.fingerprint
    assert [w.category for w in caught] == [UncheckedFileWarning]
    assert "old.h5 was written before" in str(caught[0].message)
    # The command says so in one line, and its advice works.
    assert main(["shrink", str(old), "--into", "b0", "-o", str(tmp_path / "no.h5")]) == 1
    assert main(["inspect", str(old), str(old)]) == 0
    said = capsys.readouterr().err.splitlines()
    assert [line for line in said if "checksums" in line][-1].startswith("note: ")
    first.save(old)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load_donor(old).fingerprint == first.fingerprint


@pytest.mark.slow
def test_no_flipped_bit_anywhere_in_the_file_changes_a_result(path, donor):
    """Of 150 bits all over a file each is an error, or the file says what it said."""
    whole, rng = path.read_bytes(), np.random.default_rng(0)
    with WeightFile(path) as file:
        header, donor_map = file.header.to_json(), file.read_donor_map()
    refused = 0
    for offset in rng.integers(0, len(whole), 150).tolist():
        flip(path, offset, int(rng.integers(8)))
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UncheckedFileWarning)
                found = load_donor(path)
                with WeightFile(path) as file:
                    read_map = file.read_donor_map()
                    assert file.header.to_json() == header
        except CheckpointError:
            refused += 1
        else:
            assert found.fingerprint == donor.fingerprint
            assert {n: v.tolist() for n, v in read_map.items()} == {
                n: v.tolist() for n, v in donor_map.items()
            }
        path.write_bytes(whole)
    assert refused > 40


def test_what_is_no_dataset_is_no_tensor(path):
    with h5py.File(path, "r+") as file:
        del file["stem_conv/kernel"], file["stem_bn/gamma"]
        file["stem_conv/kernel"] = np.dtype("f4")
        file.create_group("stem_bn/gamma")
    with pytest.raises(WeightFileError) as error:
        WeightFile(path)
    assert "no dataset: stem_conv/kernel" in str(error.value)
    assert "no dataset: stem_bn/gamma" in str(error.value)
