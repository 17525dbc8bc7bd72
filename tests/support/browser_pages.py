"""A headless Chromium for tests of pages: what it complains about, what overflows, what Tab reaches."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

#: Texts inside pictures, which axe leaves out: contrast of each with what lies under its middle.
_PICTURE_TEXTS = """() => {
  const parse = colour => colour.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(v => v / 255)
    .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const paper = parse(getComputedStyle(document.body).backgroundColor);
  const found = [], grounds = new Map();
  // Looked at once per picture: there are many more shapes than texts lie on.
  const rectangles = picture => {
    if (!grounds.has(picture)) {
      grounds.set(picture, [...picture.querySelectorAll('rect')].map(shape => {
        const style = getComputedStyle(shape);
        return {area: shape.getBoundingClientRect(), fill: style.fill,
                share: +style.opacity * +style.fillOpacity};
      }).filter(shape => shape.fill !== 'none'));
    }
    return grounds.get(picture);
  };
  for (const text of document.querySelectorAll('svg text')) {
    const box = text.getBoundingClientRect();
    if (!box.width || !text.textContent.trim()) continue;
    const x = box.left + box.width / 2, y = box.top + box.height / 2;
    // The last rectangle that holds the text's middle lies under it.
    let under = paper;
    for (const {area, fill, share} of rectangles(text.ownerSVGElement)) {
      if (area.left <= x && x <= area.right && area.top <= y && y <= area.bottom) {
        const part = parse(fill);
        under = under.map((v, i) => share * part[i] + (1 - share) * v);
      }
    }
    const [a, b] = [light(parse(getComputedStyle(text).fill)), light(under)].sort((p, q) => q - p);
    const clip = text.ownerSVGElement.getBoundingClientRect();
    found.push({
      text: text.textContent, contrast: (a + 0.05) / (b + 0.05),
      outside: Math.max(clip.left - box.left, box.right - clip.right,
                        clip.top - box.top, box.bottom - clip.bottom),
    });
  }
  return found;
}"""


@contextmanager
def browser() -> Iterator[Any]:
    """Start the system's Chromium; skip the test where there is none."""
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="playwright is in the test extra"
    )
    names = ("chromium", "chromium-browser", "google-chrome")
    path = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    if path is None:
        pytest.skip("no Chromium found: apt-get install chromium, or set CHROMIUM to its path")
    with playwright.sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        try:
            yield running
        finally:
            running.close()


@contextmanager
def page_of(running: Any, url: str, width: int, scheme: str) -> Iterator[tuple[Any, list[str]]]:
    """Open a page; yields it and a list that gathers what the console and the network say."""
    context = running.new_context(
        viewport={"width": width, "height": 844}, color_scheme=scheme, bypass_csp=True
    )
    page = context.new_page()
    page.set_default_timeout(120_000)  # a busy machine needs more than half a minute
    said: list[str] = []
    page.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
    page.on("pageerror", lambda error: said.append(f"error: {error}"))
    page.on("requestfailed", lambda request: said.append(f"failed: {request.url}"))
    page.on(
        "request",
        lambda request: (
            None
            if request.url.startswith(("file:", "data:", "http://127.0.0.1", "blob:"))
            else said.append(f"asked for {request.url}")
        ),
    )
    page.goto(url)
    try:
        yield page, said
    finally:
        context.close()


def overflow(page: Any) -> int:
    """Return by how many pixels a page is wider than the window."""
    return page.evaluate("document.documentElement.scrollWidth - innerWidth")


def violations(page: Any) -> list[str]:
    """Return what axe-core finds against WCAG 2.2, A and AA, contrast included."""
    from axe_playwright_python.sync_playwright import Axe

    options = {
        "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"],
        # Else the thousands of elements that pass are described one by one, too.
        "resultTypes": ["violations"],
    }
    found = Axe().run(page, options=options).response["violations"]
    return [f"{one['id']}: {node['html'][:200]}" for one in found for node in one["nodes"]]


def picture_texts(page: Any) -> list[dict[str, Any]]:
    """Return text, contrast and pixels outside the picture of each text in a chart."""
    return page.evaluate(_PICTURE_TEXTS)


def tab_stops(page: Any, limit: int = 400) -> list[str]:
    """Return the outer HTML, cut short, of what the Tab key reaches, in order."""
    stops = []
    for _ in range(limit):
        page.keyboard.press("Tab")
        stop = page.evaluate(
            "document.activeElement === document.body ? '' :"
            " document.activeElement.outerHTML.slice(0, 120)"
        )
        if not stop:
            break
        stops.append(stop)
    return stops
