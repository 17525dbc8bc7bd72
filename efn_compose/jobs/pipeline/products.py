"""What a stage wrote, known by its hash: whether it is there, and whether anybody changed it."""

import hashlib
from pathlib import Path

#: Files of a run folder that differ between equal runs, or are drawn again at will.
_FREE = {"lock", "environment.json", "report.html"}


def fingerprint(path: Path) -> str | None:
    """Return the hash of a file, or of all results in a run folder; None if it is not there.

    Args:
        path: A file or a folder.
    """
    if path.is_file():
        return hashlib.sha256(path.read_bytes()).hexdigest()
    if not path.is_dir():
        return None
    whole = hashlib.sha256()
    for file in sorted(path.rglob("*")):
        if file.is_file() and file.name not in _FREE and not file.name.endswith(".partial"):
            whole.update(f"{file.relative_to(path).as_posix()}\0".encode())
            whole.update(hashlib.sha256(file.read_bytes()).digest())
    return whole.hexdigest()
