"""Where things are in the repository, for tests that read its files or start processes in it."""

from pathlib import Path

SUPPORT = Path(__file__).resolve().parent
ROOT = SUPPORT.parents[1]
#: Small checkpoints that the original code wrote, with the answers that it gave.
RECORDED = ROOT / "tests" / "data"
