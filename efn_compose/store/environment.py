"""Machine and versions of a run, so that a reader can judge whether it can be repeated."""

import os
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

#: Distributions whose versions decide the results of a run.
PACKAGES = (
    "efn_compose",
    "tensorflow",
    "keras",
    "tf_keras",
    "keras-cv",
    "numpy",
    "scipy",
    "scikit-learn",
    "h5py",
    "deap",
    "ray",
    "pillow",
    "rich",
)


def package_versions() -> dict[str, str | None]:
    """Return the installed version of each package that matters, None where missing.

    Reads metadata only; imports nothing.

    Example:
        >>> package_versions()["numpy"] is not None
        True
    """
    versions: dict[str, str | None] = {}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = None
    return versions


def describe_environment() -> dict[str, Any]:
    """Return Python, platform, cores, package versions and the source's git revision; JSON values.

    Example:
        >>> describe_environment()["python"].startswith("3.")
        True
    """
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "machine": platform.machine(),
        "cores": affine_cores(),
        "packages": package_versions(),
        "revision": git_revision(),
        "command": sys.argv,
    }


def usable_cores() -> int:
    """Return the number of cores that this process may keep busy, at least 1.

    Fewer than the machine has where a batch system or `taskset` gives some of them, or where a
    container is held to a quota.

    Example:
        >>> 1 <= usable_cores() <= os.cpu_count()
        True
    """
    quota = cpu_quota()
    return affine_cores() if quota is None else max(1, min(affine_cores(), int(quota)))


def affine_cores() -> int:
    """Return the number of cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cpu_quota(limit: Path = Path("/sys/fs/cgroup/cpu.max")) -> float | None:
    """Return the cores that the container may use, None where it sets no limit.

    Args:
        limit: The control group's file.
    """
    try:
        quota, period = limit.read_text().split()
        return None if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError):
        return None


def free_memory(
    machine: Path = Path("/proc/meminfo"), control: Path = Path("/sys/fs/cgroup")
) -> int | None:
    """Return the bytes of memory that can still be had, a container's limit included.

    Pages of files, which the system gives up when it must, can be had.

    Args:
        machine: Where the system tells of the machine's memory.
        control: Where it tells of the container's.

    Returns:
        None where the system does not say.
    """
    limits = []
    try:
        for line in machine.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                limits.append(int(line.split()[1]) * 1024)
    except (OSError, ValueError):
        pass
    try:
        limit = int((control / "memory.max").read_text())
        stat = dict(line.split() for line in (control / "memory.stat").read_text().splitlines())
        files = int(stat.get("active_file", 0)) + int(stat.get("inactive_file", 0))
        limits.append(limit - int((control / "memory.current").read_text()) + files)
    # "max" where there is no limit.
    except (OSError, ValueError):
        pass
    return min(limits, default=None)


def git_revision() -> str | None:
    """Return the commit of the checkout this code runs from, with "+changes" if it was edited."""
    folder = Path(__file__).resolve().parents[2]
    if not (folder / ".git").exists():
        return None
    try:
        commit = _git(folder, "rev-parse", "HEAD")
        edited = _git(folder, "status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.SubprocessError):
        return None
    return commit + ("+changes" if edited else "")


def _git(folder: Path, *arguments: str) -> str:
    result = subprocess.run(
        ["git", "-C", str(folder), *arguments],
        capture_output=True,
        text=True,
        check=True,
        timeout=10,
    )
    return result.stdout.strip()
