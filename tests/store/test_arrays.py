"""Archives of arrays: a flipped bit anywhere is an error, also where numpy stops before the checksum."""

import numpy as np
import pytest

from efn_compose.errors import RunError
from efn_compose.store.arrays import read_arrays, read_sealed, seal, write_arrays

ARRAYS = {"a": np.arange(60, dtype=np.float32), "b": np.array(7), "key": np.array("text")}


@pytest.fixture
def path(tmp_path):
    write_arrays(tmp_path / "a.npz", ARRAYS)
    return tmp_path / "a.npz"


def equal(found):
    return found.keys() == ARRAYS.keys() and all(
        values.dtype == ARRAYS[name].dtype and np.array_equal(values, ARRAYS[name])
        for name, values in found.items()
    )


def test_numpy_reads_what_is_written(path):
    with np.load(path) as file:
        assert equal({name: file[name] for name in file.files})
    assert equal(read_arrays(path)) and set(read_arrays(path, ["b", "none"])) == {"b"}


def test_a_shortened_header_is_damage_although_numpy_reads_it(path):
    write_arrays(path, {"a": np.arange(60_000)})
    path.write_bytes(path.read_bytes().replace(b"(60000,)", b"(20000,)"))
    with np.load(path) as file:
        assert file["a"].shape == (20_000,)  # Without this the refusal would prove nothing.
    with pytest.raises(RunError, match=r"a\.npz: 'a' cannot be read: .*CRC"):
        read_arrays(path)
    with pytest.raises(RunError, match="no such file"):
        read_arrays(path.with_name("none.npz"))


def test_no_flipped_bit_is_read_as_another_value(path):
    whole, refused = path.read_bytes(), 0
    for offset in range(len(whole)):
        content = bytearray(whole)
        content[offset] ^= 1 << offset % 8
        path.write_bytes(content)
        try:
            assert equal(read_arrays(path))
        except RunError:
            refused += 1
    assert refused > len(whole) / 2


def test_any_flipped_bit_of_a_sealed_array_is_damage_and_numpy_reads_the_array(tmp_path):
    path, values = tmp_path / "a.npy", np.arange(12, dtype=np.float16).reshape(3, 4)
    np.save(path, values)
    with pytest.raises(RunError):
        read_sealed(path)
    seal(path)
    whole = path.read_bytes()
    for found in (read_sealed(path), np.load(path), np.load(path, mmap_mode="r")):
        assert found.dtype == values.dtype and np.array_equal(found, values)
    for offset in range(len(whole)):
        content = bytearray(whole)
        content[offset] ^= 1 << offset % 8
        path.write_bytes(content)
        with pytest.raises(RunError, match=r"a\.npy: cannot be read"):
            read_sealed(path)
