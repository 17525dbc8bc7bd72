"""The winner's line of descent, genome by genome."""

from collections.abc import Sequence

from efn_compose.analysis.charts.chart_fitness import chip
from efn_compose.analysis.html.markup import Html, element
from efn_compose.analysis.html.palette import donor_class, letter
from efn_compose.analysis.html.report_svg import dots, figure, rectangle, svg, text
from efn_compose.analysis.reading.composition.genealogy import Ancestor
from efn_compose.analysis.reading.figures import count, loss_text
from efn_compose.analysis.reading.journal_view import RunView

STYLE = """
.taken{stroke:var(--ink);stroke-width:4}
.new{fill:none;stroke:var(--ink);stroke-width:1.8}
.gene{font-size:10.5px}
"""
_NAMED = 12


def genealogy_figure(run: RunView, line: Sequence[Ancestor]) -> Html | None:
    """Return the figure of a line of descent; None for fewer than two genomes."""
    if len(line) < 2:
        return None

    def draw(width: float) -> Html:
        return _draw(run, line, width)

    steps = [f"Evaluation {one.index}: {_step(run, one)}" for one in line]
    founder = line[-1]
    begin = (
        f"donor {letter(founder.genome[0])}, {run.donor_name(founder.genome[0])}"
        if founder.is_pure
        else "a mixed genome of the first generation"
    )
    caption = (
        f"From the top, the genome of the map above back to {begin}, over {count(len(line), 'genome')}; "
        "one square per gene, input left. At the right the second parent, by its evaluation; a dot under "
        "a gene: that parent gave it. A frame: new, from neither parent. The journal does not hold "
        "parents; these are the earlier genomes that explain each child with the fewest new genes. "
        "Losses are of the first evaluation, each under its generation's seed."
    )
    donors = sorted({gene for one in line for gene in one.genome})
    legend = element(
        "ul",
        [
            element("li", chip(donor), " ", element("bdi", run.donor_name(donor)))
            for donor in donors
        ],
        class_="legend",
    )
    details = element(
        "details",
        element("summary", "Step by step, in words"),
        element("ol", [element("li", step) for step in steps]),
    )
    return element(
        "div", element("h3", "How it came about"), figure(draw, caption, legend), details
    )


def _step(run: RunView, one: Ancestor) -> str:
    """Return the change that one step made, in words."""
    loss = f"loss {loss_text(one.loss)}" if one.loss is not None else "failed"
    words = f"generation {one.generation}, {loss}"
    if one.second is None and not one.new:
        return f"{words}; in the first generation"
    if one.second is not None:
        loci = [_locus(run, place) for place in one.from_second]
        words += f"; from evaluation {one.second_index}: {_listed(loci)}"
    if one.new:
        changed = [f"{_locus(run, place)} ({letter(one.genome[place])})" for place in one.new]
        words += f"; new: {_listed(changed)}"
    return words


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return (", ".join(names[:_NAMED]) or "nothing that the first parent had not") + more


def _locus(run: RunView, place: int) -> str:
    return run.loci[place][0] if place < len(run.loci) else f"gene {place}"


def _draw(run: RunView, line: Sequence[Ancestor], width: float) -> Html:
    narrow = width < 500
    loci = len(line[0].genome)
    left = 2.0 if narrow else 190.0
    right = 4.0 if narrow else 84.0
    cell = min(26.0, (width - left - right) / max(1, loci))
    row = 54.0 if narrow else 34.0
    side = min(20.0, cell - 1)
    marks: list[object] = []
    for number, one in enumerate(line):
        top = 6 + row * number + (20 if narrow else 0)
        words = f"generation {one.generation}, #{one.index}"
        loss = loss_text(one.loss) if one.loss is not None else "failed"
        if narrow:
            with_whom = "" if one.second is None else f", with #{one.second_index}"
            marks.append(text(left, top - 8, f"{words}, loss {loss}{with_whom}", "tick"))
        else:
            marks.append(text(left - 62, top + 14, words, "tick", "end"))
            marks.append(text(left - 12, top + 14, loss, "tick", "end"))
        for place, gene in enumerate(one.genome):
            x = left + cell * place
            marks.append(rectangle(x, top, side, 20, donor_class(gene)))
            if side > 9:
                marks.append(
                    text(x + side / 2, top + 14, letter(gene), f"gene t{gene % 8}", "middle")
                )
            if place in one.new:
                marks.append(rectangle(x - 1, top - 1.5, side + 2, 23, "new"))
        if one.second is not None and not narrow:
            whom = text(left + cell * loci + 8, top + 14, f"with #{one.second_index}", "tick")
            marks.append(whom)
        below = [(left + cell * place + side / 2, top + 24.5) for place in one.from_second]
        if below:
            marks.append(dots(below, "taken"))
    return svg(width, 10 + row * len(line), marks, label=f"Line of descent of {len(line)} genomes")
