"""Keeps a figure, its error and its unit on one line."""

import re

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import Files
from mkdocs.structure.pages import Page

_ERROR = re.compile(r"(?<=[\d.]) ± (?=[\d.])")
_UNIT = re.compile(r"(?<=\d) (?=(?:%|px|s|ms|MB|GB|kB)(?![\w/]))")
_FENCE = re.compile(r"(^```.*?^```|`[^`\n]*`)", re.MULTILINE | re.DOTALL)


def on_page_markdown(text: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Put spaces that do not break into figures, except in code."""
    parts = _FENCE.split(text)
    return "".join(part if part.startswith("`") else _unbroken(part) for part in parts)


def _unbroken(text: str) -> str:
    return _UNIT.sub("\u00a0", _ERROR.sub("\u00a0±\u00a0", text))
