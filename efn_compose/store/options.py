"""The settings of a run's folder and seed."""

from dataclasses import dataclass, field


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
