"""Whatever stands in a run's files, the report draws what can be drawn and raises nothing."""

import copy
import json
import random

import pytest
from page_checks import Page
from report_runs import MadeUpRun

from efn_compose.analysis.card.card import render_card
from efn_compose.analysis.page.compare import render_comparison
from efn_compose.analysis.page.report import render_report
from efn_compose.analysis.reading.journal_view import read_run

JUNK = [
    None, True, -1, 0, 254, 1e308, 10**30, -0.5, "", "x", "<b>", [], {}, [1], [None], {"a": 1},
    [[]], "\ud800", {"mean": 1},
]  # fmt: skip
FILES = ("donors.json", "data.json", "result.json", "environment.json", "evaluations.jsonl")


@pytest.fixture(scope="module")
def run_files(tmp_path_factory):
    made = MadeUpRun(generations=1, population=5, names=("a", "b"), variant="lite-w0.25-d0.3")
    folder = made.search(failing_rate=0.1).finals().write(tmp_path_factory.mktemp("damage") / "run")
    return folder, {name: (folder / name).read_text(encoding="utf-8") for name in FILES}


def places(value, path=()):
    """Yield the path of every value inside a JSON value, itself left out."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, item in items if isinstance(value, dict | list) else ():
        yield (*path, key)
        if isinstance(item, dict | list):
            yield from places(item, (*path, key))


def damaged(value, generator):
    """Return a JSON value in which a few values are junk or missing."""
    value = copy.deepcopy(value)
    for _ in range(generator.choice([1, 1, 2, 4])):
        found = list(places(value))
        if not found:
            break
        *path, last = generator.choice(found)
        inner = value
        for key in path:
            inner = inner[key]
        if generator.random() < 0.1:
            del inner[last]
        else:
            inner[last] = copy.deepcopy(generator.choice(JUNK))
    return value


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_junk_anywhere_is_survived(run_files, seed):
    folder, files = run_files
    generator = random.Random(seed)
    for _ in range(25):
        name = generator.choice(FILES)
        if name.endswith("l"):
            lines = files[name].splitlines()
            number = generator.randrange(len(lines))
            lines[number] = json.dumps(damaged(json.loads(lines[number]), generator))
            text = "\n".join(lines) + "\n"
        else:
            text = json.dumps(damaged(json.loads(files[name]), generator))
        (folder / name).write_text(text, encoding="utf-8")
        if name != "result.json" and generator.random() < 0.5:
            (folder / "result.json").unlink()
        try:
            run = read_run(folder)
            Page(render_report(run)).check()
            Page(render_comparison([run, run])).check()
            assert render_card(run).startswith("---\n")
        finally:
            for other, content in files.items():
                (folder / other).write_text(content, encoding="utf-8")
