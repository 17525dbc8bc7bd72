"""What must hold before TensorFlow is imported, and which examples cannot run here."""

import gc
import os
import re
from importlib.util import find_spec

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
# Both as `efn_compose.quiet_import` does, which tests do without.
os.environ.setdefault("TF_FLAG_graph_building_optimization", "true")
gc.set_threshold(50_000, 10, 3)
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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip docstring examples that read weights which a plain installation does not have."""
    for item in items:
        if isinstance(item, pytest.DoctestItem):
            text = "".join(example.source for example in item.dtest.examples)
            for package in re.findall(r"package:(\w+)", text):
                if find_spec(package) is None:
                    item.add_marker(pytest.mark.skip(reason="extra `demo` is not installed"))
