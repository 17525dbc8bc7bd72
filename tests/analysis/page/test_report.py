"""The report is whole, self-contained, true to the numbers, and draws runs in any state."""

import json
import math
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from page_checks import Page
from report_runs import MadeUpRun
from repository import ROOT
from scipy import stats

from efn_compose.analysis import write_report
from efn_compose.analysis.card.card import render_card
from efn_compose.analysis.page.commands import reproduce_command, resume_command
from efn_compose.analysis.page.report import render_report
from efn_compose.analysis.reading.journal_view import read_run
from efn_compose.errors import RunError

HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</style></title><b>",
    'it\'s & <!-- "quoted"',
    "javascript:alert(1) {{7*7}} ${x}",
]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished run; tests that change it copy it first."""
    made = MadeUpRun().search().finals()
    return made, made.write(tmp_path_factory.mktemp("runs") / "finished")


@pytest.fixture
def copy(finished, tmp_path):
    return Path(shutil.copytree(finished[1], tmp_path / "copy"))


@pytest.mark.slow
def test_imports_neither_tensorflow_nor_ray():
    code = (
        "import sys, efn_compose.analysis, efn_compose.cli.report;"
        "print([m for m in ('tensorflow','keras','ray','torch') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_page_is_whole_and_needs_nothing_from_outside(finished):
    text = write_report(finished[1]).read_text(encoding="utf-8")
    page = Page(text).check()
    assert not re.search(r"https?://|url\(|@import|@font-face", text)
    (policy,) = page.find("meta", **{"http-equiv": "Content-Security-Policy"})
    assert policy["content"].startswith("default-src 'none'")


def test_scoreboard_states_means_errors_and_paired_differences(finished):
    made, folder = finished
    text = Page(render_report(read_run(folder))).text
    best = min(made.names, key=lambda name: np.mean(made.arms[name].validation_loss))
    reference = np.array(made.arms[best].test_loss)
    for name, arm in made.arms.items():
        losses = np.array(arm.test_loss)
        assert f"{losses.mean():.4f} ± {stats.sem(losses):.4f}" in text
        if name == best:
            continue
        difference = losses - reference
        # The paired t statistic is the mean difference over its standard error.
        error = difference.mean() / stats.ttest_rel(losses, reference).statistic
        expected = f"{difference.mean():+.4f} ± {error:.4f}".replace("-", "−")
        assert expected in text, name


def test_verdict_comes_first(finished):
    made, folder = finished
    page = Page(render_report(read_run(folder)))
    words = made.result()["verdict"]
    assert words in page.text
    assert page.text.index(words) < page.text.index("Test loss")
    assert page.find("tr", **{"class": "winner"})


@pytest.mark.parametrize(
    ("shift", "words"),
    [(0.0, "beat the best donor, lite1."), (0.2, "but not on test"), (None, "open")],
)
def test_headline_says_whether_the_test_agrees(copy, shift, words):
    result = json.loads((copy / "result.json").read_text())
    arms = result["arms"]
    assert (result["winner"], result["best_donor"]) == ("composed", "lite1")
    if shift is None:
        # Mean difference 0, so no standard error is cleared.
        arms["composed"]["test_loss"] = [
            loss + step
            for loss, step in zip(arms["lite1"]["test_loss"], (-2, -1, 0, 1, 2), strict=True)
        ]
    elif shift:
        arms["composed"]["test_loss"] = [loss + shift for loss in arms["composed"]["test_loss"]]
    (copy / "result.json").write_text(json.dumps(result))
    page = Page(render_report(read_run(copy)))
    assert words in page.text.split("Scoreboard")[0]


def test_random_compositions_that_won_are_the_headline(copy):
    result = json.loads((copy / "result.json").read_text())
    # As a run writes it whose control won: the arm, and the search's own a little behind.
    result["arms"]["random_search"] = result["arms"]["composed"]
    (copy / "result.json").write_text(json.dumps({**result, "winner": "random_search"}))
    first = Page(render_report(read_run(copy))).text.split("Scoreboard")[0]
    assert "The best random composition beats the best donor, lite1." in first
    assert "Nothing beat" not in first


def test_every_donor_is_named_with_its_origin(finished):
    made, folder = finished
    text = Page(render_report(read_run(folder))).text
    for name in made.names:
        assert name in text and f"{name}.pth" in text


@pytest.mark.parametrize("name", HOSTILE)
def test_names_from_data_appear_as_text(tmp_path, name):
    names = (name, f"{name}2", "lite0")
    made = MadeUpRun(generations=1, population=6, names=names, class_names=(name, "b"))
    made.search(failing_rate=0.0)
    made.evaluate("search", made_recipe(made), 1, 2, error=f"cannot train {name}")
    made.finals()
    folder = made.write(tmp_path / name.replace("/", "_"))
    (folder / "result.json").write_text(
        json.dumps({**made.result(), "verdict": f"So says {name}."}), encoding="utf-8"
    )
    page = Page(write_report(folder).read_text(encoding="utf-8")).check()
    flat = " ".join(name.split())
    for expected in (f"So says {flat}.", f"cannot train {flat}", f"{flat}2"):
        assert expected in page.text
    assert folder.name in page.text


def made_recipe(made):
    from efn_compose.compose import Recipe

    return Recipe.genome((*(1 for _ in made.space.loci[:-1]), 0))


def test_characters_no_page_may_hold_are_replaced(copy):
    data = json.loads((copy / "data.json").read_text())
    # As JSON allows them: NUL, escape, a lone surrogate, a non-character, "right to left from here".
    text = json.dumps({**data, "name": "a\x00b\x1b[31m\ud800\uffff\u202eevil"})
    (copy / "data.json").write_text(text)
    content = write_report(copy).read_bytes()
    assert "a\ufffdb\ufffd[31m\ufffd\ufffd\ufffdevil" in content.decode("utf-8")


@pytest.mark.parametrize(
    "name",
    ["config.toml", "environment.json", "donors.json", "data.json", "evaluations.jsonl"],
)
@pytest.mark.parametrize("damage", ["missing", "garbage", "wrong type", "half"])
def test_damaged_file_is_named_and_the_rest_drawn(copy, name, damage):
    path = copy / name
    content = path.read_bytes()
    if damage == "missing":
        path.unlink()
    elif damage == "half":
        path.write_bytes(content[: len(content) // 2])
    else:
        path.write_bytes(b"\xff\x00{]" if damage == "garbage" else b"[1, 2]\n")
    page = Page(write_report(copy).read_text(encoding="utf-8")).check()
    is_cut_between_lines = name == "config.toml" and damage == "half"
    if not is_cut_between_lines:
        assert "This report is incomplete." in page.text
        assert name in page.text.split("This report is incomplete.")[1][:400]
    assert "Composed weights beat" in page.text or "Nothing beat" in page.text


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"3", b"\xff\xfe"])
def test_damaged_verdict_is_no_verdict(copy, content):
    (copy / "result.json").write_bytes(content)
    page = Page(render_report(read_run(copy))).check()
    assert "result.json" in page.text.split("This report is incomplete.")[1]
    assert "No verdict yet" in page.text


def test_torn_tail_loses_only_the_last_evaluation(copy):
    journal = copy / "evaluations.jsonl"
    content = journal.read_bytes()
    (copy / "result.json").unlink()
    last = content[:-1].rfind(b"\n") + 1
    count = content.count(b"\n")
    for end in (last + 1, last + 40, len(content) - 1):
        journal.write_bytes(content[:end])
        run = read_run(copy)
        assert len(run.evaluations) == count - 1
        assert f"{end - last} bytes of an unfinished line" in " ".join(run.problems)
        Page(render_report(run)).check()


def test_damaged_line_in_the_middle_is_left_out(copy):
    journal = copy / "evaluations.jsonl"
    lines = journal.read_bytes().split(b"\n")
    lines[10] = lines[10][:50]
    lines[20] = lines[20].replace(b'"loss": 0', b'"loss": NaN, "x": 0')
    journal.write_bytes(b"\n".join(lines))
    run = read_run(copy)
    assert len(run.evaluations) == len(lines) - 3
    assert "2 of" in run.problems[0] and "line 11, 21" in run.problems[0]


@pytest.mark.slow
def test_every_moment_of_a_run_can_be_drawn(finished, tmp_path):
    _, folder = finished
    copy = Path(shutil.copytree(folder, tmp_path / "moment"))
    (copy / "result.json").unlink()
    lines = (folder / "evaluations.jsonl").read_text().splitlines(keepends=True)
    for count in [*range(12), 21, 22, 40, 150, 170, len(lines) - 3, len(lines)]:
        (copy / "evaluations.jsonl").write_text("".join(lines[:count]))
        page = Page(render_report(read_run(copy))).check()
        assert f"{count} evaluation" in page.text


def test_folder_with_a_config_alone_is_a_run_that_has_not_begun(tmp_path):
    (tmp_path / "config.toml").write_text("[run]\nseed = 1\n")
    assert "No evaluation has finished yet." in Page(render_report(read_run(tmp_path))).text


def test_what_is_no_run_is_refused(tmp_path):
    with pytest.raises(RunError, match="no such run folder"):
        write_report(tmp_path / "nothing")
    with pytest.raises(RunError, match="not a run folder"):
        write_report(tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("section", ["ensemble", "train", "policy", "study", "pretrain"])
def test_folders_of_other_verbs_are_refused_and_their_pages_stay(section, tmp_path):
    (tmp_path / "config.toml").write_text(f"[run]\nseed = 1\n\n[{section}]\n")
    (tmp_path / "evaluations.jsonl").write_text('{"model": "b0", "answers": 3}\n')
    (tmp_path / "report.html").write_text("drawn by the verb itself")
    with pytest.raises(RunError, match=f"`efn-compose {section}`, not of a search"):
        write_report(tmp_path)
    assert (tmp_path / "report.html").read_text() == "drawn by the verb itself"


def test_status_follows_the_lock(copy):
    (copy / "result.json").unlink()
    owner = {"pid": os.getpid(), "host": socket.gethostname(), "since": "2026-02-02T00:00:00"}
    (copy / "lock").write_text(json.dumps(owner))
    assert read_run(copy).status == "going on"
    finished_process = subprocess.Popen([sys.executable, "-c", ""])
    finished_process.wait()
    (copy / "lock").write_text(json.dumps({**owner, "pid": finished_process.pid}))
    run = read_run(copy)
    assert run.status == "interrupted"
    assert resume_command(run) in Page(render_report(run)).text


def test_states_of_trainings_are_not_listed_as_donors():
    run = read_run(ROOT / "tests" / "data" / "runs_0_1_0" / "halving")
    # Two files, one sibling of each; the other six are states of one line.
    wanted = ["donor1", "donor2", "donor1_sibling1", "donor2_sibling1"]
    page = Page(render_report(run)).text
    assert "4 donors of network" in page and "line0_generation3" not in page.split("4 donors of")[1]
    table = render_card(run).split("## Donors and licence")[1].split("## ")[0]
    names = re.findall(r"^\| [A-Z]+ (\S+) \|", table, re.MULTILINE)
    assert [name.replace("\\", "") for name in names] == wanted


def test_networks_that_a_search_trains_are_no_donors_while_it_goes_on(tmp_path):
    folder = shutil.copytree(ROOT / "tests" / "data" / "runs_0_1_0" / "halving", tmp_path / "run")
    (folder / "result.json").unlink()
    described = json.loads((folder / "donors.json").read_text())
    described["donors"] = described["donors"][:4]
    (folder / "donors.json").write_text(json.dumps(described))
    lines = []
    for line in (folder / "evaluations.jsonl").read_text().splitlines():
        record = json.loads(line)
        if record.get("phase") == "population" and record["generation"] == 1:
            # The fifth network of the generation before, which four donors do not have.
            record["recipe"]["values"] = [4] * len(record["recipe"]["values"])
        if record.get("phase") in ("noise", "population"):
            lines.append(json.dumps(record))
    (folder / "evaluations.jsonl").write_text("\n".join(lines) + "\n")
    run = read_run(folder)
    assert len(run.donors) == 4
    page = Page(render_report(run)).text
    assert "No verdict yet." in page and "donor 4" not in page


def test_unfinished_run_says_what_is_to_come(copy):
    (copy / "result.json").unlink()
    journal = copy / "evaluations.jsonl"
    lines = journal.read_text().splitlines(keepends=True)
    journal.write_text("".join(lines[:100]))
    # 2 donors x 5 for the noise; 16 and 8 x 16 in the search; 4 finalists and the average on 5 seeds,
    # 6 donors and the average on 5 more; 5 for the test.
    planned = 10 + 16 + 8 * 16 + 12 * 5 + 5
    assert f"of at most {planned} planned" in Page(render_report(read_run(copy))).text


def test_finals_that_go_on_are_counted_before_a_donor_runs(copy):
    (copy / "result.json").unlink()
    journal = copy / "evaluations.jsonl"
    lines = journal.read_text().splitlines(keepends=True)
    first = next(n for n, line in enumerate(lines) if json.loads(line)["phase"] == "final")
    for finals, words in (
        (0, "have not begun"),
        (1, "1 evaluation so far"),
        (7, "7 evaluations so far"),
    ):
        journal.write_text("".join(lines[: first + finals]))
        page = Page(render_report(read_run(copy))).text.replace("\u00a0", " ")
        assert words in page and ("The finals have not begun" in page) == (finals == 0)


def test_reading_never_blocks_a_run_that_starts(finished):
    from efn_compose.store.lock import FolderLock

    _, folder = finished
    with FolderLock(folder / "lock"):
        assert read_run(folder).owner.startswith(f"process {os.getpid()}")
    with FolderLock(folder / "lock"):
        pass


def test_commands_survive_a_shell(tmp_path):
    import shlex

    folder = tmp_path / 'it\'s "a" $(run) & more'
    MadeUpRun(generations=0, population=3, names=("a", "b")).search().write(folder, finished=False)
    run = read_run(folder)
    for command in (reproduce_command(run), resume_command(run)):
        words = shlex.split(command)
        assert words[:4] == ["python", "-m", "efn_compose.evolve", str(folder / "config.toml")]
    assert shlex.split(resume_command(run))[-1] == f"run.path={folder}"
    assert shlex.split(reproduce_command(run))[-1] == f"run.path={folder}-again"


@pytest.mark.slow
def test_size_and_time_grow_slowly_enough_for_ten_thousand_evaluations(tmp_path):
    sizes, counts, seconds = [], [], []
    for generations in (40, 80):
        made = MadeUpRun(generations=generations).search().finals()
        folder = made.write(tmp_path / str(generations))
        start = time.process_time()
        sizes.append(write_report(folder).stat().st_size)
        seconds.append(time.process_time() - start)
        counts.append(len(made.records))
    per_evaluation = (sizes[1] - sizes[0]) / (counts[1] - counts[0])
    assert sizes[1] + per_evaluation * (10_000 - counts[1]) < 2_000_000
    # Twice the evaluations: twice the time where it grows with them, four times with pairs of them.
    assert seconds[1] < 3 * seconds[0]


def test_texts_stay_inside_their_pictures(finished):
    text = render_report(read_run(finished[1]))
    pictures = re.findall(r'<svg viewBox="0 0 ([\d.]+) ([\d.]+)"(.*?)</svg>', text, re.S)
    checked = 0
    for width, height, content in pictures:
        for attributes, words in re.findall(r"<text ([^>]*)>([^<]*)</text>", content):
            place = dict(re.findall(r'([\w-]+)="([^"]*)"', attributes))
            x, y = float(place["x"]), float(place["y"])
            # 0.5 em is what a character of a common sans-serif takes on average.
            span = len(words) * 12 * 0.5
            anchor = place.get("text-anchor", "start")
            left = {"start": x, "middle": x - span / 2, "end": x - span}[anchor]
            assert left >= -1 and left + span <= float(width) + 1, (words, width)
            assert 0 <= y <= float(height), words
            checked += 1
    assert checked > 50


def test_marks_of_the_search_are_as_many_as_evaluations(finished):
    made, folder = finished
    text = render_report(read_run(folder))
    picture = text.split('id="search"')[1].split("</svg>")[0]
    dots = sum(path.count("M") for path in re.findall(r'd="([^"]*)" class="dots', picture))
    crosses = re.findall(r'd="([^"]*)" class="average', picture)
    scored = [r for r in made.records if r["error"] is None]
    losses = [r["scores"]["validation"]["loss"] for r in scored]
    outside = len(re.findall(r"z", re.findall(r'd="([^"]*)" class="out', picture)[0]))
    assert dots + sum(path.count("M") for path in crosses) + outside == len(losses)
    failed = re.findall(r'd="([^"]*)" class="failed', picture)
    assert sum(path.count("M") for path in failed) == len(made.records) - len(scored)
    assert outside <= math.ceil(0.05 * len(losses)) + 1
