"""The configuration that a run folder keeps: read, hashed, and compared with the one given now.

`config.toml` holds every setting that was read when the run began, in the words of the version that
wrote it. Its hash stands in `environment.json`, so that a file that was edited is noticed. Whether a run
may go on is decided by what the file means today, not by its words.
"""

import hashlib
import tomllib
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from efn_compose.config import dump_toml
from efn_compose.errors import ResumeMismatchError, RunError, describe_problems
from efn_compose.settings.build import build
from efn_compose.settings.renamed import translate
from efn_compose.settings.values import NONE_WORD
from efn_compose.store.run_folder import CONFIG_FILE, RunFolder, stored_identity
from efn_compose.store.run_verb import refuse_other_verb

Config = TypeVar("Config")


@dataclass(frozen=True)
class StoredConfig(Generic[Config]):
    """How the runs of one kind of job keep their configuration.

    Args:
        schema: The configuration's dataclass, with its attribute `renamed`.
        free: Sections that never change a result, so that a resumed run may change them.
        nullable: "section.key" of the settings that were None in version 0.1, for its hash.
        later: Parts of the identity that runs of earlier revisions lack; there they are not compared.
    """

    schema: type[Config]
    free: Collection[str]
    nullable: Collection[str] = ()
    later: Collection[str] = ()

    def hash(self, text: str) -> str:
        """Return the hash of all settings that decide results.

        Args:
            text: A configuration as a run folder keeps it, TOML.
        """
        # As version 0.1 hashed it: the runs it made must be found unedited.
        return hashlib.sha256(repr(self._fixed(text)).encode()).hexdigest()

    def read(self, text: str) -> Config:
        """Return a stored configuration in today's settings.

        Args:
            text: As a run folder keeps it, written by this version or the one before.

        Raises:
            ResumeMismatchError: The run was made with settings that are gone.
        """
        tables = tomllib.loads(text)
        free = {name: tables.pop(name) for name in self.free if name in tables}
        rows = getattr(self.schema, "renamed", ())
        fixed, others = (
            translate((part,), rows, self.schema, is_stored=True) for part in (tables, free)
        )
        # What is gone from sections that never change a result stands in nobody's way.
        config, problems = build(self.schema, others.tables | fixed.tables, refuses_ignored=False)
        problems = [f"- {problem}" for problem in (*fixed.problems, *problems)]
        if problems:
            raise ResumeMismatchError(
                describe_problems(
                    "The run was begun by a version that had other settings.",
                    problems,
                    "Finish it with that version, or start anew: --set run.path=NEW without "
                    "--resume.",
                )
            )
        stored: Config = config
        return stored

    def in_todays_words(self, text: str) -> str:
        """Return a stored configuration as this version writes it."""
        return dump_toml(self.read(text))

    def resumed_identity(self, folder: Path, text: str, identity: dict[str, str]) -> dict[str, str]:
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
            is_unedited = self.hash(stored) == stored_identity(folder).get("config")
        except (OSError, ValueError, RunError):
            return identity  # whoever opens the folder says what is wrong with it
        known = stored_identity(folder)
        identity = {
            part: value
            for part, value in identity.items()
            if part in known or part not in self.later
        }
        if not is_unedited or self._fixed(self.in_todays_words(stored)) != self._fixed(text):
            return identity
        return {**identity, "config": self.hash(stored)}

    def check_place(self, folder: Path, config: Config, resume: bool | None) -> None:
        """Refuse a folder that `opened` would refuse, before images are read.

        Args:
            folder: The run folder.
            config: All settings.
            resume: Whether a run is to go on there, or else to begin; None asks nothing of the folder.

        Raises:
            RunError: The folder holds a run or none, as is not wanted, or one of another verb.
        """
        if resume is not None:
            refuse_other_verb(folder, dump_toml(config))
            RunFolder.check_place(folder, resume)

    def opened(
        self, folder: Path, config: Config, identity: dict[str, str], resume: bool
    ) -> RunFolder:
        """Begin a run in its folder, or go on with the one that is there.

        Args:
            folder: The run folder.
            config: All settings.
            identity: Hashes of all that decides the results.
            resume: Go on instead of beginning.

        Raises:
            RunError: The folder holds a run or none, as is not wanted, or one of another verb.
            ResumeMismatchError: The stored run is another one.
        """
        text = dump_toml(config)
        refuse_other_verb(folder, text)
        if not resume:
            return RunFolder.create(folder, text, identity)
        identity = self.resumed_identity(folder, text, identity)
        return RunFolder.resume(folder, text, identity, self.in_todays_words, self.free)

    def _fixed(self, text: str) -> dict[str, Any]:
        """Return the sections that decide results, lists as tuples."""
        return {
            section: {key: self._value(f"{section}.{key}", v) for key, v in table.items()}
            for section, table in tomllib.loads(text).items()
            if section not in self.free
        }

    def _value(self, name: str, value: object) -> Any:
        if isinstance(value, list):
            return tuple(value)
        return None if value == NONE_WORD and name in self.nullable else value
