"""What a terminal and the page say of a search that goes on."""

import io
import re
from random import Random

import pytest
from page_checks import Page
from report_runs import MadeUpRun
from rich.console import Console

from efn_compose.analysis.page.report import render_report
from efn_compose.analysis.reading.journal_view import read_run
from efn_compose.compose import Recipe
from efn_compose.evolve.genetic.estimates import paired_noise
from efn_compose.evolve.genetic.search import GeneticSearch
from efn_compose.evolve.kinds.genetic import Genetic
from efn_compose.evolve.watching.progress import ConsoleWatcher


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_page_says_what_the_terminal_said(tmp_path, seed):
    made, luck = MadeUpRun(noise=0.05, gain=0.3, seed=seed), Random(seed)
    pure = [made.space.pure(number) for number in range(len(made.names))]
    measured = [
        made.evaluate("noise", Recipe.genome(pure[0]), n, arm=made.names[0]) for n in range(5)
    ]
    search = GeneticSearch(made.space, Genetic(population=8), seed, paired_noise(measured, []))
    said = io.StringIO()
    watcher = ConsoleWatcher(None, 1, Console(file=said, width=200))
    watcher.set_donors(list(made.names))
    for generation in range(5):
        common = luck.gauss(0, 0.1)
        search.tell(
            {
                genome: made.evaluate(
                    "search", Recipe.genome(genome), 50 + generation, generation, luck=common
                )
                for genome in search.ask()
            }
        )
        watcher.on_generation(generation, search.standing())
    line = said.getvalue().splitlines()[-1]
    best, rival = re.search(r"best ([\d.]+) \(.* best donor ([\d.]+) ", line).groups()
    gain = re.search(r"gain [+-]([\d.]+)", line)[1]
    page = Page(render_report(read_run(made.write(tmp_path / "run", finished=False)))).text
    page = page.replace("\u00a0", " ")
    if "(composed," in line:
        found = re.search(
            r"believed loss of ([\d.]+) after \d+ runs?, ([\d.]+) (?:below|above) "
            r"the best donor, \w \(([\d.]+)\)",
            page,
        )
        assert found.groups() == (best, gain, rival)
    else:
        assert f"({rival})" in re.search(r"No composed genome is believed .*?\)", page)[0]
