"""The monitors of pretrainings on their page: curves over the epochs, and the last epochs in words."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from efn_compose.analysis.charts.chart_monitors import Curve, monitor_figure
from efn_compose.analysis.html.markup import Html
from efn_compose.analysis.html.report_parts import table

#: What is drawn: key of a journal line's monitors, title, and what it means.
_CURVES = (
    (
        "loss",
        "Loss",
        "The method's own loss of the training images; methods cannot be compared by it.",
    ),
    ("spread", "Spread", "1: outputs point everywhere. Below 0.3 they collapse."),
    (
        "rank_share",
        "Effective rank, share of the donor's",
        "How many dimensions the features use. An alarm is raised below 0.1, and when it halves.",
    ),
    (
        "neighbours",
        "Neighbours that are the donor's",
        "It falls slowly. Below 0.1 the donor's knowledge is lost.",
    ),
    ("knn", "Labels that neighbours tell", "Of the watched images that have a label."),
)


@dataclass(frozen=True)
class _Row:
    """How a monitor is shown: its name in words, its unit, what is shown for 1, and its digits.

    `short` is its name in a line of a terminal, where there is no room for the words.
    """

    words: str
    unit: str = ""
    scale: float = 1.0
    digits: int = 3
    short: str = ""

    def number(self, value: float) -> str:
        """Return a value without its unit."""
        return f"{self.scale * value:.{self.digits}f}"


def _percent(words: str, short: str = "") -> _Row:
    return _Row(words, "%", 100.0, 1, short)


#: By the key in the journal, in the order of the table.
_ROWS = {
    "loss": _Row("the method's own loss of the training images", digits=4),
    "spread": _Row("spread of the outputs", short="spread"),
    "std": _Row("standard deviation of the outputs", short="deviation"),
    "rank": _Row("effective rank of the features", "dimensions", digits=1, short="rank"),
    "rank_share": _percent("effective rank, share of the donor's", "of the donor's rank"),
    "neighbours": _percent("neighbours that are the donor's", "of the donor's neighbours"),
    "knn": _percent("labels that neighbours tell", "labels by neighbours"),
    "knn_gain": _Row(
        "labels that neighbours tell, minus the donor's", "points", 100.0, 1, "gain on the donor"
    ),
    "teacher_moved": _Row(
        "way of the teacher, share of its length", "%", 100.0, 3, "way of the teacher"
    ),
    "rotation": _percent("turns that are told right"),
    "perplexity_share": _percent("codes in use"),
    "target_share": _percent(
        "changed images that are taken for the new class", "taken for the new class"
    ),
    "cycle": _percent(
        "distance of images from their way there and back, share of the range", "there and back"
    ),
    "critic_gap": _Row(
        "what the critic says of images, minus of generated ones", short="gap of the critic"
    ),
    "penalty": _Row("gradient penalty of the critic", short="penalty"),
}


def monitor_line(monitors: Mapping[str, float]) -> str:
    """Return the monitors of an epoch in one line, in the order of the page's table.

    Args:
        monitors: Values by their keys in the journal.

    Example:
        >>> print(monitor_line({"neighbours": 0.881, "rank": 45.23}))
        rank 45.2 dimensions, of the donor's neighbours 88.1 %
    """
    return ", ".join(
        " ".join(filter(None, (row.short or row.words, row.number(monitors[key]), row.unit)))
        for key, row in _rows_of(monitors)
    )


def _rows_of(there: Iterable[str]) -> list[tuple[str, _Row]]:
    """Return the keys that are there, with their rows, in the order of the table.

    A monitor without a row, such as a method's own that was added to the code, keeps its key.
    """
    given = list(there)
    keys = [key for key in _ROWS if key in given] + [key for key in given if key not in _ROWS]
    return [(key, _ROWS.get(key, _Row(key))) for key in keys]


def monitor_curves(records: Sequence[Mapping[str, Any]]) -> list[Html | None]:
    """Return a figure for each monitor that is drawn; None where no training has it.

    Args:
        records: Lines of the journal; those with an "epoch" count.
    """
    epochs = [record for record in records if "epoch" in record]
    names = list(dict.fromkeys(record["training"] for record in epochs))
    found: list[Html | None] = []
    for key, title, words in _CURVES:
        curves = []
        for training in names:
            points = [
                (record["epoch"], value)
                for record in epochs
                if record["training"] == training
                and (value := _values(record).get(key)) is not None
            ]
            if points:
                curves.append(Curve(training, points))
        found.append(monitor_figure(title, curves, words) if curves else None)
    return found


def last_epochs(records: Sequence[Mapping[str, Any]]) -> Html | None:
    """Return the table of each pretraining's last epoch, a row per monitor; None before the first one.

    Args:
        records: Lines of the journal; those with an "epoch" count.
    """
    last = {record["training"]: record for record in records if "epoch" in record}
    if not last:
        return None
    values = [_values(record) for record in last.values()]
    there = list(dict.fromkeys(key for found in values for key in found))
    rows = [["epoch", "", *(str(record["epoch"]) for record in last.values())]]
    for key, row in _rows_of(there):
        cells = [row.number(found[key]) if key in found else "" for found in values]
        rows.append([row.words, row.unit, *cells])
    return table(
        ["monitor", "unit", *last],
        rows,
        numeric=range(2, 2 + len(last)),
        caption="The last epoch of each pretraining. All but the loss is measured on the watched images.",
    )


def _values(record: Mapping[str, Any]) -> dict[str, float]:
    return {"loss": record["loss"], **record["monitors"]}
