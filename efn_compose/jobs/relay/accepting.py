"""What is checked of a parcel before a byte of its run is written, and how it finds its files."""

import dataclasses
import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from efn_compose.config import check_config, dump_toml
from efn_compose.errors import ConfigError, DataError, RunError, describe_problems
from efn_compose.jobs.donor_entries import split_entry
from efn_compose.jobs.relay.parcel import IMAGES_FILE, INPUTS, read_entry, unpack
from efn_compose.jobs.relay.relayed import RelayedJob
from efn_compose.settings.build import override_name, parse_toml
from efn_compose.store import write_text
from efn_compose.store.environment import package_versions
from efn_compose.store.run_folder import CONFIG_FILE, ENVIRONMENT_FILE

#: Packages whose version decides what a run computes.
_DECIDING = ("efn_compose", "tensorflow", "keras", "numpy")
#: Images that a message lists.
_LISTED = 10


def check_versions(environment: Mapping[str, Any], where: str) -> None:
    """Raise `RunError` unless this machine has the versions that the run was made with."""
    here, there = package_versions(), environment.get("packages", {})
    other = [
        f"- {name}: {there.get(name)} in the parcel, {here.get(name)} here"
        for name in _DECIDING
        if there.get(name) != here.get(name)
    ]
    if other:
        raise RunError(
            describe_problems(
                f"{where}: made by other versions, which compute otherwise.",
                other,
                "Install the versions of the parcel.",
            )
        )


def moved_config(
    parcel: str | os.PathLike[str],
    job: RelayedJob,
    folder: Path,
    inputs: Mapping[str, Sequence[str]],
    overrides: Sequence[str],
) -> Any:
    """Return the run's configuration with the paths that hold here.

    Args:
        parcel: The checked parcel.
        job: Which settings are paths.
        folder: The run folder to be.
        inputs: Entries of the settings that name files of the parcel.
        overrides: Places of images, and settings that never change a result.

    Raises:
        ConfigError: An override would change the result.
    """
    config = job.stored.read(read_entry(parcel, CONFIG_FILE).decode("utf-8"))
    changes: dict[str, Any] = {"run.path": str(folder.resolve())}
    for name, entries in inputs.items():
        placed = [_placed(entry, folder) for entry in entries]
        kept = _get(config, name)
        changes[name] = placed[0] if isinstance(kept, str) else tuple(placed)
    for name, value in changes.items():
        section, _, key = name.partition(".")
        part = dataclasses.replace(getattr(config, section), **{key: value})
        config = dataclasses.replace(config, **{section: part})
    for override in overrides:
        name = override_name(override)
        is_free = name.partition(".")[0] in job.stored.free and name != "run.seed"
        if not is_free and name not in job.sources:
            raise ConfigError(
                f"{override}: would change the run, or is none of its settings. A relay may change "
                f"where images are ({', '.join(job.sources)}) and the sections "
                f"{', '.join(job.stored.free)}, but not run.seed."
            )
    checked, problems = check_config(parse_toml(dump_toml(config)), overrides, job.stored.schema)
    if problems:
        lines = [f"- {problem}" for problem in problems]
        raise ConfigError(describe_problems("--set cannot be used.", lines))
    return checked


def check_images(
    parcel: str | os.PathLike[str],
    job: RelayedJob,
    config: Any,
    inputs: Mapping[str, Sequence[str]],
) -> None:
    """Raise `DataError` unless the images here are those of the run, and what else the job refuses.

    Args:
        parcel: The checked parcel.
        job: Reads the images.
        config: Of `moved_config`.
        inputs: As there.
    """
    wanted: dict[str, str] = json.loads(read_entry(parcel, IMAGES_FILE))
    with tempfile.TemporaryDirectory() as place:
        # The job reads its weights too, which are still in the parcel.
        unpack(parcel, Path(place), only=f"{INPUTS}/")
        for name, entries in inputs.items():
            section, _, key = name.partition(".")
            placed = [_placed(entry, Path(place)) for entry in entries]
            value = placed[0] if isinstance(_get(config, name), str) else tuple(placed)
            part = dataclasses.replace(getattr(config, section), **{key: value})
            config = dataclasses.replace(config, **{section: part})
        text = Path(place) / "relay.toml"
        text.write_text(dump_toml(config), encoding="utf-8")
        named = " ".join(f"{name}=SOURCE" for name in job.sources if _get(config, name))
        _refuse_others(wanted, job.images(str(text), []), f"Name the right ones: --set {named}.")
        job.check(str(text))


def _refuse_others(wanted: Mapping[str, str], found: Mapping[str, str], advice: str) -> None:
    """Raise `DataError` unless images have the names and the digests of the run's."""
    missing = [name for name in wanted if name not in found]
    further = [name for name in found if name not in wanted]
    other = [name for name in wanted if name in found and found[name] != wanted[name]]
    problems = [
        f"- {len(names)} {what}: {', '.join(names[:_LISTED])}{_more(names)}"
        for names, what in (
            (missing, "missing here"),
            (other, "with other pixels"),
            (further, "here alone"),
        )
        if names
    ]
    if problems:
        raise DataError(
            describe_problems(
                f"The images here are not the {len(wanted)} of the run.",
                problems,
                advice,
            )
        )


def settle(folder: Path, job: RelayedJob, config: Any) -> None:
    """Let an unpacked run know its new paths: its configuration, and the hash of it.

    Args:
        folder: The run folder.
        job: How its configuration is kept.
        config: Of `moved_config`.
    """
    text = dump_toml(config)
    environment = json.loads((folder / ENVIRONMENT_FILE).read_text(encoding="utf-8"))
    environment["identity"]["config"] = job.stored.hash(text)
    write_text(folder / CONFIG_FILE, text)
    write_text(folder / ENVIRONMENT_FILE, json.dumps(environment, indent=2, sort_keys=True) + "\n")


def _placed(entry: str, folder: Path) -> str:
    """Return an entry whose file is in the parcel with its path in a folder."""
    label, file = split_entry(entry)
    if not file.startswith(f"{INPUTS}/"):
        return entry
    placed = str(folder.resolve() / file)
    return f"{label}={placed}" if label else placed


def _get(config: Any, name: str) -> Any:
    section, _, key = name.partition(".")
    return getattr(getattr(config, section), key)


def _more(names: Sequence[str]) -> str:
    return ", …" if len(names) > _LISTED else ""
