"""Pictures of a training, where matplotlib is installed; without it nothing is drawn."""

import importlib.util
from pathlib import Path
from typing import Any

from efn_compose.store import atomic_path
from efn_compose.train.recipe.history import History
from efn_compose.train.recipe.rate_finder import RateCurve

_BLUE, _ORANGE, _GREY = "#2a6f97", "#d1603d", "#8a8f98"


def draw_history(history: History, path: Path, title: str) -> None:
    """Draw loss and scores over the epochs into a PNG file."""
    if not _has_matplotlib():
        return
    numbers = [record.epoch for record in history.epochs]
    figure, (left, right) = _axes(2)
    left.plot(numbers, [record.train_loss for record in history.epochs], color=_GREY, label="train")
    scored = [record for record in history.epochs if record.validation]
    colours = {"loss": _BLUE, "accuracy": _BLUE, "iou": _BLUE}
    for name in scored[0].validation if scored else ():
        values = [record.validation[name] for record in scored]
        label, axis = ("validation", left) if name == "loss" else (name, right)
        style = "--" if name.endswith("_pooled") else "-"
        color = colours.get(name.removesuffix("_pooled"), _ORANGE)
        at = [record.epoch for record in scored]
        axis.plot(at, values, style, color=color, marker="o", ms=3, label=label)
    if history.best_epoch:
        left.axvline(history.best_epoch, color=_GREY, lw=0.8, ls=":")
        left.annotate(
            "best", (history.best_epoch, 0.97), xycoords=("data", "axes fraction"), color=_GREY,
            fontsize=8, va="top",
        )  # fmt: skip
    left.set(xlabel="epoch", ylabel="loss, nats", title=title)
    right.set(xlabel="epoch", title="validation")
    for axis in (left, right):
        axis.xaxis.get_major_locator().set_params(integer=True)
        if axis.lines:
            axis.legend(frameon=False)
    _save(figure, path)


def draw_rates(curve: RateCurve, path: Path) -> None:
    """Draw a range test into a PNG file."""
    if not _has_matplotlib() or not curve.rates:
        return
    figure, (axis,) = _axes(1)
    axis.plot(curve.rates, curve.losses, color=_GREY, lw=0.7, label="batch")
    axis.plot(curve.rates, curve.smoothed, color=_BLUE, label="smoothed")
    if curve.rate is not None:
        axis.axvline(curve.rate, color=_ORANGE, lw=1, label=f"taken: {curve.rate:.2g}")
    # The explosion at the end would flatten everything before it.
    axis.set_ylim(0, 2 * max(curve.smoothed[: len(curve.smoothed) // 2 + 1]))
    axis.set(xscale="log", xlabel="learning rate", ylabel="loss, nats", title="range test")
    axis.legend(frameon=False)
    _save(figure, path)


def _has_matplotlib() -> bool:
    return importlib.util.find_spec("matplotlib") is not None


def _axes(count: int) -> tuple[Any, Any]:
    # The figure itself, not pyplot: no window system, and workers may be threads.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.5 * count, 3.2), layout="constrained")
    axes = figure.subplots(1, count, squeeze=False)[0]
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _save(figure: Any, path: Path) -> None:
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110)
