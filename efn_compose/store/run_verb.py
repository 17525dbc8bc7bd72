"""The verb that a run folder is of, and the command that goes on with it.

A run folder keeps its configuration, and each verb's configuration has sections of its own.
"""

import shlex
import tomllib
from pathlib import Path
from typing import Any

from efn_compose.errors import RunError

CONFIG_FILE = "config.toml"
ENVIRONMENT_FILE = "environment.json"

#: A verb and a section that its configuration has; those of a study hold those of a training.
_SECTIONS = {
    "pretrain": "pretrain",
    "study": "study",
    "ensemble": "ensemble",
    "policy": "policy",
    "train": "train",
    "evolve": "search",
}
#: Verbs whose first words on the command line are runs, so that their configuration is a flag.
_CONFIG_IS_FLAG = ("ensemble", "policy")


def verb_of(config_text: str) -> str | None:
    """Return the verb that a run's configuration is of; None where it does not tell.

    Args:
        config_text: As a run folder keeps it, TOML.

    Example:
        >>> verb_of("[study]\\nkind = 'grid'\\n[train]\\n"), verb_of("[many]\\nverb = 'train'")
        ('study', 'pipeline')
    """
    tables = _tables(config_text)
    if tables and all(isinstance(one, dict) and "verb" in one for one in tables.values()):
        return "pipeline"
    return next((verb for verb, section in _SECTIONS.items() if section in tables), None)


def verb_of_folder(path: Path) -> str | None:
    """Return the verb that a run folder is of; None where its configuration does not tell.

    Args:
        path: The run folder.
    """
    return verb_of(_stored_text(path))


def refuse_other_verb(path: Path, config_text: str) -> None:
    """Refuse a folder that holds a run of another verb.

    Args:
        path: The run folder, there or not.
        config_text: The configuration of the run that is wanted there, TOML.

    Raises:
        RunError: The folder holds another verb's run.
    """
    verb = verb_of(config_text)
    found = verb_of_folder(path) if (path / ENVIRONMENT_FILE).is_file() else None
    if verb and found and found != verb:
        raise RunError(
            f"{path}: holds a run of `efn-compose {found}`, and `efn-compose {verb}` needs a folder "
            "of its own. Choose another place: -o NEW (run.path)."
        )


def resume_command(path: Path) -> str | None:
    """Return the command that goes on with a run by its own settings; None if its verb is not known.

    Args:
        path: The run folder.
    """
    text = _stored_text(path)
    verb = verb_of(text)
    if verb is None:
        return None
    words = ["efn-compose", verb]
    if verb == "study":
        words.append(str(_tables(text)["study"].get("kind", "grid")))
    if verb in _CONFIG_IS_FLAG:
        words.append("--config")
    # The folder is named, too: a stored configuration may leave its name open, and a run may be moved.
    return shlex.join([*words, str(path / CONFIG_FILE), "-o", str(path), "--resume"])


def _stored_text(path: Path) -> str:
    try:
        return (path / CONFIG_FILE).read_text(encoding="utf-8")
    except (OSError, ValueError):
        return ""


def _tables(text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except ValueError:
        return {}
