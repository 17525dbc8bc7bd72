"""Small pieces that sections of a page, and the tables of charts, are made of."""

from collections.abc import Iterable, Sequence

from efn_compose.analysis.html.markup import Child, Html, element, join


def section(identifier: str, title: str, *children: Child) -> Html:
    """Return a section of the page with a heading that the navigation points at."""
    return element(
        "section",
        element("h2", title, id=f"{identifier}-title"),
        *children,
        id=identifier,
        aria_labelledby=f"{identifier}-title",
    )


def table(
    head: Sequence[str],
    rows: Iterable[Sequence[Child]],
    *,
    numeric: Iterable[int] = (),
    caption: str = "",
    row_classes: Sequence[str] | None = None,
    wide_column: int | None = None,
) -> Html:
    """Return a table that scrolls sideways on its own where the page is narrow.

    Args:
        head: Column titles.
        rows: Cells; the first one is the row's heading.
        numeric: Columns aligned to the right.
        caption: Says what the table shows; stands above it and does not scroll.
        row_classes: A style class per row.
        wide_column: Column that takes the room that is left, for bars.
    """
    right = set(numeric)

    def class_of(column: int) -> str | None:
        return "n" if column in right else "barcell" if column == wide_column else None

    body = []
    for number, row in enumerate(rows):
        cells = [
            element("th", cell, scope="row", class_=class_of(column))
            if column == 0
            else element("td", cell, class_=class_of(column))
            for column, cell in enumerate(row)
        ]
        row_class = row_classes[number] if row_classes else ""
        body.append(element("tr", cells, class_=row_class or None))
    titles = [
        element("th", title, scope="col", class_=class_of(column))
        for column, title in enumerate(head)
    ]
    content = element("table", element("thead", element("tr", titles)), element("tbody", body))
    # What scrolls must be reachable by keyboard, and have a name for those who hear it.
    scrolling = element(
        "div",
        content,
        class_="scroll",
        tabindex="0",
        role="region",
        aria_label=caption or "Table",
    )
    return join([element("p", caption, class_="note") if caption else None, scrolling])


def facts(entries: Iterable[tuple[str, Child, Child]], main: int | None = None) -> Html:
    """Return key figures: (what, value, remark) each."""
    return element(
        "dl",
        [
            element(
                "div",
                element("dt", what),
                element("dd", element("span", value), element("small", remark) if remark else None),
                class_="main" if number == main else None,
            )
            for number, (what, value, remark) in enumerate(entries)
        ],
        class_="facts",
    )


def folded(summary: Child, *children: Child) -> Html:
    """Return content that is folded away until asked for."""
    return element("details", element("summary", summary), *children)


def fingerprint(digest: object, length: int = 16) -> Html:
    """Return the beginning of a hash, the whole of it on hovering."""
    content = str(digest or "")
    if not content:
        return element("span", "unknown", class_="quiet")
    shown = content if len(content) <= length else f"{content[:length]}…"
    return element("span", shown, class_="hash cut", title=content)
