"""A chapter's time is that of all its attempts, those included that were stopped or killed."""

import os
import time

import pytest

from efn_compose.jobs.pipeline.attempts import attempting
from efn_compose.store import RunFolder


def test_stopped_and_killed_attempts_count(tmp_path):
    with RunFolder.create(tmp_path / "run", "", {}) as folder:
        with attempting(folder, "other"):
            pass
        # Killed: its last file came 7 seconds after it had begun, another one long before.
        (folder.path / "many" / "b0").mkdir(parents=True)
        begun = time.time() - 100
        for name, after in (("b0/history.jsonl", 7), ("config.toml", -50)):
            (folder.path / "many" / name).touch()
            os.utime(folder.path / "many" / name, (begun + after, begun + after))
        folder.journal.append({"event": "begun", "of": "many", "timing": {"at": begun}})
        with pytest.raises(KeyboardInterrupt), attempting(folder, "many"):
            time.sleep(0.05)
            raise KeyboardInterrupt
        # Killed before it wrote anything: no file is later than its beginning.
        folder.journal.append({"event": "begun", "of": "many", "timing": {"at": begun + 50}})
        with attempting(folder, "many") as attempt:
            found = attempt.timing()
    assert found["seconds"] == pytest.approx(7.05, abs=0.04)
    assert found["attempts"] == 4
