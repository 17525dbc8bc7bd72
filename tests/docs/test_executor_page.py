"""The task and the executor of docs/howto/executor.md work as the page says."""

import ast
import os
import re
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest
from executor_kinds import values
from nano_tasks import Answer, PlainSetup, Raiser
from repository import ROOT

from efn_compose.evolve.options import ExecutorOptions
from efn_compose.evolve.workers.evaluator import Evaluator
from efn_compose.evolve.workers.executor import make_executor
from efn_compose.evolve.workers.table import EXECUTORS, ExecutorKind
from efn_compose.evolve.workers.worker import Worker

TEXT = (ROOT / "docs" / "howto" / "executor.md").read_text(encoding="utf-8")
TASK, EXECUTOR = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)


def test_the_task_does_its_work_in_a_worker():
    names = {}
    exec(compile(TASK, "brightness.py", "exec"), names)
    worker = Worker()
    worker.data = SimpleNamespace(train_images=np.arange(10, dtype=np.uint8).reshape(10, 1, 1, 1))
    assert names["BrightnessTask"](5).run(worker) == 2.0


@pytest.fixture
def polite(tmp_path, monkeypatch):
    (tmp_path / "polite_executor.py").write_text(EXECUTOR)
    monkeypatch.syspath_prepend(tmp_path)
    (line,) = re.findall(r"\"polite\": (ExecutorKind\(.*\)),", TEXT)
    monkeypatch.setitem(EXECUTORS, "polite", eval(line, {"ExecutorKind": ExecutorKind}))
    yield make_executor(PlainSetup(), None, ExecutorOptions(kind="polite"))
    sys.modules.pop("polite_executor")


@pytest.mark.slow
def test_one_file_and_one_line_make_an_executor(polite, monkeypatch):
    busy = iter([1e9])
    monkeypatch.setattr(os, "getloadavg", lambda: (next(busy, 0.0), 0.0, 0.0))
    assert type(polite).__name__ == "PoliteExecutor"
    began = time.monotonic()
    assert len(values(polite, [Answer()] * 3)) == 3
    assert time.monotonic() - began >= 1, "it waited for the others"
    assert "no such candidate" in dict(polite.run([Raiser()]))[0].error
    polite.close()


def test_a_worker_offers_what_the_page_says():
    rows = re.findall(r"^\| (`.*?) \|", TEXT, re.MULTILINE)
    names = {name for row in rows for name in re.findall(r"`(\w+)", row)}
    made = ast.parse((ROOT / "efn_compose/evolve/workers/evaluator.py").read_text())
    assigned = {node.attr for node in ast.walk(made) if isinstance(node, ast.Attribute)}
    assert len(names) > 10
    assert all(hasattr(Evaluator, name) or name in assigned for name in names)
