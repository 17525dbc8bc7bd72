"""The states that killed trainings go on from. Each is kept until the journal has the training's line.

A worker leaves the state of a training that has ended. The job removes it, after the line: a process that
is killed between the two trains nothing again.
"""

from collections.abc import Iterable
from pathlib import Path

#: In a training's own folder. Its parts, such as the rounds of a student, have names that begin alike.
STATE_FILE = "state.npz"
#: Of a run whose trainings have no folders: their states by name.
STATES_FOLDER = "unfinished"


def forget_state(folder: Path) -> None:
    """Remove the state of a training that has a folder of its own."""
    state = Path(STATE_FILE)
    for path in folder.glob(f"{state.stem}*{state.suffix}"):
        path.unlink(missing_ok=True)


def state_of(states: str | Path, name: str) -> Path:
    """Return the file of the state of a training without a folder.

    Args:
        states: The run's folder of states.
        name: Of the training.

    Example:
        >>> state_of("runs/study/unfinished", "point0_fold0_seed1").name
        'point0_fold0_seed1.npz'
    """
    return Path(states) / f"{name}.npz"


def forget_states(states: Path, names: Iterable[str]) -> None:
    """Remove the states of trainings without folders. The folder stays: others may begin there."""
    for name in names:
        state_of(states, name).unlink(missing_ok=True)
