"""The folder of one run: configuration, journal, results; written to by one process at a time."""

import json
import os
import tomllib
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from efn_compose.errors import ResumeMismatchError, RunError, describe_problems
from efn_compose.store.atomic import remove_partial_files, write_text
from efn_compose.store.environment import describe_environment
from efn_compose.store.journal import Journal, read_journal
from efn_compose.store.lock import FolderLock
from efn_compose.store.run_verb import CONFIG_FILE as CONFIG_FILE
from efn_compose.store.run_verb import ENVIRONMENT_FILE as ENVIRONMENT_FILE
from efn_compose.store.run_verb import resume_command

JOURNAL_FILE = "evaluations.jsonl"
LOCK_FILE = "lock"
#: Who did which part of a run that was handed on.
LEGS_FILE = "legs.jsonl"
LEGS_PAGE = "legs.html"
#: There while a leg runs that goes on from an earlier one.
OPEN_LEG_FILE = "leg.json"
RESULT_FILE = "result.json"
REPORT_FILE = "report.html"
CARD_FILE = "card.md"
WEIGHTS_FILE = "efn_magic_weights.h5"

#: Files that a folder may hold before a run begins in it: leftovers of a start that was killed.
_LEFTOVERS = (LOCK_FILE, CONFIG_FILE, JOURNAL_FILE)


def named_folder(path: str | os.PathLike[str]) -> Path:
    """Return the path of a folder that has a name, for titles and for names of other folders.

    "." and ".." have none, and are resolved; other paths stay as somebody wrote them.

    Example:
        >>> named_folder("runs/mine").as_posix(), named_folder(".") == Path.cwd()
        ('runs/mine', True)
    """
    folder = Path(path)
    return folder.resolve() if folder.name in ("", "..") else folder


class RunFolder:
    """A locked run folder; make one with `create` or `resume`, use it in a `with` block.

    `environment.json` is written last, so a folder that has it is a run and one that has
    not is none. It carries the identity: hashes of everything that decides the results.
    """

    def __init__(self, path: Path, lock: FolderLock, journal: Journal) -> None:
        self.path = path
        self.journal = journal
        self._lock = lock

    @classmethod
    def create(
        cls, path: str | os.PathLike[str], config_text: str, identity: Mapping[str, str]
    ) -> "RunFolder":
        """Begin a run in a new or empty folder.

        Args:
            path: The run folder; missing parents are made.
            config_text: The resolved configuration, TOML.
            identity: Hashes of configuration, donors and data, by name. Settings that
                may differ between a run and its resumption stay out of it.

        Raises:
            RunError: The folder holds a run or other files, or cannot be written. A folder
                that was there stays as it was.
            RunLockedError: Another process is just beginning a run there.

        Example:
            >>> with RunFolder.create("runs/first", text, identity) as run:  # doctest: +SKIP
            ...     run.journal.append({"genome": [0, 1], "loss": 0.31})
        """
        path = Path(path)
        with _readable_os_errors(path):
            _check_free_for_new_run(path)
        made = _make_folders(path)
        lock = None
        has_begun = False
        try:
            lock = FolderLock(path / LOCK_FILE)
            # Once more, now that nobody else can begin a run here.
            _check_free_for_new_run(path)
            has_begun = True
            remove_partial_files(path)
            write_text(path / CONFIG_FILE, config_text)
            journal = Journal(path / JOURNAL_FILE)
            environment = {
                "identity": dict(identity),
                "created": datetime.now(UTC).isoformat(timespec="seconds"),
                **describe_environment(),
            }
            write_text(path / ENVIRONMENT_FILE, _to_json(environment))
        except BaseException:
            if has_begun:
                for name in (ENVIRONMENT_FILE, JOURNAL_FILE, CONFIG_FILE):
                    (path / name).unlink(missing_ok=True)
            if lock is not None:
                lock.release()
            if has_begun and path in made:
                (path / LOCK_FILE).unlink(missing_ok=True)
            _remove_empty(made)
            raise
        return cls(path, lock, journal)

    @classmethod
    def resume(
        cls,
        path: str | os.PathLike[str],
        config_text: str,
        identity: Mapping[str, str],
        in_todays_words: Callable[[str], str] = str,
        free: Collection[str] = (),
    ) -> "RunFolder":
        """Open a run to go on with it; a torn last line of its journal is cut off.

        Args:
            path: The run folder.
            config_text: The resolved configuration, to show which settings differ.
            identity: As given to `create`.
            in_todays_words: Puts a stored configuration into the form of `config_text`, so that
                only settings that mean something else are shown.
            free: Sections of the configuration that may differ, and are not shown.

        Raises:
            ResumeMismatchError: The identity differs; every difference is listed.
            RunLockedError: Another process works in the folder.
            RunError: No run there, or its files are damaged.

        Example:
            >>> with RunFolder.resume("runs/first", text, identity) as run:  # doctest: +SKIP
            ...     len(run.journal)
            34
        """
        path = Path(path)
        with _readable_os_errors(path):
            _check_is_run(path)
        lock = FolderLock(path / LOCK_FILE)
        try:
            _check_identity(path, config_text, identity, in_todays_words, free)
            remove_partial_files(path)
            return cls(path, lock, Journal(path / JOURNAL_FILE))
        except BaseException:
            lock.release()
            raise

    @staticmethod
    def check_place(path: Path, resume: bool) -> None:
        """Refuse a folder that `create` or `resume` would refuse, before long work; writes nothing.

        Args:
            path: The run folder.
            resume: Whether a run is to go on there, or else to begin.

        Raises:
            RunError: The folder holds a run or other files, or where a run is to go on, none.
        """
        with _readable_os_errors(path):
            if resume:
                _check_is_run(path)
            else:
                _check_free_for_new_run(path)

    def __enter__(self) -> "RunFolder":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the journal and let go of the lock; closing twice does nothing."""
        self.journal.close()
        self._lock.release()

    @property
    def is_finished(self) -> bool:
        """Whether the verdict has been written."""
        return (self.path / RESULT_FILE).is_file()

    def write_text(self, name: str, text: str) -> None:
        """Write a file of the run atomically, in UTF-8."""
        write_text(self.path / name, text)

    def write_json(self, name: str, value: object) -> None:
        """Write a JSON file of the run atomically, keys sorted.

        Raises:
            RunError: A value is not JSON (NaN is not), or the file cannot be written.
        """
        write_text(self.path / name, _to_json(value))


@contextmanager
def _readable_os_errors(path: Path) -> Iterator[None]:
    """Turn the operating system's error about a path into ours."""
    try:
        yield
    except OSError as error:
        raise RunError(f"{path}: cannot be used ({error.strerror}).") from None


def _check_is_run(path: Path) -> None:
    if (path / ENVIRONMENT_FILE).is_file():
        return
    if _has_evaluations(path):
        raise RunError(
            f"{path}: {ENVIRONMENT_FILE} is missing, so nothing says whether the evaluations "
            "fit. Restore it, or choose another run path."
        )
    raise RunError(f"{path}: no run to resume there. Start it without --resume.")


def _check_free_for_new_run(path: Path) -> None:
    if (path / ENVIRONMENT_FILE).exists() or _has_evaluations(path):
        state = "a finished run" if (path / RESULT_FILE).exists() else "a run"
        count = _count_lines(path / JOURNAL_FILE)
        raise RunError(
            f"{path}: already holds {state} ({count}). Continue it with --resume, or choose "
            "another place: -o NEW (run.path)."
        )
    if path.exists() and not path.is_dir():
        raise RunError(f"{path}: a file, not a folder. Choose another run path.")
    if path.is_dir():
        foreign = sorted(
            entry.name
            for entry in path.iterdir()
            if entry.name not in _LEFTOVERS and not entry.name.endswith(".partial")
        )
        if foreign:
            raise RunError(
                f"{path}: not empty and not a run (it holds {', '.join(foreign[:5])}"
                f"{', …' if len(foreign) > 5 else ''}). Choose another run path."
            )


def _has_evaluations(path: Path) -> bool:
    """Return whether the journal is more than the empty file of a start that was killed."""
    file = path / JOURNAL_FILE
    return file.is_file() and file.stat().st_size > 0


def _count_lines(path: Path) -> str:
    try:
        lines = len(read_journal(path).records)
        return f"{lines} line{'' if lines == 1 else 's'} in its journal"
    except RunError:
        return "its journal is damaged"


def _make_folders(path: Path) -> list[Path]:
    """Make a folder and its parents; return those that were missing, deepest first."""
    with _readable_os_errors(path):
        missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        _remove_empty(missing)
        raise RunError(
            f"{path}: cannot be created ({error.strerror}). Choose another run path."
        ) from None
    return missing


def _remove_empty(folders: list[Path]) -> None:
    """Remove folders, deepest first, that nobody else has put anything into."""
    for folder in folders:
        with suppress(OSError):
            folder.rmdir()


def stored_identity(path: Path) -> dict[str, Any]:
    """Return the identity of the run in a folder.

    Raises:
        RunError: The folder's file is damaged, or has none.
    """
    environment = _read_json(path / ENVIRONMENT_FILE)
    stored = environment.get("identity") if isinstance(environment, dict) else None
    if not isinstance(stored, dict):
        raise RunError(f"{path / ENVIRONMENT_FILE}: damaged, it has no identity.")
    return stored


def _check_identity(
    path: Path,
    config_text: str,
    identity: Mapping[str, str],
    in_todays_words: Callable[[str], str],
    free: Collection[str],
) -> None:
    stored = stored_identity(path)
    problems = [
        f"- {key}: the run has {_short(stored.get(key))}, now {_short(identity.get(key))}"
        for key in sorted({*stored, *identity})
        if stored.get(key) != identity.get(key)
    ]
    if not problems:
        return
    problems += _changed_lines(path / CONFIG_FILE, config_text, in_todays_words, free)
    command = resume_command(path)
    own = f", or take the run's own settings: {command}" if command else ""
    raise ResumeMismatchError(
        describe_problems(
            f"{path}: the run was made with something else; its results would not fit.",
            problems,
            f"Restore these{own}. To start anew: -o NEW (run.path) without --resume.",
        )
    )


def _short(value: object) -> str:
    if value is None:
        return "none"
    text = str(value)
    return text if len(text) <= 20 else f"{text[:12]}…"


def _changed_lines(
    config_file: Path,
    config_text: str,
    in_todays_words: Callable[[str], str],
    free: Collection[str],
) -> list[str]:
    """Return the settings that differ, as `section.key = value` with a sign before it."""
    try:
        before = _settings(in_todays_words(config_file.read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return [f"- {config_file.name}: cannot be read"]
    now = _settings(config_text)
    changed = []
    for key in sorted({*before, *now}):
        # A run may be moved.
        may_differ = key == "run.path" or key.partition(".")[0] in free
        if before.get(key) != now.get(key) and not may_differ:
            changed.append(
                f"≠ {key}: the run has {before.get(key, 'none')}, now {now.get(key, 'none')}"
            )
    return changed


def _settings(text: str) -> dict[str, str]:
    settings: dict[str, str] = {}

    def collect(prefix: str, table: Mapping[str, Any]) -> None:
        for key, value in table.items():
            if isinstance(value, dict):
                collect(f"{prefix}{key}.", value)
            else:
                settings[f"{prefix}{key}"] = repr(value)

    collect("", tomllib.loads(text))
    return settings


def _to_json(value: object) -> str:
    try:
        return (
            json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"
        )
    except (TypeError, ValueError) as error:
        raise RunError(f"Not a JSON value ({error}).") from None


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise RunError(f"{path}: damaged ({error}).") from None
