"""The exact commands that reproduce a run, go on with it, and redraw its report."""

import shlex

from efn_compose.analysis.reading.journal_view import RunView


def reproduce_command(run: RunView) -> str:
    """Return the command that makes the same run again in another folder."""
    again = run.path.with_name(f"{run.name}-again")
    return _evolve(run, f"--set {shlex.quote(f'run.path={again}')}")


def resume_command(run: RunView) -> str:
    """Return the command that goes on with the run."""
    return _evolve(run, f"--resume --set {shlex.quote(f'run.path={run.path}')}")


def report_command(run: RunView) -> str:
    """Return the command that draws the report again."""
    return f"efn-compose report {shlex.quote(str(run.path))}"


def _evolve(run: RunView, rest: str) -> str:
    config = shlex.quote(str(run.path / "config.toml"))
    return f"python -m efn_compose.evolve {config} {rest}"
