"""Look at Python, the installed packages, TensorFlow and the executors."""

import re
import shutil
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version

from efn_compose.evolve.workers.table import EXECUTORS
from efn_compose.jobs.doctor.check import TOO_SLOW, Check, probe

TENSORFLOW_PROBE = """
import json, time
start = time.perf_counter()
import tensorflow as tf, keras
devices = [
    {"kind": d.device_type, "name": tf.config.experimental.get_device_details(d).get("device_name", d.name)}
    for d in tf.config.list_physical_devices()
]
value = float(tf.reduce_sum(tf.matmul(tf.ones((64, 64)), tf.ones((64, 64)))))
print(json.dumps({
    "tensorflow": tf.__version__, "keras": keras.__version__, "backend": keras.backend.backend(),
    "devices": devices, "value": value, "seconds": time.perf_counter() - start,
}))
"""
EXECUTOR_PROBE = """
import json, time
start = time.perf_counter()
from efn_compose.evolve.workers.executor import executor_class
found = executor_class({kind!r}).try_out()
print(json.dumps({{"found": found, "seconds": time.perf_counter() - start}}))
"""


def check_python() -> Iterator[Check]:
    """Look at the interpreter."""
    found = ".".join(map(str, sys.version_info[:3]))
    is_good = sys.version_info >= (3, 11)
    yield Check(
        "Python",
        "good" if is_good else "failure",
        f"{found} at {sys.executable}",
        "" if is_good else "Install Python 3.11 or newer.",
    )


def check_packages() -> Iterator[Check]:
    """Compare installed versions with those that this package asks for."""
    try:
        wanted = [line for line in requires("efn_compose") or [] if "extra ==" not in line]
    except PackageNotFoundError:
        yield Check(
            "Packages", "warning", "efn_compose is not installed", "Install it: pip install -e ."
        )
        return
    for line in wanted:
        name = re.split(r"[^A-Za-z0-9._-]", line, maxsplit=1)[0]
        yield _check_package(name, line[len(name) :].strip())


def _check_package(name: str, bounds: str) -> Check:
    advice = f'pip install "{name}{bounds}"'
    try:
        found = version(name)
    except PackageNotFoundError:
        return Check(name, "failure", "missing", advice)
    try:
        from packaging.specifiers import SpecifierSet

        is_good = SpecifierSet(bounds).contains(found, prereleases=True)
    except ImportError:
        return Check(name, "good", f"{found} (asked for: {bounds}; not compared)")
    if is_good:
        return Check(name, "good", found)
    return Check(name, "failure", f"{found}, asked for: {bounds}", advice)


def check_tensorflow() -> Iterator[Check]:
    """Run TensorFlow in a process of its own, so that a crash of it is seen too."""
    found, problem = probe(TENSORFLOW_PROBE)
    if found is None:
        # To be slow is no failure: a search waits longer for its workers.
        yield Check(
            "TensorFlow runs",
            "warning" if problem == TOO_SLOW else "failure",
            problem,
            "Try again when machine and disk are less busy."
            if problem == TOO_SLOW
            else "Reinstall: pip install --force-reinstall --no-deps tensorflow",
        )
        return
    is_right = found["value"] == 64.0**3 and found["backend"] == "tensorflow"
    yield Check(
        "TensorFlow runs",
        "good" if is_right else "failure",
        f"{found['tensorflow']}, Keras {found['keras']} on {found['backend']}, "
        f"first result after {found['seconds']:.1f} s",
        "" if is_right else "Set KERAS_BACKEND=tensorflow and reinstall tensorflow.",
    )
    for kind in ("GPU", "TPU"):
        names = [device["name"] for device in found["devices"] if device["kind"] == kind]
        if names:
            yield Check(f"{kind}s", "good", f"{len(names)}: {', '.join(names)}")
    if all(device["kind"] == "CPU" for device in found["devices"]):
        if shutil.which("nvidia-smi"):
            yield Check(
                "GPUs",
                "warning",
                "nvidia-smi is there, but TensorFlow sees none",
                "pip install 'efn_compose[gpu]'",
            )
        else:
            yield Check("GPUs", "good", "none; evaluations run on the cores")


def check_executors() -> Iterator[Check]:
    """Start each executor that needs starting, in a process of its own, and let it answer."""
    for kind, line in EXECUTORS.items():
        if line.is_in_process:
            continue
        name = f"{kind.capitalize()} runs"
        answer, problem = probe(EXECUTOR_PROBE.format(kind=kind))
        if answer is None:
            yield Check(
                name,
                "warning",
                problem,
                "Without it: --set executor.kind=serial. It needs shared memory and free ports.",
            )
        else:
            found = f"{answer['found']}, first answer after {answer['seconds']:.1f} s"
            yield Check(name, "good", found)
