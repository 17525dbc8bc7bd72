"""The network stage by stage, each block coloured by the donor its filters come from."""

import math

import numpy as np

from efn_compose.analysis.charts.chart_fitness import chip, donor_legend
from efn_compose.analysis.html.markup import Html, element, short
from efn_compose.analysis.html.palette import donor_class, letter
from efn_compose.analysis.reading.composition.donor_map import DonorMapView, SegmentView
from efn_compose.analysis.reading.figures import count, percent
from efn_compose.analysis.reading.journal_view import RunView

#: Strips of a tile whose filters come from several donors; more could not be told apart.
_STRIPS = 60

STYLE = """
.net{margin:.8rem 0}
.row{display:grid;grid-template-columns:8.5rem 1fr;gap:.2rem .8rem;position:relative;
  padding:.22rem 0;align-items:center}
.row-title{color:var(--ink-2);font-size:.86rem}
.tiles{display:flex;flex-wrap:wrap;gap:3px}
.tile{height:2.3rem;border-radius:3px;min-width:2.1rem}
.tile .fill{display:flex;height:100%;border-radius:3px;align-items:center;justify-content:center;
  font-size:.82rem;font-weight:600;overflow:hidden}
.tile svg{width:100%;height:100%;border-radius:3px;overflow:hidden}
.tile .tip{display:none;position:absolute;top:100%;left:0;right:0;z-index:2;padding:.45rem .7rem;
  background:var(--ink);color:var(--paper);font-size:.86rem;border-radius:3px;line-height:1.4;
  pointer-events:none}
.tile:hover .tip,.tile:focus .tip{display:block}
.share{display:flex;height:1.5rem;border-radius:3px;overflow:hidden;gap:2px;margin:.5rem 0}
.share span{display:flex;align-items:center;justify-content:center;font-size:.8rem;font-weight:600;
  min-width:2px;overflow:hidden}
@media (max-width:46rem){.row{grid-template-columns:1fr;gap:.1rem}}
@media print{.tile .tip{display:none!important}}
"""


def donor_map_figure(run: RunView, view: DonorMapView) -> Html:
    """Return the picture of one donor map with its shares and its table."""
    if view.weights:
        return _average(run, view)
    largest = max((segment.parameters for segment in view.segments), default=0)
    rows = [
        element(
            "div",
            element("div", title, class_="row-title"),
            element("div", [_tile(run, s, largest) for s in segments], class_="tiles"),
            class_="row",
        )
        for title, segments in view.stages
    ]
    return element(
        "figure",
        element("h3", view.title),
        _share_bar(run, view.donor_shares, "Weights without their signs" if view.is_mixed else ""),
        element("div", rows, class_="net"),
        donor_legend(run, sorted(view.donor_shares)),
        element("figcaption", _caption(run, view)),
        _table(run, view),
    )


def _tile(run: RunView, segment: SegmentView, largest: int) -> Html:
    shares = segment.shares
    words = _words(run, segment)
    width = 2.1 + (6.5 * math.sqrt(segment.parameters / largest) if largest else 0.9)
    if segment.blend is not None:
        inner = _bands(segment.blend.share, segment.donor, segment.blend.donor)
    elif segment.mix is not None:
        # The two that weigh most; the words name all.
        (first, weight), (second, other) = list(shares.items())[:2]
        inner = _bands(other / (weight + other), first, second)
    elif len(shares) == 1:
        donor = next(iter(shares))
        inner = element("span", letter(donor), class_=f"fill d{donor % 8}", aria_hidden="true")
    else:
        inner = _barcode(segment.filters)
    return element(
        "div",
        inner,
        element("span", words, class_="tip", aria_hidden="true"),
        class_="tile",
        tabindex="0",
        role="img",
        aria_label=words,
        style=f"width:{short(width)}rem",
    )


def _words(run: RunView, segment: SegmentView) -> str:
    parts = [
        f"{percent(share)} {letter(donor)} {run.donor_name(donor)}"
        if share < 1
        else f"donor {letter(donor)} {run.donor_name(donor)}"
        for donor, share in segment.shares.items()
    ]
    if segment.mix is not None:
        ancestor = segment.mix.ancestor
        parts = [f"{letter(ancestor)} {run.donor_name(ancestor)}"] + [
            f"moved by {percent(share)} to {letter(donor)} {run.donor_name(donor)}"
            for donor, share in segment.mix.shares.items()
        ]
    words = f"{segment.name}: {', '.join(parts)}"
    if segment.blend is not None:
        words += ", averaged"
    if segment.details:
        words += f"; {segment.details}"
    if segment.parameters:
        words += f"; {count(len(segment.filters), 'filter')}, {segment.parameters:,} parameters"
    if segment.layers:
        words += f"; tensors {', '.join(segment.layers)}"
    if segment.saliency is not None:
        words += f"; weight saliency {segment.saliency:.2f} of the mean"
    return words


def _bands(share: float, host: int, second: int) -> Html:
    """Return an average of two donors as two bands, one above the other, as high as their weights."""
    marks = [
        element(
            "rect", x="0", y=short(y), width="1", height=short(height), class_=donor_class(donor)
        )
        for y, height, donor in ((0, 1 - share, host), (1 - share, share, second))
    ]
    return element("svg", marks, viewBox="0 0 1 1", preserveAspectRatio="none", aria_hidden="true")


def _barcode(filters: np.ndarray) -> Html:
    """Return the filters of a block in order, in strips coloured by the commonest donor of each."""
    strips = [part for part in np.array_split(filters, min(_STRIPS, len(filters))) if len(part)]
    donors = [int(np.bincount(strip).argmax()) for strip in strips]
    marks, start = [], 0
    for end in range(1, len(donors) + 1):
        if end == len(donors) or donors[end] != donors[start]:
            marks.append(
                element(
                    "rect",
                    x=str(start),
                    y="0",
                    width=str(end - start),
                    height="1",
                    class_=donor_class(donors[start]),
                )
            )
            start = end
    return element(
        "svg",
        marks,
        viewBox=f"0 0 {len(donors)} 1",
        preserveAspectRatio="none",
        aria_hidden="true",
    )


def _share_bar(run: RunView, shares: dict[int, float], what: str = "") -> Html:
    label = ", ".join(f"{letter(d)} {run.donor_name(d)} {percent(s)}" for d, s in shares.items())
    spans = [
        element(
            "span",
            _share_label(donor, share),
            class_=f"chip-bar d{donor % 8}",
            style=f"flex:{share:.4f};background:var(--d{donor % 8});color:var(--i{donor % 8})",
        )
        for donor, share in shares.items()
    ]
    return element(
        "div", spans, class_="share", role="img", aria_label=f"{what or 'Parameters'}: {label}"
    )


def _share_label(donor: int, share: float) -> str:
    """Return what fits on a share's piece of the bar, on a phone too."""
    if share > 0.2:
        return f"{letter(donor)} {percent(share)}"
    return letter(donor) if share > 0.05 else ""


def _caption(run: RunView, view: DonorMapView) -> str:
    shares = view.donor_shares
    donor, share = next(iter(shares.items()))
    if len(shares) == 1:
        return (
            f"Every filter comes from donor {letter(donor)}, {run.donor_name(donor)}. Read it from "
            "top to bottom: input first. Point at a block, or move to it with the Tab key, for details."
        )
    if view.is_mixed:
        return (
            f"Read it from top to bottom: input first. Every block is {letter(run.ancestor)}, "
            f"{run.donor_name(run.ancestor)}, moved by a share of its difference to each relative. That "
            "is an average of all, whose weights sum to 1 and may be below 0. The bar shows the sizes of "
            f"these weights without their signs: that of {letter(donor)}, {run.donor_name(donor)}, is the "
            f"largest, {percent(share)} of all sizes. The bands of a block are the two largest in it. The "
            "width of a block grows with the square root of its parameters. Point at a block, or move to "
            "it with the Tab key, for its shares."
        )
    return (
        f"Read it from top to bottom: input first. {len(shares)} donors take part; "
        f"{letter(donor)}, {run.donor_name(donor)}, gives {percent(share)} of all parameters, and "
        f"the donor changes {count(view.switches, 'time')} along the depth. The width of a block "
        "grows with the square root of its parameters; upright stripes are filters of several donors, "
        "bands one above the other an average. Point at a block, or move to it with the "
        "Tab key, for its tensors and shares."
    )


def _table(run: RunView, view: DonorMapView) -> Html:
    rows = [
        element(
            "tr",
            element("th", segment.name, scope="row"),
            element(
                "td",
                [
                    [chip(d), " ", element("bdi", run.donor_name(d)), f" {percent(s)} "]
                    for d, s in segment.shares.items()
                ],
            ),
            element("td", segment.details),
            element("td", f"{segment.parameters:,}" if segment.parameters else "–", class_="n"),
        )
        for segment in view.segments
    ]
    what = "size of its weight, of all sizes" if view.is_mixed else "share of filters"
    head = element(
        "tr",
        element("th", "Part", scope="col"),
        element("th", f"Donor and {what}", scope="col"),
        element("th", "What it is", scope="col"),
        element("th", "Parameters", scope="col", class_="n"),
    )
    table = element("table", element("thead", head), element("tbody", rows))
    return element(
        "details",
        element("summary", "The same as a table"),
        element("div", table, class_="scroll"),
    )


def _average(run: RunView, view: DonorMapView) -> Html:
    shares = {donor: float(weight) for donor, weight in enumerate(view.weights) if weight}
    return element(
        "figure",
        element("h3", view.title),
        _share_bar(run, shares),
        donor_legend(run, sorted(shares)),
        element(
            "figcaption",
            f"Every weight is the mean of {count(len(shares), 'network')}; there is no map to draw. "
            "BatchNorm statistics were re-estimated afterwards.",
        ),
    )
