"""The journals of experiments: a line of JSON per measurement, appended as it is made."""

import json
from pathlib import Path
from typing import Any


def measured(journal: Path) -> list[dict[str, Any]]:
    """Return the measurements made so far; a line that a kill has torn is passed over.

    Args:
        journal: The file; a missing one holds none.
    """
    rows = []
    for line in journal.read_text(encoding="utf-8").splitlines() if journal.exists() else ():
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return rows
