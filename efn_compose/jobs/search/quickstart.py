"""The quickstart, and what becomes of its numbers of images where it is given other images than its own."""

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path

from efn_compose.config import RunConfig, load_config
from efn_compose.data.sources import load_table
from efn_compose.data.table import ImageTable
from efn_compose.settings.build import override_name

#: The experiment of a run without arguments.
QUICKSTART = Path(__file__).with_name("quickstart.toml")
_COUNTS = ("train_images", "validation_images", "test_images")


def or_quickstart(
    config_path: str | os.PathLike[str] | None, overrides: Sequence[str]
) -> str | os.PathLike[str] | None:
    """Return the configuration file of a run: the quickstart's where no file and no donors are named.

    Args:
        config_path: The file that was named, or None.
        overrides: "section.key=value" each.

    Example:
        >>> or_quickstart(None, ["donors.files=a.h5"]), or_quickstart(None, []) == QUICKSTART
        (None, True)
    """
    if config_path is None and "donors.files" not in map(override_name, overrides):
        return QUICKSTART
    return config_path


def fitted_to_images(config: RunConfig) -> tuple[RunConfig, tuple[str, ...], ImageTable | None]:
    """Return the quickstart's configuration with numbers of images that its source has.

    Its numbers are those of its digits. Where only the source is another one, and has fewer images
    or more classes than fit, all of its images are taken. Numbers that a person gave stay.

    Args:
        config: The quickstart's, perhaps with other settings.

    Returns:
        The configuration, notes about it, and the images where they had to be listed.

    Raises:
        DataError: The source is missing or damaged.
    """
    own: RunConfig = load_config(QUICKSTART)
    counts = [getattr(config.data, name) for name in _COUNTS]
    is_other = config.data.source != own.data.source
    if not is_other or counts != [getattr(own.data, name) for name in _COUNTS]:
        return config, (), None
    table = load_table(config.data.source, config.data.columns, config.data.folder)
    # Whole patients rarely give a number exactly; twice as many images leave room.
    needed = sum(counts) * (1 if table.groups is None else 2)
    if needed <= len(table) and len(table.class_names) <= min(counts):
        return config, (), table
    words = (
        f"The quickstart's {' + '.join(map(str, counts))} images do not fit {table.name}, which has "
        f"{len(table)} of {len(table.class_names)} classes: all are taken, 60 % train, 20 % decide and "
        "20 % are kept for the verdict."
    )
    data = dataclasses.replace(config.data, train_images=0, validation_images=0, test_images=0)
    return dataclasses.replace(config, data=data), (words,), table
