"""A relay: run a leg and write its parcel; accept a parcel and go on."""

import getpass
import json
import os
import platform
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from efn_compose.analysis.page.legs_page import write_legs_page
from efn_compose.config import load_config
from efn_compose.errors import ConfigError, RunError, describe_problems
from efn_compose.jobs.donor_entries import split_entry
from efn_compose.jobs.relay.accepting import check_images, check_versions, moved_config, settle
from efn_compose.jobs.relay.deadline import Deadline, TimeIsUp
from efn_compose.jobs.relay.legs import (
    Leg,
    OpenLeg,
    check_chain,
    check_follows,
    close_leg,
    open_leg,
    read_legs,
    write_legs,
)
from efn_compose.jobs.relay.parcel import (
    IMAGES_FILE,
    INPUTS,
    RUN,
    read_manifest,
    run_files,
    state_hash,
    unpack,
    write_parcel,
)
from efn_compose.jobs.relay.relayed import RelayedJob, relayed_job
from efn_compose.store import read_journal, write_text
from efn_compose.store.atomic import check_writable, remove_partial_files
from efn_compose.store.environment import describe_environment
from efn_compose.store.lock import FolderLock
from efn_compose.store.run_folder import CONFIG_FILE, JOURNAL_FILE, LOCK_FILE


@dataclass(frozen=True)
class LegSummary:
    """The result of a leg.

    Args:
        folder: The run folder.
        parcel: The file that hands the run on; None where none was asked for.
        legs: All legs so far, this one last.
        result: What the job returned; None where time was up before its end.
        notes: What the next one, or this one, should know.
    """

    folder: Path
    parcel: Path | None
    legs: Sequence[Leg]
    result: Any
    notes: Sequence[str] = ()


def run_leg(
    verb: str,
    config_path: str | os.PathLike[str] | None = None,
    overrides: Sequence[str] = (),
    *,
    hours: float = 0.0,
    parcel: str | os.PathLike[str] | None = None,
    resume: bool = False,
    quiet: bool = False,
) -> LegSummary:
    """Run a job until its end or until its hours are over, and write the parcel.

    Args:
        verb: "train", "pretrain" or "evolve".
        config_path: As for the verb.
        overrides: As for the verb; `run.path` must be set, here or in the file.
        hours: The leg ends before; 0: whenever the job is done.
        parcel: The file to write; it is written too when the job is done.
        resume: Go on with the run folder's run.
        quiet: Draw no progress.

    Raises:
        EfnComposeError: As the verb's function; or the folder changed outside of the relay.

    Example:
        >>> run_leg("train", "my.toml", hours=29.9, parcel="out.efn")  # doctest: +SKIP
    """
    config = None if config_path is None else os.fspath(config_path)
    return _run_leg(verb, config, overrides, Deadline(hours), parcel, resume, quiet)


def _run_leg(
    verb: str,
    config: str | None,
    overrides: Sequence[str],
    clock: Deadline,
    parcel: str | os.PathLike[str] | None,
    resume: bool,
    quiet: bool,
) -> LegSummary:
    job = relayed_job(verb)
    settings = load_config(job.file(config, overrides), overrides, job.stored.schema)
    if not settings.run.path:
        raise ConfigError("A leg needs a run folder of its own name: -o FOLDER.")
    folder = Path(settings.run.path)
    _check_parcel(parcel, folder)
    if parcel is not None:
        _check_inputs(job, settings)
    legs = read_legs(folder) if resume else []
    before = legs[-1].state_after if legs else ""
    # A leg that was killed began where the one before it ended.
    begun, start = dict(legs[-1].ended) if legs else _done(folder), time.monotonic()
    if legs:
        _open(folder, legs[-1])
    result, digests = None, ""
    try:
        with clock as deadline:
            if parcel is not None and not (folder / IMAGES_FILE).exists():
                # Now, since reading all images may take longer than what is kept for the end.
                digests = json.dumps(dict(job.images(config, list(overrides))), indent=0)
            result = job.run(config, list(overrides), resume, quiet, deadline)
    except TimeIsUp:
        if not (folder / CONFIG_FILE).exists():
            raise RunError(
                f"{folder}: the hours were over before the run began. Give it more: --hours."
            ) from None
        if parcel is not None and not digests and not (folder / IMAGES_FILE).exists():
            raise RunError(
                f"{parcel}: was not written, since the hours were over before all images were read. "
                "Give it more: --hours."
            ) from None
    leg = Leg(
        number=len(legs) + 1,
        by=_user(),
        machine=_machine(),
        hours=round((time.monotonic() - start) / 3600, 4),
        begun=begun,
        ended=_done(folder),
        state_before=before,
        state_after=state_hash(folder),
    )
    legs = [*legs, leg]
    write_legs(folder, legs)
    close_leg(folder)
    write_legs_page(folder)
    path = None if parcel is None else Path(parcel)
    if digests:
        write_text(folder / IMAGES_FILE, digests)
    if path is not None:
        _pack(verb, job, folder, path, legs)
    return LegSummary(folder, path, legs, result)


def accept(
    parcel: str | os.PathLike[str],
    output: str | os.PathLike[str],
    overrides: Sequence[str] = (),
    *,
    hours: float = 0.0,
    next_parcel: str | os.PathLike[str] | None = None,
    only_check: bool = False,
    quiet: bool = False,
) -> LegSummary:
    """Check a parcel, put its run into a folder, and go on with it.

    Killed anywhere, it goes on by the same call.

    Args:
        parcel: The file.
        output: The run folder: a new one, or one that the parcel goes on from.
        overrides: Where the images are here (`data.source`), and settings that change no
            result, such as `executor.workers`.
        hours: As for `run_leg`.
        next_parcel: As `parcel` of `run_leg`.
        only_check: Write nothing.
        quiet: Draw no progress.

    Raises:
        RunError: The parcel is truncated or altered, its legs are out of order, or it was made by
            other versions.
        DataError: The images here are not those of the run; missing and other ones are named.

    Example:
        >>> accept("out.efn", "runs/mine", ["data.source=folder:photos"])  # doctest: +SKIP
    """
    # Reading all bytes of the parcel and all images takes its time, too.
    clock = Deadline(hours)
    manifest = read_manifest(parcel)
    legs = [Leg(**leg) for leg in manifest["legs"]]
    check_chain(legs, str(parcel))
    check_versions(manifest["environment"], str(parcel))
    folder = Path(output).expanduser()
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"-o {folder}: a file, not a folder. Name the run folder.")
    _check_parcel(next_parcel, folder)
    # Of this command, if it was killed here.
    begun = open_leg(folder, legs[-1].state_after)
    there = read_legs(folder) if begun is None else []
    if there:
        check_follows(there, legs, folder)
        _check_untouched(folder, there[-1])
    elif begun is None and run_files(folder):
        raise RunError(f"{folder}: not empty, and no run of this relay. Choose another folder.")
    job = relayed_job(manifest["verb"])
    config = moved_config(parcel, job, folder, manifest["inputs"], overrides)
    check_images(parcel, job, config, manifest["inputs"])
    notes = _differences(legs[-1].machine)
    if only_check:
        return LegSummary(folder, None, legs, None, notes)
    folder.mkdir(parents=True, exist_ok=True)
    with FolderLock(folder / LOCK_FILE):
        remove_partial_files(folder)
        if begun is None or not begun.is_unpacked:
            OpenLeg(legs[-1].state_after, is_unpacked=False).write(folder)
            # What an earlier leg left here and a later one removed.
            for name, path in run_files(folder).items():
                if f"{RUN}/{name}" not in manifest["files"]:
                    path.unlink()
            unpack(parcel, folder)
            _check_untouched(folder, legs[-1])
        settle(folder, job, config)
        OpenLeg(legs[-1].state_after, is_unpacked=True).write(folder)
    config_file, place = str(folder / CONFIG_FILE), [f"run.path={folder}"]
    done = _run_leg(manifest["verb"], config_file, place, clock, next_parcel, True, quiet)
    return LegSummary(done.folder, done.parcel, done.legs, done.result, notes)


def _check_parcel(parcel: str | os.PathLike[str] | None, folder: Path) -> None:
    """Refuse a place where no parcel can be written, before hours are spent."""
    if parcel is None:
        return
    path = Path(parcel)
    if path.resolve().is_relative_to(folder.resolve()):
        raise ConfigError(
            f"--parcel {path}: lies in the run folder, which is handed on as it is. Name a file elsewhere."
        )
    check_writable("--parcel", path)


def _open(folder: Path, last: Leg) -> None:
    """Begin a leg in a folder, or go on with one that was killed.

    Raises:
        RunError: The folder changed outside of the relay, or its parcel was not unpacked to the end.
    """
    begun = open_leg(folder, last.state_after)
    if begun is None:
        _check_untouched(folder, last)
        OpenLeg(last.state_after, is_unpacked=True).write(folder)
    elif not begun.is_unpacked:
        raise RunError(
            f"{folder}: its parcel was not unpacked to the end. Accept the parcel again: efn-compose "
            f"relay accept FILE -o {folder}"
        )


def _check_untouched(folder: Path, leg: Leg) -> None:
    """Raise `RunError` unless a folder holds what it held when a leg ended."""
    if state_hash(folder) != leg.state_after:
        raise RunError(
            f"{folder}: changed since leg {leg.number} ended, outside of the relay. Accept the "
            "parcel in a new folder."
        )


def _named_files(job: RelayedJob, settings: Any) -> dict[str, tuple[str, ...]]:
    """Return the entries of the settings that name files."""
    found = {}
    for name in job.files:
        section, _, key = name.partition(".")
        value = getattr(getattr(settings, section), key)
        found[name] = (value,) if isinstance(value, str) else tuple(value)
    return found


def _check_inputs(job: RelayedJob, settings: Any) -> None:
    """Refuse weights of several files, which no parcel holds, before hours are spent."""
    for name, entries in _named_files(job, settings).items():
        for file in (split_entry(entry)[1] for entry in entries if entry):
            path = Path(file)
            if path.is_dir() or (not path.exists() and Path(f"{path}.index").exists()):
                raise ConfigError(
                    f"{name}: {file} is no single file, and a parcel holds single files. Convert it: "
                    f"efn-compose convert {file} -o FILE.h5."
                )


def _pack(verb: str, job: RelayedJob, folder: Path, path: Path, legs: Sequence[Leg]) -> None:
    config = folder / CONFIG_FILE
    settings = job.stored.read(config.read_text(encoding="utf-8"))
    inputs: dict[str, Path] = {}
    moved: dict[str, list[str]] = {}
    for name, named in _named_files(job, settings).items():
        entries = []
        for entry in named:
            label, file = split_entry(entry)
            if not entry or not Path(file).is_file():
                entries.append(entry)  # empty, or package:NAME, which is installed there
                continue
            inside = f"{len(inputs)}/{Path(file).name}"
            inputs[inside] = Path(file)
            entries.append(f"{label}={INPUTS}/{inside}" if label else f"{INPUTS}/{inside}")
        moved[name] = entries
    manifest = {
        "verb": verb,
        "inputs": moved,
        "legs": [leg.to_json() for leg in legs],
        "environment": describe_environment() | {"command": []},
    }
    write_parcel(path, folder, inputs, manifest)


def _done(folder: Path) -> dict[str, int]:
    """Return how far a run is: lines of its journal, epochs of its trainings."""
    journal = folder / JOURNAL_FILE
    epochs = sum(
        len(path.read_text(encoding="utf-8").splitlines()) for path in folder.rglob("history.jsonl")
    )
    records = len(read_journal(journal).records) if journal.exists() else 0
    return {"journal": records} | ({"epochs": epochs} if epochs else {})


def _user() -> str:
    """Return who works, as the system calls them; in some containers nobody has a name."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return f"user {os.getuid()}"


def _machine() -> dict[str, Any]:
    found = describe_environment()
    return {
        "platform": found["platform"],
        "machine": found["machine"],
        "cores": found["cores"],
        "processor": platform.processor() or platform.machine(),
    }


def _differences(before: Mapping[str, Any]) -> list[str]:
    """Return what a result may differ by on this machine."""
    now = _machine()
    other = [
        f"{key}: {before.get(key)} there, {now[key]} here"
        for key in now
        if before.get(key) != now[key]
    ]
    if not other:
        return ["The machine is like the one before: results go on bit for bit."]
    return [
        describe_problems(
            "The machine is another one. Sums are rounded otherwise on other hardware, so results "
            "go on as one more training would, not bit for bit:",
            [f"- {line}" for line in other],
        )
    ]
