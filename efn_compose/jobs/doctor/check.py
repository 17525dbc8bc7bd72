"""One thing looked at on a machine, and what a script finds in a process of its own."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from typing import Any, Literal

PROBE_SECONDS = 180
#: Why there is no answer of a script that may only be slow, on a busy machine or a cold disk.
TOO_SLOW = f"no answer within {PROBE_SECONDS} s"


@dataclass(frozen=True)
class Check:
    """One thing looked at.

    Args:
        name: What.
        status: How it is.
        found: The result, in words.
        advice: What to do about it; empty where it is good.
    """

    name: str
    status: Literal["good", "warning", "failure"]
    found: str
    advice: str = ""


def probe(script: str) -> tuple[dict[str, Any] | None, str]:
    """Run Python in a process of its own, so that a crash there is seen and not shared.

    Args:
        script: Prints a JSON object last.

    Returns:
        That object, or None and the reason why there is none.

    Example:
        >>> probe("print('{}')")
        ({}, '')
    """
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    try:
        result = subprocess.run(
            [sys.executable, "-c", script],
            capture_output=True,
            text=True,
            timeout=PROBE_SECONDS,
            env=environment,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return None, TOO_SLOW
    if result.returncode < 0:
        return None, f"crashed with signal {-result.returncode} (4: the processor lacks AVX)"
    try:
        return json.loads(result.stdout.strip().splitlines()[-1]), ""
    except (ValueError, IndexError):
        last = (result.stderr.strip().splitlines() or ["no output"])[-1]
        return None, last
