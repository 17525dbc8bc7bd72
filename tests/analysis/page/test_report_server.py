"""`efn-compose report`: drawing, following, serving, comparing."""

import http.client
import json
import shutil
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from page_checks import Page
from report_runs import MadeUpRun
from scipy import stats
from verbs import run_verb

from efn_compose.analysis import write_comparison
from efn_compose.analysis.page.compare import render_comparison, run_difference
from efn_compose.analysis.page.report_server import LivePage, make_server
from efn_compose.analysis.reading.journal_view import read_run
from efn_compose.cli import main
from efn_compose.errors import ConfigError, RunError


@pytest.fixture(scope="module")
def made_runs(tmp_path_factory):
    """Two finished runs on the same data and final seeds, with different luck."""
    place = tmp_path_factory.mktemp("runs")
    runs = {}
    for name, seed in (("first", 3), ("second", 5)):
        made = MadeUpRun(generations=3, seed=seed).search().finals()
        runs[name] = (made, made.write(place / name))
        (place / name / "split.json").write_text('{"train": [0], "validation": [1], "test": [2]}')
    return runs


@pytest.fixture
def copies(made_runs, tmp_path):
    return [
        Path(shutil.copytree(folder, tmp_path / name)) for name, (_, folder) in made_runs.items()
    ]


def test_draws_where_it_says(copies, capsys):
    assert run_verb("report", copies[0]) == 0
    path = Path(capsys.readouterr().out.strip())
    assert path == copies[0] / "report.html"
    Page(path.read_text(encoding="utf-8")).check()


def test_writes_another_file_when_told(copies, tmp_path, capsys):
    assert run_verb("report", copies[0], "-o", tmp_path / "page.html") == 0
    assert (tmp_path / "page.html").is_file()
    assert not (copies[0] / "report.html").exists()


def test_refuses_what_makes_no_sense(copies, tmp_path):
    with pytest.raises(ConfigError, match="--every"):
        run_verb("report", copies[0], "--follow", "--every", "0")
    with pytest.raises(ConfigError, match="--port"):
        run_verb("report", copies[0], "--serve", "--port", "70000")
    with pytest.raises(RunError, match="no such run folder"):
        run_verb("report", tmp_path / "nothing", "--serve")


def test_names_every_flag_without_effect(copies, tmp_path):
    page = tmp_path / "page.html"
    with pytest.raises(ConfigError) as caught:
        run_verb("report", copies[0], "--port", "8000", "--every", "9", "-o", page)
    assert str(caught.value).splitlines() == [
        "--every is the pace of --follow and --serve. Add one of them.",
        "--port is that of --serve. Add --serve.",
    ]
    with pytest.raises(ConfigError, match="--serve writes nothing"):
        run_verb("report", copies[0], "--serve", "-o", page)
    assert not page.exists()


def test_following_no_run_says_one_thing_and_promises_no_page(tmp_path, capsys):
    assert main(["report", str(tmp_path / "nothing"), "--follow", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["error"] == "RunError"


def test_following_ends_with_the_verdict(copies, capsys):
    folder = copies[0]
    result = (folder / "result.json").read_bytes()
    (folder / "result.json").unlink()
    thread = threading.Thread(
        target=run_verb, args=("report", folder, "--follow", "--every", "0.1")
    )
    thread.start()
    page = folder / "report.html"
    _wait(page.is_file)
    unfinished = page.read_text(encoding="utf-8")
    assert 'http-equiv="refresh"' in unfinished
    (folder / "result.json").write_bytes(result)
    thread.join(timeout=20)
    assert not thread.is_alive()
    finished = page.read_text(encoding="utf-8")
    assert 'http-equiv="refresh"' not in finished
    assert json.loads(result)["verdict"] in Page(finished).text


def _wait(condition, seconds=20.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.fixture
def served(copies):
    (copies[0] / "result.json").unlink()
    server = make_server(LivePage([copies[0]], 3))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield copies[0], server.server_address
    server.shutdown()
    server.server_close()


def ask(address, path="/", method="GET", **headers):
    connection = http.client.HTTPConnection(*address, timeout=20)
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    return answer.status, answer.read().decode(), answer


@pytest.mark.slow
def test_served_page_moves_with_the_run(served):
    folder, address = served
    assert address[0] == "127.0.0.1"
    status, text, answer = ask(address)
    assert status == 200
    assert answer.headers["Cache-Control"] == "no-store"
    before = Page(text).check().text
    journal = folder / "evaluations.jsonl"
    lines = journal.read_text().splitlines(keepends=True)
    journal.write_text("".join(lines[:30]))
    after = Page(ask(address)[1]).text
    assert f"{len(lines)} evaluations" in before
    assert "30 evaluations" in after


@pytest.mark.slow
def test_server_gives_nothing_but_its_page_and_only_to_this_machine(served):
    _, address = served
    for path in ("/evaluations.jsonl", "/../config.toml", "/etc/passwd", "//x"):
        assert ask(address, path)[0] == 404
    # A stranger's page whose name was made to point at 127.0.0.1 sends its own name.
    assert ask(address, Host="evil.example:80")[0] == 403
    assert ask(address, Host="127.0.0.1.evil.example")[0] == 403
    assert ask(address, Host=f"localhost:{address[1]}")[0] == 200
    assert ask(address, method="POST")[0] == 501
    status, body, answer = ask(address, method="HEAD")
    assert (status, body) == (200, "") and int(answer.headers["Content-Length"]) > 1000


@pytest.mark.slow
def test_server_survives_a_run_that_vanishes(served):
    folder, address = served
    assert ask(address)[0] == 200
    shutil.rmtree(folder)
    status, text, _ = ask(address)
    assert status == 500 and "no such run folder" in text


@pytest.mark.slow
def test_taken_port_is_an_error_that_says_so(served):
    folder, address = served
    with pytest.raises(RunError, match="--port"):
        make_server(LivePage([folder], 3), address[1])


def test_runs_are_paired_over_common_seeds(made_runs, copies):
    first, second = (read_run(copy) for copy in copies)
    found = run_difference(first, second)
    losses = [
        np.array(made.arms[made.result()["winner"]].test_loss) for made, _ in made_runs.values()
    ]
    difference = losses[1] - losses[0]
    assert found.is_paired and found.seeds == len(difference)
    assert found.difference.mean == pytest.approx(difference.mean())
    assert found.difference.standard_error == pytest.approx(stats.sem(difference))


def test_runs_without_common_seeds_are_not_paired(made_runs, copies):
    journal = copies[1] / "evaluations.jsonl"
    records = [json.loads(line) for line in journal.read_text().splitlines()]
    for record in records:
        record["seed"] += 10_000
    journal.write_text("".join(json.dumps(record) + "\n" for record in records))
    found = run_difference(*(read_run(copy) for copy in copies))
    losses = [made.arms[made.result()["winner"]].test_loss for made, _ in made_runs.values()]
    welch = stats.ttest_ind(losses[1], losses[0], equal_var=False)
    assert not found.is_paired
    assert found.difference.mean / found.difference.standard_error == pytest.approx(welch.statistic)


@pytest.mark.parametrize("what", ["data", "split"])
def test_runs_on_other_images_are_not_compared(copies, what):
    if what == "data":
        data = json.loads((copies[1] / "data.json").read_text())
        (copies[1] / "data.json").write_text(json.dumps({**data, "fingerprint": "0" * 64}))
    else:
        (copies[1] / "split.json").write_text('{"train": [2], "validation": [1], "test": [0]}')
    runs = [read_run(copy) for copy in copies]
    assert run_difference(*runs).difference is None
    page = Page(render_comparison(runs)).check()
    assert "other data or another split" in page.text
    assert "lowest test loss" not in page.text


def test_comparison_page_is_whole(copies, tmp_path):
    MadeUpRun(generations=1).search().write(tmp_path / "third", finished=False)
    path = write_comparison([*copies, tmp_path / "third"])
    assert path == copies[0] / "comparison.html"
    page = Page(path.read_text(encoding="utf-8")).check()
    for name in ("first", "second", "third", "interrupted"):
        assert name in page.text
    assert "genetic.generations" in page.text


def test_runs_of_one_name_are_told_apart_by_their_folders(made_runs, tmp_path):
    folders = [
        shutil.copytree(folder, tmp_path / seed / "magic")
        for seed, (_, folder) in zip(("seed1", "seed2"), made_runs.values(), strict=True)
    ]
    page = Page(render_comparison([read_run(folder) for folder in folders]))
    page.check()
    assert "seed1/magic" in page.text and "seed2/magic" in page.text
    said = page.text.replace("seed1/magic", "").replace("seed2/magic", "")
    assert "magic" not in said.split("Settings that differ")[0]


def test_the_legend_of_progress_names_the_lines_that_are_drawn(copies):
    journal = copies[0] / "evaluations.jsonl"
    lines = journal.read_text().splitlines(keepends=True)
    journal.write_text("".join(line for line in lines if json.loads(line)["phase"] == "noise"))
    page = render_comparison([read_run(folder) for folder in copies])
    progress = page[page.index('<section id="progress"') : page.index('<section id="settings"')]
    legend = progress[progress.index('class="legend"') : progress.index("<figcaption")]
    assert ">second<" in legend and ">first<" not in legend
    assert "Without a line: first." in progress
