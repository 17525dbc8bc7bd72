"""The parcel: a run folder and what it needs, in one file that is whole or refused.

An archive (ZIP, stored) with `manifest.json` first. The manifest has the SHA-256 of every other
entry, and `manifest.sha256` that of the manifest. Nothing in a parcel is ever run.
"""

import hashlib
import json
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from efn_compose.errors import RunError
from efn_compose.store import atomic_path
from efn_compose.store.atomic import remove_partial_files
from efn_compose.store.file_hash import file_sha256
from efn_compose.store.run_folder import (
    CONFIG_FILE,
    ENVIRONMENT_FILE,
    LEGS_FILE,
    LEGS_PAGE,
    LOCK_FILE,
    OPEN_LEG_FILE,
    REPORT_FILE,
)

MANIFEST, CHECK = "manifest.json", "manifest.sha256"
#: Digest of every image by its name, in the run folder.
IMAGES_FILE = "images.json"
#: Folders inside the archive: the run folder, and files that the configuration names.
RUN, INPUTS = "run", "inputs"
_VERSION = 1
_PIECE = 1 << 20
#: What belongs to this folder alone.
_STAYS = (LOCK_FILE, OPEN_LEG_FILE)
#: What accepting a parcel writes anew, so that it is no part of a run's state.
_NO_STATE = (CONFIG_FILE, ENVIRONMENT_FILE, LEGS_FILE, LEGS_PAGE, REPORT_FILE, IMAGES_FILE)


def run_files(folder: Path) -> dict[str, Path]:
    """Return the files of a run folder that are handed on, by name inside the folder.

    Those that the configuration names are not among them: they travel as inputs of the next parcel.
    """
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        stays = name in _STAYS or name.startswith(f"{INPUTS}/")
        if path.is_file() and not stays and not name.endswith((".partial", ".lock")):
            found[name] = path
    return found


def state_hash(folder: Path) -> str:
    """Return the hash of all files of a run folder that are its state."""
    lines = [
        f"{name} {file_sha256(path)}\n"
        for name, path in run_files(folder).items()
        if name not in _NO_STATE
    ]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def write_parcel(
    path: str | os.PathLike[str],
    folder: Path,
    inputs: Mapping[str, Path],
    manifest: Mapping[str, Any],
) -> None:
    """Write a parcel, atomically.

    Args:
        path: The file.
        folder: The run folder.
        inputs: Further files by their names in the parcel.
        manifest: JSON values that travel along.
    """
    names = {f"{RUN}/{name}": file for name, file in run_files(folder).items()}
    names |= {f"{INPUTS}/{name}": file for name, file in inputs.items()}
    hashes = {name: file_sha256(file) for name, file in names.items()}
    text = json.dumps({"parcel": _VERSION, **manifest, "files": hashes}, indent=1, sort_keys=True)
    needed = sum(file.stat().st_size for file in names.values())
    remove_partial_files(Path(path).parent, Path(path).name)
    with atomic_path(path, needed) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        archive.writestr(zipfile.ZipInfo(MANIFEST), text)
        archive.writestr(zipfile.ZipInfo(CHECK), hashlib.sha256(text.encode()).hexdigest())
        for name, file in names.items():
            with (
                open(file, "rb") as source,
                archive.open(zipfile.ZipInfo(name), "w", force_zip64=True) as to,
            ):
                while piece := source.read(_PIECE):
                    to.write(piece)


def read_manifest(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a parcel's manifest and check every byte of the parcel against it.

    Raises:
        RunError: No parcel, truncated, altered, or of a version that is not known.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            text = archive.read(MANIFEST)
            whole = hashlib.sha256(text).hexdigest() == archive.read(CHECK).decode("ascii")
            manifest: dict[str, Any] = json.loads(text)
            if not whole or manifest["parcel"] != _VERSION:
                what = "its manifest was altered" if not whole else "another version of parcels"
                raise RunError(f"{path}: {what}. Ask for the parcel again.")
            names = [name for name in archive.namelist() if name not in (MANIFEST, CHECK)]
            if sorted(names) != sorted(manifest["files"]):
                raise RunError(f"{path}: files were added or removed. Ask for the parcel again.")
            wrong = [
                n for n in names if not _is_safe(n) or _hash(archive, n) != manifest["files"][n]
            ]
            if wrong:
                raise RunError(
                    f"{path}: {wrong[0]} was altered on the way (one of {len(wrong)}). Ask for the "
                    "parcel again."
                )
            return manifest
    except FileNotFoundError:
        raise RunError(f"{path}: no such file.") from None
    except (OSError, zipfile.BadZipFile, ValueError, KeyError, TypeError, EOFError) as error:
        raise RunError(
            f"{path}: no whole parcel; it is truncated or damaged ({error}). Ask for it again."
        ) from None


def read_entry(path: str | os.PathLike[str], name: str) -> bytes:
    """Return a file of the run folder from a checked parcel."""
    with zipfile.ZipFile(path) as archive:
        return archive.read(f"{RUN}/{name}")


def unpack(path: str | os.PathLike[str], folder: Path, *, only: str = "") -> None:
    """Write the files of a checked parcel into a folder: the run's files, and `inputs/`.

    Args:
        path: The parcel, checked by `read_manifest`.
        folder: An existing folder; files of the same name are replaced, each atomically.
        only: The beginning of the names that are unpacked.
    """
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            if name in (MANIFEST, CHECK) or not name.startswith(only):
                continue
            target = folder / name.removeprefix(f"{RUN}/")
            target.parent.mkdir(parents=True, exist_ok=True)
            with (
                atomic_path(target, archive.getinfo(name).file_size) as temporary,
                open(temporary, "wb") as to,
                archive.open(name) as source,
            ):
                while piece := source.read(_PIECE):
                    to.write(piece)


def _hash(archive: zipfile.ZipFile, name: str) -> str:
    with archive.open(name) as file:
        digest = hashlib.sha256()
        while piece := file.read(_PIECE):
            digest.update(piece)
        return digest.hexdigest()


def _is_safe(name: str) -> bool:
    """Return whether a name stays inside the folder that it is unpacked into."""
    path = PurePosixPath(name)
    # Of "run//etc/x" an absolute path would be left, once the archive's own folder is taken off.
    is_plain = path.as_posix() == name and ".." not in path.parts and "\\" not in name
    return is_plain and len(path.parts) > 1 and path.parts[0] in (RUN, INPUTS)
