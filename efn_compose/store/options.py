"""The settings of a run's folder and seed."""

import os
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class RunOptions:
    """The `[run]` section.

    Args:
        path: The run folder. Empty: `runs/` and the name of the configuration file.
        seed: Decides everything random in the run.
    """

    path: str = field(
        default="", metadata={"help": "run folder; empty: runs/ and the configuration's name"}
    )
    seed: int = field(
        default=1,
        metadata={
            "minimum": 0,
            "maximum": 2**31 - 1,
            "help": "seed of everything that is drawn at random",
        },
    )

    def folder(self, config_path: str | os.PathLike[str] | None, verb: str) -> Path:
        """Return the run folder.

        Args:
            config_path: The configuration file, None without one.
            verb: Names the folder of a run without path and file.

        Example:
            >>> RunOptions().folder("nets/mine.toml", "train").as_posix()
            'runs/mine'
            >>> RunOptions(path="here").folder("nets/mine.toml", "train").as_posix()
            'here'
        """
        if self.path:
            return Path(self.path).expanduser()
        return Path("runs") / (verb if config_path is None else Path(config_path).stem)
