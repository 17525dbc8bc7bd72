"""Damaged files of every container: an error of ours, or what was written, within time and memory.

`experiments/mutations.py` is the same with thousands of files.
"""

import random
import resource
import time
import warnings

import pytest
from damage import mutate
from tiny_containers import CONTAINERS, equal, files_of

from efn_compose.errors import EfnComposeError, UncheckedFileWarning

#: Damaged files per container.
COUNT = 40


@pytest.mark.slow
@pytest.mark.parametrize("container", CONTAINERS)
def test_damage_is_an_error_of_ours_and_never_another_value(container, tmp_path):
    make, read, has_checksums = CONTAINERS[container]
    path = make(tmp_path)
    expected, files = read(path), files_of(path)
    chance, refused = random.Random(container), 0
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number in range(COUNT):
        # Larger files hold the values: index and header are as likely.
        file = chance.choice(files)
        whole = file.read_bytes()
        kind, content = mutate(whole, chance)
        where = f"{container} {number}: {kind} in {file.name}"
        file.write_bytes(content)
        start = time.monotonic()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UncheckedFileWarning)
                found = read(path)
        except EfnComposeError as error:
            assert str(error), where
            refused += 1
        else:
            assert equal(found, expected) or not has_checksums, where
        assert time.monotonic() - start < 5, where
        file.write_bytes(whole)
    assert refused >= COUNT // 8
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory
    assert grown < 100_000, f"{container}: {grown} kB more memory"
