"""What must hold before TensorFlow is imported, and which examples cannot run here."""

import functools
import gc
import os
import re
import sys
import typing
from collections.abc import Iterator
from importlib.util import find_spec

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
# As `efn_compose.quiet_import` does, which tests do without.
os.environ.setdefault("TF_FLAG_graph_building_optimization", "true")
# Networks and graphs are mostly freed without the garbage collection, which looks at all that live: a
# thirtieth of all time. It waits for the end of a file that has left much.
gc.disable()
MUCH = 1_000_000
if sys.version_info < (3, 12):
    # TensorFlow asks of every operand whether it has a protocol's attributes, 9 us each: 3.12 keeps them.
    typing._get_protocol_attrs = functools.cache(typing._get_protocol_attrs)  # type: ignore[attr-defined]
# One thread each: tests run in several processes and start others, and executors promise equal
# bits for equal numbers of threads only.
for _variable in (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
):
    os.environ.setdefault(_variable, "1")


def pytest_collection_finish() -> None:
    """Let no garbage collection look through what all these imports left: a fifteenth of all time."""
    gc.freeze()
    gc.collect()  # of nothing: objects are counted from here


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    """Collect garbage between files, where so many objects more are alive than were."""
    yield
    if (nextitem is None or nextitem.path != item.path) and gc.get_count()[0] > MUCH:
        gc.collect()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip docstring examples that read weights which a plain installation does not have."""
    for item in items:
        if isinstance(item, pytest.DoctestItem):
            text = "".join(example.source for example in item.dtest.examples)
            for package in re.findall(r"package:(\w+)", text):
                if find_spec(package) is None:
                    item.add_marker(pytest.mark.skip(reason="extra `demo` is not installed"))
