"""What test files share: chance that can be repeated, and how files share processes."""

import os
import random
import sys
import time
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

collect_ignore = ["support"]

# How long drawing and running take says how busy the machine is, and nothing of what is tested.
settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")

#: Packages of the extra `parity` that tests compare with; tests that need an absent one are skipped.
TRUTHS = (
    "efficientnet_pytorch", "geffnet", "huggingface_hub", "keras_hub", "lightly", "onnx", "onnxscript",
    "safetensors", "skimage", "segmentation_models_pytorch", "timm", "torch", "torchvision", "transformers",
)  # fmt: skip

#: Files whose paths begin as in one line share a process, in this order: the first line a Ray, which
#: every file would start for itself; the last one the process that has imported TensorFlow and forks
#: commands. Searches come first there: they take one thread if nothing has used TensorFlow yet, and more
#: threads round otherwise.
TOGETHER = (
    ("tests/jobs/trainings/", "tests/jobs/study/", "tests/evolve/workers/"),
    (
        "tests/jobs/search/test_job.py",
        "tests/train/recipe/test_recipe.py",
        "tests/jobs/pipeline/test_pipeline.py",
    ),
)


@pytest.fixture
def chance() -> random.Random:
    """Return a generator with another seed each time; a failure prints how to repeat it."""
    seed = int(os.environ.get("TEST_SEED", time.time_ns() % 10**9))
    print(f"TEST_SEED={seed} repeats what this test drew.")
    return random.Random(seed)


@pytest.fixture(scope="module", autouse=True)
def _seeded() -> None:
    """Seed TensorFlow for each file: what tests draw does not depend on the files before."""
    if "tensorflow" in sys.modules:
        sys.modules["tensorflow"].random.set_seed(0)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Any:
    """Skip a test that compares with a library which is not installed."""
    try:
        return (yield)
    except ModuleNotFoundError as error:
        name = (error.name or "").partition(".")[0]
        if name not in TRUTHS:
            raise
        pytest.skip(f"extra `parity` is not installed: no {name}")


def pytest_make_parametrize_id(val: object) -> str | None:
    """Call a network by its name."""
    return getattr(val, "variant", None)


def _scope(nodeid: str) -> str:
    """Return what one process runs whole: the test's file, or the first of those it belongs to."""
    file = nodeid.partition("::")[0]
    return next((paths[0] for paths in TOGETHER if file.startswith(paths)), file)


def _place(nodeid: str) -> int:
    """Return the place of a test's file among those that share its process; 0 where none does."""
    paths = next((paths for paths in TOGETHER if nodeid.startswith(paths)), ())
    return next((number for number, path in enumerate(paths) if nodeid.startswith(path)), 0)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run what takes longest first, so that it is not left for one process at the end."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    first = [paths[0] for paths in TOGETHER]
    items.sort(
        key=lambda item: (
            item.path not in slow,
            _scope(item.nodeid) not in first,
            _place(item.nodeid),
        )
    )


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Give each file to one process, so that no fixture and no traced model is made twice."""
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return _scope(nodeid)

    return ByFile(config, log)
