"""Report, comparison and documentation as a browser shows them: phone and desktop, light and dark."""

import subprocess
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from browser_pages import browser, overflow, page_of, picture_texts, tab_stops, violations
from made_up_study import write_study
from report_runs import MadeUpRun
from repository import ROOT

from efn_compose.analysis import write_comparison, write_report
from efn_compose.analysis.page.study_report import write_study_report

#: Each width once and each scheme once: a page's layout does not depend on its scheme.
SCREENS = [(390, "light"), (1280, "dark")]
#: WCAG 2.2, AA: text below 18 pt.
CONTRAST = 4.5


@pytest.fixture(scope="module")
def chromium():
    with browser() as running:
        yield running


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    place = tmp_path_factory.mktemp("pages")
    names = ("<script>alert(1)</script>", 'a "quoted" one', "a very long class name " * 4)
    # Few evaluations: each is a dot in several charts, which axe looks at one by one.
    MadeUpRun(generations=3, population=8, class_names=names).search().finals().write(
        place / 'it\'s "mine"'
    )
    MadeUpRun(generations=2, population=8, seed=5).search().write(place / "broken", finished=False)
    first, second = place / 'it\'s "mine"', place / "broken"
    return {
        "finished": write_report(first),
        "broken": write_report(second),
        "comparison": Path(write_comparison([first, second], place / "comparison.html")),
        "study": write_study_report(write_study(place / "study", data_sets=2)),
    }


@pytest.mark.slow
@pytest.mark.parametrize(("width", "scheme"), SCREENS)
def test_pages_fit_are_readable_and_say_nothing_on_the_console(chromium, pages, width, scheme):
    for name, path in pages.items():
        with page_of(chromium, path.as_uri(), width, scheme) as (page, said):
            assert overflow(page) <= 0, name
            assert said == [], name
            for found in picture_texts(page):
                assert found["outside"] <= 1.5, (name, found)
                assert found["contrast"] >= CONTRAST, (name, found)
            if name != "broken":
                assert violations(page) == [], name


@pytest.mark.slow
def test_on_paper_nothing_is_cut_off_and_the_ground_is_white(chromium, pages):
    """A4 less the page's margins of 16 mm is 178 mm, 672 pixels of CSS, also for who reads in the dark."""
    for path in pages.values():
        with page_of(chromium, path.as_uri(), 672, "dark") as (page, _):
            page.emulate_media(media="print")
            assert overflow(page) <= 0, path.name
            ground = "getComputedStyle(document.body).backgroundColor"
            assert page.evaluate(ground) == "rgb(255, 255, 255)"


@pytest.mark.slow
def test_the_keyboard_reaches_every_block_and_shows_what_it_is(chromium, pages):
    with page_of(chromium, pages["finished"].as_uri(), 1280, "light") as (page, _):
        stops = tab_stops(page)
        assert 'class="skip"' in stops[0]
        tiles = page.locator(".tile")
        assert sum('class="tile"' in stop for stop in stops) == tiles.count() > 10
        assert not tiles.first.locator(".tip").is_visible()
        tiles.first.focus()
        tip = tiles.first.locator(".tip")
        assert tip.is_visible()
        assert all(word in tip.inner_text() for word in ("stem: donor", "32 filters", "tensors"))
        assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"


@pytest.mark.slow
def test_a_planted_fault_is_found(chromium, tmp_path):
    """Checks that cannot fail prove nothing: each of these must."""
    (tmp_path / "bad.html").write_text(
        "<html><body style='background:#fff'><p style='color:#aaa'>pale</p>"
        "<div style='width:900px'>wide</div><svg width=50 height=20>"
        "<text x=20 y=15 fill='#bbb'>longer than it</text></svg>"
        "<script>console.error('oh'); fetch('http://192.0.2.1/')</script></body></html>"
    )
    with page_of(chromium, (tmp_path / "bad.html").as_uri(), 390, "light") as (page, said):
        assert overflow(page) == 900 - 390 + 8
        assert any("color-contrast" in one for one in violations(page))
        (text,) = picture_texts(page)
        assert text["contrast"] < 2 and text["outside"] > 10
        assert any("oh" in one for one in said) and any("192.0.2.1" in one for one in said)
        assert tab_stops(page) == []


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    pytest.importorskip("mkdocs", reason="mkdocs is in the docs extra")
    folder = tmp_path_factory.mktemp("site")
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", str(folder)],
        cwd=ROOT, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert built.returncode == 0, built.stdout + built.stderr
    return folder


@pytest.fixture(scope="module")
def address(site):
    """The site as it is read: from a server, on this machine only."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, format, *args):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(site))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@pytest.mark.slow
def test_the_documentation_builds_strictly_and_shows_other_folders_pages(site):
    assert "sizes" in (site / "results" / "parity.html").read_text(encoding="utf-8")
    commands = (site / "reference" / "commands.html").read_text(encoding="utf-8")
    settings = (site / "reference" / "configuration.html").read_text(encoding="utf-8")
    assert "usage: efn-compose direct-sum" in commands and "<!-- commands -->" not in commands
    assert "until_no_better" in settings and "<!-- settings -->" not in settings


@pytest.mark.slow
@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1280, "light")])
def test_the_documentation_fits_and_loads_nothing_from_elsewhere(chromium, address, width, scheme):
    for name in ("index", "science", "reference/commands", "notebooks/compose_by_hand"):
        with page_of(chromium, f"{address}/{name}.html", width, scheme) as (page, said):
            page.wait_for_load_state("networkidle")
            assert overflow(page) <= 0, name
            assert said == [], name
            # A picture that was taken in both schemes is shown in the reader's.
            taken = page.locator("img[src*='report_top_']").all()
            assert [one.get_attribute("src").endswith(f"_{scheme}.png") for one in taken] == (
                [True] if name == "index" else []
            )
