"""Arrays written behind the caller's back are in their places, whatever they are."""

import errno

import numpy as np
import pytest

from efn_compose.store.weights.write_behind import WriteBehind


@pytest.mark.slow
def test_bytes_are_where_they_were_sent(tmp_path):
    """Thousands of small arrays, large ones, empty ones and views, with and without gaps."""
    rng = np.random.default_rng(0)
    path = tmp_path / "values"
    path.write_bytes(expected := b"\xff" * 40_000_000)
    expected = bytearray(expected)
    sizes = [*rng.integers(0, 40, 3000), 3_000_000, 5, 0, 18_000_000, 7, *([260_000] * 9)]
    offset = 1000
    with WriteBehind(path) as file:
        for size in sizes:
            values = rng.integers(0, 256, (2, size), np.uint8).T[:, 0]
            offset += int(rng.integers(0, 100)) if rng.random() < 0.1 else 0
            file.write(offset, values)
            expected[offset : offset + size] = values.tobytes()
            offset += size
    assert path.read_bytes() == expected


def test_a_full_disk_is_an_error():
    with pytest.raises(OSError) as caught, WriteBehind("/dev/full") as file:
        for _ in range(4):
            file.write(0, np.zeros(1 << 20, np.uint8))
    assert caught.value.errno == errno.ENOSPC
