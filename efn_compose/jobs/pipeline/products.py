"""What a chapter wrote, known by its hash: whether it is there, and whether anybody changed it."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from efn_compose.errors import RunError, describe_problems
from efn_compose.store.file_hash import file_sha256

#: Files of a run folder that differ between equal runs, or are drawn again at will.
_FREE = {"lock", "environment.json", "report.html"}
#: Digits of a hash that a message shows.
_SHOWN = 12


def fingerprint(path: Path) -> str | None:
    """Return the SHA-256 of a file, or of all results in a run folder; None if it is not there.

    Args:
        path: A file or a folder.
    """
    if path.is_file():
        return file_sha256(path)
    if not path.is_dir():
        return None
    whole = hashlib.sha256()
    for file in sorted(path.rglob("*")):
        if file.is_file() and file.name not in _FREE and not file.name.endswith(".partial"):
            whole.update(f"{file.relative_to(path).as_posix()}\0".encode())
            whole.update(bytes.fromhex(file_sha256(file)))
    return whole.hexdigest()


def check_products(folder: Path, done: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuse what somebody has removed or changed since a chapter wrote it.

    Args:
        folder: The pipeline's.
        done: The journal's line of each chapter that has ended.

    Raises:
        RunError: Every product that is missing or has another hash than when it was written.
    """
    problems = []
    for name, line in done.items():
        for kind, relative in line["products"].items():
            path, wanted = folder / relative, line["hashes"][kind]
            found = fingerprint(path)
            if found is None:
                problems.append(f"- {path}: the {kind} of chapter {name} is missing")
            elif found != wanted:
                problems.append(
                    f"- {path}: the {kind} of chapter {name} is not what the chapter wrote. "
                    f"SHA-256 expected: {wanted[:_SHOWN]}…, found: {found[:_SHOWN]}…"
                )
    if problems:
        raise RunError(
            describe_problems(
                f"{folder}: products of chapters have changed; nothing was run.",
                problems,
                "Later chapters may have read these files. Put them back, or begin anew in another "
                "folder (-o NEW).",
            )
        )
