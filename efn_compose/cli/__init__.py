"""The command line: one file per verb. None of them computes anything itself."""

from efn_compose.cli.shared.command import main

__all__ = ["main"]
