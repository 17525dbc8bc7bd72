"""The configuration that a run folder keeps: read, hashed, and compared with the one given now.

`config.toml` holds every setting that was read when the run began, in the words of the version that
wrote it. Its hash stands in `environment.json`, so that a file that was edited is noticed. Whether a run
may go on is decided by what the file means today, not by its words.
"""

import hashlib
import tomllib
from pathlib import Path
from typing import Any

from efn_compose.config import RunConfig, dump_toml
from efn_compose.errors import ResumeMismatchError, RunError, describe_problems
from efn_compose.settings.build import build
from efn_compose.settings.renamed import translate
from efn_compose.store.run_folder import CONFIG_FILE, stored_identity

#: Sections that never change a result, so that a resumed run may change them.
_FREE_SECTIONS = ("run", "executor", "budget")


def config_hash(text: str) -> str:
    """Return the hash of all settings that decide results.

    Args:
        text: A configuration as a run folder keeps it, TOML.
    """
    # As version 0.1 hashed it: the runs it made must be found unedited.
    return hashlib.sha256(repr(_fixed(text)).encode()).hexdigest()


def read_stored(text: str) -> RunConfig:
    """Return a stored configuration in today's settings.

    Args:
        text: As a run folder keeps it, written by this version or the one before.

    Raises:
        ResumeMismatchError: The run was made with settings that are gone.
    """
    tables = tomllib.loads(text)
    free = {name: tables.pop(name) for name in _FREE_SECTIONS if name in tables}
    fixed, others = (
        translate((part,), RunConfig.renamed, RunConfig, is_stored=True) for part in (tables, free)
    )
    # What is gone from sections that never change a result stands in nobody's way.
    config, problems = build(RunConfig, others.tables | fixed.tables, refuses_ignored=False)
    problems = [f"- {problem}" for problem in (*fixed.problems, *problems)]
    if problems:
        raise ResumeMismatchError(
            describe_problems(
                "The run was begun by a version that had other settings.",
                problems,
                "Finish it with that version, or start anew: --set run.path=NEW without --resume.",
            )
        )
    stored: RunConfig = config
    return stored


def in_todays_words(text: str) -> str:
    """Return a stored configuration as this version writes it."""
    return dump_toml(read_stored(text))


def resumed_identity(folder: Path, text: str, identity: dict[str, str]) -> dict[str, str]:
    """Return an identity whose configuration is that of a stored run, where both mean the same.

    Args:
        folder: The run folder.
        text: Today's configuration, as it would be stored.
        identity: Hashes of all that decides the results now.

    Raises:
        ResumeMismatchError: The run was made with settings that are gone.
    """
    try:
        stored = (folder / CONFIG_FILE).read_text(encoding="utf-8")
        is_unedited = config_hash(stored) == stored_identity(folder).get("config")
    except (OSError, ValueError, RunError):
        return identity  # whoever opens the folder says what is wrong with it
    if not is_unedited or _fixed(in_todays_words(stored)) != _fixed(text):
        return identity
    return {**identity, "config": config_hash(stored)}


def _fixed(text: str) -> dict[str, Any]:
    """Return the sections that decide results, lists as tuples."""
    return {
        section: {k: tuple(v) if isinstance(v, list) else v for k, v in table.items()}
        for section, table in tomllib.loads(text).items()
        if section not in _FREE_SECTIONS
    }
