"""TensorFlow without the messages that it prints while it is imported, and without what nobody here uses.

Its libraries write them to file descriptor 2 before any of its settings is read, so the
descriptor itself is turned away for the length of the import. Where the import fails they
come after all.
"""

import gc
import importlib.abc
import importlib.util
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from types import ModuleType

STANDARD_ERROR = 2
#: Keras imports these where they are installed: for scikit-learn's wrappers, galleries of images and
#: another library's data sets. Importing them takes more than a second, a quarter of the whole.
UNUSED = ("sklearn", "matplotlib", "grain")
#: How many objects more there are before Python looks for garbage among the young, and how often among
#: the older. By default it looks after 700, and a traced network has hundreds of thousands that stay.
SELDOM = (50_000, 10, 3)


class QuietFinder(importlib.abc.MetaPathFinder):
    """Finds one module as always, and silences its import.

    Args:
        name: The module.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: ModuleType | None = None,
    ) -> ModuleSpec | None:
        """Return the module's spec with a silenced loader; None for all other modules."""
        if fullname != self.name:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is not None and spec.loader is not None:
            run = spec.loader.exec_module

            def run_quietly(module: ModuleType) -> None:
                with silenced_descriptor(STANDARD_ERROR), absent(UNUSED):
                    run(module)

            spec.loader.exec_module = run_quietly  # type: ignore[method-assign]  # how a finder changes a loader
        return spec


@contextmanager
def silenced_descriptor(descriptor: int) -> Iterator[None]:
    """Drop what anything writes to a file descriptor; on an exception but Ctrl-C it comes after all."""
    kept = os.dup(descriptor)
    with tempfile.TemporaryFile() as caught:
        os.dup2(caught.fileno(), descriptor)
        try:
            yield
        except KeyboardInterrupt:
            raise
        except BaseException:
            caught.seek(0)
            os.write(kept, caught.read())
            raise
        finally:
            os.dup2(kept, descriptor)
            os.close(kept)


@contextmanager
def absent(names: Sequence[str]) -> Iterator[None]:
    """Let modules that are not imported yet seem not to be installed."""
    hidden = [name for name in names if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]  # None is how Python says so
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]


def import_tensorflow_quietly() -> None:
    """Silence the first import of TensorFlow in this process, whenever it comes; shorten it and tracing.

    For processes of our own only: what Keras makes of scikit-learn and Matplotlib is missing there.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # TensorFlow's own switch: operations are checked in C++ while a function is traced, not in Python.
    os.environ.setdefault("TF_FLAG_graph_building_optimization", "true")
    gc.set_threshold(*SELDOM)
    if "tensorflow" not in sys.modules:
        # Whichever is imported first imports the other.
        for name in ("keras", "tensorflow"):
            sys.meta_path.insert(0, QuietFinder(name))
