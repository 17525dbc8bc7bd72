"""Pages that live elsewhere in the repository, shown in the site without a second copy.

A link from one page to another is written as it works in the repository, such as
`../experiments/results/parity.md`, and is turned into the site's own here.
"""

import posixpath
import re
from collections.abc import Callable
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parent.parent.parent
#: File in the repository -> page of the site.
PAGES = {
    "ARCHITECTURE.md": "architecture.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "converters/README.md": "converters.md",
    **{
        path.relative_to(ROOT).as_posix(): f"results/{path.name}"
        for path in sorted((ROOT / "experiments" / "results").glob("*.md"))
    },
}
_SOURCES = {page: source for source, page in PAGES.items()}
_LINK = re.compile(r"(?<!!)\[(?P<words>[^\]]*)\]\((?P<target>[^)#\s]+)(?P<anchor>#[^)]*)?\)")


def on_config(config: MkDocsConfig) -> None:
    """Add every page of measurements to the navigation."""
    for entry in config.nav:
        if "Measurements" in entry:
            pages = [page for page in PAGES.values() if page.startswith("results/")]
            entry["Measurements"] += [_title(page) for page in pages]


def on_files(files: Files, config: MkDocsConfig) -> None:
    """Add the pages."""
    for source, page in PAGES.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=text))


def on_page_markdown(text: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn links into the repository to links of the site; what is no page becomes its words."""
    here = page.file.src_uri
    source = _SOURCES.get(here, f"docs/{here}")

    def link(found: re.Match[str]) -> str:
        target, anchor = found["target"], found["anchor"] or ""
        if "://" in target or target.startswith("mailto:"):
            return found[0]
        place = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
        wanted = PAGES.get(place, place.removeprefix("docs/") if _is_in_docs(place) else None)
        if wanted is None:
            if not (ROOT / place).exists():
                return found[0]  # a dead link: the strict build says so
            return (
                f"{found['words']} (`{place}`)" if found["words"] != f"`{place}`" else f"`{place}`"
            )
        relative = posixpath.relpath(wanted, posixpath.dirname(here) or ".")
        return f"[{found['words']}]({relative}{anchor})"

    return _outside_code(text, lambda part: _LINK.sub(link, part))


def _is_in_docs(place: str) -> bool:
    return place.startswith("docs/")


def _title(page: str) -> dict[str, str]:
    """Return a page under its heading, up to a colon."""
    heading = (ROOT / _SOURCES[page]).read_text(encoding="utf-8").splitlines()[0]
    return {heading.removeprefix("# ").partition(":")[0]: page}


def _outside_code(text: str, change: Callable[[str], str]) -> str:
    """Apply a change to everything but fenced code."""
    parts = re.split(r"(^```.*?^```)", text, flags=re.MULTILINE | re.DOTALL)
    return "".join(part if part.startswith("```") else change(part) for part in parts)
