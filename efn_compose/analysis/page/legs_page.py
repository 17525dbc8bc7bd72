"""legs.html: the legs of a run that was handed on, for runs that have no other page."""

from pathlib import Path

from efn_compose.analysis.charts.chart_legs import legs_section
from efn_compose.analysis.html.markup import element, name
from efn_compose.analysis.html.report_parts import section
from efn_compose.analysis.page.report import page
from efn_compose.store import write_text
from efn_compose.store.run_folder import LEGS_PAGE, named_folder


def write_legs_page(folder: Path) -> Path:
    """Draw the legs of a run from its folder alone and write the page there, atomically.

    Args:
        folder: The run folder.
    """
    folder = named_folder(folder)
    body = element(
        "div",
        element("header", element("h1", "Legs of ", name(folder.name))),
        element("main", section("legs", "Who did what", legs_section(folder))),
        class_="page",
    )
    path = folder / LEGS_PAGE
    write_text(path, page(f"Legs of {folder.name}", body))
    return path
