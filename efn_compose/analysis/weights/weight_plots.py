"""Pictures of weights: stem filters, BatchNorm statistics and kernel scales by depth, differences."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from efn_compose.analysis.html.palette import DONORS_LIGHT, LIGHT
from efn_compose.analysis.plot_file import require_matplotlib
from efn_compose.analysis.weights.weight_comparison import compare_weights
from efn_compose.arch import HEAD_LAYER, inventory
from efn_compose.arch.layer_names import STEM_CONV
from efn_compose.donors import Donor

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_STATISTICS = {
    "gamma": "scale of the normalisation (gamma)",
    "beta": "shift of the normalisation (beta)",
    "moving_mean": "BatchNorm moving mean",
    "moving_variance": "BatchNorm moving variance",
}
_KERNELS = {
    "1×1 and full kernels": ("kernel", "o"),
    "depthwise kernels": ("depthwise_kernel", "^"),
}
_PER_ROW = 16


def plot_weights(first: Donor, second: Donor | None = None) -> "Figure":
    """Return a figure of one set of weights, or of two with their differences.

    From the top: stem filters as images, each scaled by itself; by depth, the four
    vectors of normalisations (median, and a band from the 5th to the 95th percentile of the channels); the
    root mean square of each kernel over that of He's initialisation, sqrt(2 / fan-in); with
    two sets, the norm of each tensor's difference over the norm of the first.

    Args:
        first: A donor.
        second: Another one, of the same network or not; tensors of equal name and shape are
            compared.

    Raises:
        DataError: matplotlib is not installed.

    Example:
        >>> plot_weights(load_donor("a.h5"), load_donor("b.h5")).savefig("ab.png")  # doctest: +SKIP
    """
    require_matplotlib()
    from matplotlib.figure import Figure

    donors = [first] if second is None else [first, second]
    filters = max(-(-_stem(donor).shape[-1] // _PER_ROW) for donor in donors)
    stem_height = 0.62 * filters * len(donors) + 0.3 * len(donors)
    rows = [stem_height, 2.1, 2.1, 2.4] + ([2.6] if second is not None else [])
    figure = Figure(figsize=(10, sum(rows) + 1.2), layout="constrained", facecolor=LIGHT["paper"])
    figure.suptitle(" and ".join(_title(donor) for donor in donors), fontsize=12)
    grid = figure.add_gridspec(len(rows), 2, height_ratios=rows)
    _draw_stems(figure, grid[0, :], donors)
    for number, role in enumerate(_STATISTICS):
        axes = figure.add_subplot(grid[1 + number // 2, number % 2])
        _draw_statistic(axes, donors, role)
    _draw_scales(figure.add_subplot(grid[3, :]), donors)
    if second is not None:
        _draw_differences(figure.add_subplot(grid[4, :]), first, second)
    return figure


def _title(donor: Donor) -> str:
    return f"{donor.name} ({donor.spec.variant})"


def _stem(donor: Donor) -> np.ndarray:
    """Return the stem's kernel, (height, width, RGB, filter)."""
    return donor.tensors[f"{STEM_CONV}/kernel"]


def _draw_stems(figure: "Figure", place: Any, donors: Sequence[Donor]) -> None:
    grid = place.subgridspec(len(donors), 1)
    for number, donor in enumerate(donors):
        axes = figure.add_subplot(grid[number, 0])
        axes.imshow(stem_mosaic(_stem(donor)), interpolation="nearest")
        axes.set_title(f"stem filters of {donor.name}", fontsize=9, loc="left")
        axes.set_axis_off()


def stem_mosaic(kernel: np.ndarray) -> np.ndarray:
    """Return filters side by side as one RGB image.

    Args:
        kernel: (height, width, 3, filter); each filter is scaled by its largest absolute
            value, so that 0 is mid-grey.

    Returns:
        float32 (row, column, 3), values 0-1; white between filters.

    Example:
        >>> stem_mosaic(np.zeros((3, 3, 3, 2)))[:3, :3].max()
        np.float32(0.5)
    """
    height, width, _, count = kernel.shape
    columns = min(_PER_ROW, count)
    rows = -(-count // columns)
    mosaic = np.ones((rows * (height + 1) - 1, columns * (width + 1) - 1, 3), np.float32)
    largest = np.abs(kernel).max(axis=(0, 1, 2))
    scaled = 0.5 + 0.5 * kernel / np.where(largest > 0, largest, 1)
    for number in range(count):
        top, left = (number // columns) * (height + 1), (number % columns) * (width + 1)
        mosaic[top : top + height, left : left + width] = scaled[..., number]
    return mosaic


def _draw_statistic(axes: Any, donors: Sequence[Donor], role: str) -> None:
    for number, donor in enumerate(donors):
        layers = [t.name for t in inventory(donor.spec) if t.role == role]
        if not layers:
            continue  # GroupNorm stores no statistics
        low, middle, high = np.array(
            [np.percentile(donor.tensors[name], (5, 50, 95)) for name in layers]
        ).T
        depth = np.linspace(0, 1, len(layers))
        colour = DONORS_LIGHT[number]
        axes.fill_between(depth, low, high, color=colour, alpha=0.18, linewidth=0)
        axes.plot(depth, middle, color=colour, linewidth=1.4, label=donor.name)
    if role == "moving_variance":
        axes.set_yscale("log")
    _finish(axes, _STATISTICS[role], len(donors) > 1 and role == "gamma")


def _draw_scales(axes: Any, donors: Sequence[Donor]) -> None:
    for number, donor in enumerate(donors):
        tensors = [t for t in inventory(donor.spec) if t.role in ("kernel", "depthwise_kernel")]
        depth = np.linspace(0, 1, len(tensors))
        for words, (role, marker) in _KERNELS.items():
            points = [
                (place, _scale(donor.tensors[t.name], role))
                for place, t in zip(depth, tensors, strict=True)
                if t.role == role
            ]
            if points:
                label = f"{donor.name}: {words}" if len(donors) > 1 else words
                # All-zero kernels, as of nested repeats, have no place on a logarithmic axis.
                shown = [(x, y) for x, y in points if y > 0]
                colour = DONORS_LIGHT[number]
                axes.plot(
                    *zip(*shown, strict=True), marker, color=colour, markersize=4, label=label
                )
    axes.set_yscale("log")
    axes.axhline(1, color=LIGHT["ink-2"], linewidth=0.8, linestyle=":")
    _finish(axes, "Root mean square of each kernel over He's initialisation", True)


def _scale(kernel: np.ndarray, role: str) -> float:
    fan_in = np.prod(kernel.shape[:2] if role == "depthwise_kernel" else kernel.shape[:-1])
    return float(np.sqrt(np.mean(kernel.astype(np.float64) ** 2) / (2 / fan_in)))


def _draw_differences(axes: Any, first: Donor, second: Donor) -> None:
    found = [t for t in compare_weights(first, second).tensors if not t.name.startswith(HEAD_LAYER)]
    equal = sum(t.relative == 0 for t in found)
    depth = np.linspace(0, 1, max(1, len(found)))
    kinds = {
        "kernels": "kernel",
        "BatchNorm scale and shift": "gamma beta",
        "moving statistics": "",
    }
    seen: set[str] = set()
    for number, (words, roles) in enumerate(kinds.items()):
        points = []
        for place, tensor in zip(depth, found, strict=True):
            role = tensor.name.rpartition("/")[2]
            is_kind = ("kernel" in role if roles == "kernel" else role in roles.split()) or (
                not roles and role.startswith("moving")
            )
            if is_kind and np.isfinite(tensor.relative) and tensor.relative > 0:
                points.append((place, tensor.relative))
                seen.add(tensor.name)
        if points:
            colour = DONORS_LIGHT[number + 2]
            axes.plot(*zip(*points, strict=True), "o", color=colour, markersize=3.5, label=words)
    if seen:
        axes.set_yscale("log")
    title = f"Difference over norm, by tensor; {equal:,} of {len(found):,} tensors are equal"
    _finish(axes, title, bool(seen))


def _finish(axes: Any, title: str, has_legend: bool) -> None:
    axes.set_title(title, fontsize=9, loc="left")
    axes.set_xlim(-0.01, 1.01)
    axes.set_xticks([0, 1], ["input", "output"], fontsize=8)
    axes.tick_params(axis="y", labelsize=8)
    axes.grid(axis="y", color=LIGHT["rule"], linewidth=0.6)
    axes.set_facecolor("white")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    if has_legend:
        axes.legend(fontsize=8, frameon=False, ncols=2, loc="lower right", bbox_to_anchor=(1, 0.98))
