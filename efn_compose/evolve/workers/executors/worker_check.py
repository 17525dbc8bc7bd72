"""Whether a worker runs the same code as the driver, before it is given any work."""

import functools
import hashlib
import os
import platform
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import efn_compose
from efn_compose.errors import describe_problems
from efn_compose.evolve.workers.table import EXECUTORS

#: Packages whose versions decide scores, down to their last bits, and those of executors.
_PACKAGES = (
    *("tensorflow", "keras", "numpy"),
    *(package for kind in EXECUTORS.values() for package in kind.packages),
)


def describe_process() -> dict[str, str]:
    """Return the versions that must be equal on all nodes, and this process' place; imports nothing heavy.

    Example:
        >>> sorted(describe_process())
        ['efn_compose', 'host', 'keras', 'machine', 'numpy', 'python', 'ray', 'tensorflow']
    """
    return {
        "host": f"{platform.node()}, process {os.getpid()}",
        "python": ".".join(platform.python_version_tuple()[:2]),
        "machine": platform.machine(),
        **{name: _version(name) for name in _PACKAGES},
        "efn_compose": code_hash(),
    }


def differences(ours: Mapping[str, str], theirs: Mapping[str, str]) -> list[str]:
    """Return the differences between two processes, their places left out.

    Example:
        >>> differences({"keras": "3.15", "host": "a"}, {"keras": "3.14", "host": "b"})
        ['keras: 3.14 there, 3.15 here']
    """
    return [
        f"{key}: {theirs.get(key, 'unknown')} there, {value} here"
        for key, value in ours.items()
        if key != "host" and theirs.get(key) != value
    ]


def describe_mismatch(host: str, found: Iterable[str]) -> str:
    """Return the message for a worker that runs something else."""
    return describe_problems(
        f"The worker on {host} does not run what this process runs; its scores would not fit.",
        [f"- {difference}" for difference in found],
        "Install the same versions and the same efn_compose on every node, then resume the run.",
    )


@functools.cache
def code_hash() -> str:
    """Return a short SHA-256 of this package's source files."""
    root = Path(efn_compose.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*.py")):
        digest.update(str(path.relative_to(root)).encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "none"
