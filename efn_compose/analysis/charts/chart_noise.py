"""The noise measurement as a picture: one donor, one mark per seed."""

from efn_compose.analysis.html.markup import Html
from efn_compose.analysis.html.report_svg import (
    Frame,
    dots,
    figure,
    line,
    nice_ticks,
    rectangle,
    svg,
    x_axis,
)
from efn_compose.analysis.reading.figures import loss_text
from efn_compose.analysis.reading.noise import Noise


def noise_figure(noise: Noise | None) -> Html | None:
    """Return the figure of one donor's losses over seeds; None for fewer than two."""
    if noise is None or noise.deviation is None:
        return None
    below, above = noise.centre - noise.deviation, noise.centre + noise.deviation
    low, high = min(*noise.losses, below), max(*noise.losses, above)
    pad = (high - low or abs(low) or 1.0) * 0.15

    def draw(width: float) -> Html:
        frame = Frame(14, 8, width - 28, 46, (low - pad, high + pad), (0, 1))
        left, right = frame.x(below), frame.x(above)
        middle, centre = frame.top + frame.height / 2, frame.x(noise.centre)
        marks = [
            rectangle(left, frame.top, right - left, frame.height, "noise"),
            line(centre, frame.top, centre, frame.bottom, "frame"),
            dots([(frame.x(loss), middle) for loss in noise.losses], "big inked"),
            *x_axis(
                frame,
                nice_ticks(*frame.x_range, 4 if width < 500 else 8),
                "Validation loss (nats)",
            ),
        ]
        return svg(width, frame.bottom + 42, marks, label=f"Losses {_list(noise)}")

    return figure(
        draw,
        f"Each mark is the same donor under another seed: {_list(noise)}. The line is their mean, the "
        "grey band ± 1 standard deviation: this is what luck does to a single evaluation.",
    )


def _list(noise: Noise) -> str:
    return ", ".join(loss_text(loss) for loss in noise.losses)
