"""HTML and SVG that cannot be injected into: every string is escaped unless it is markup already."""

import html
import re
from collections.abc import Iterable
from typing import Any

#: Control characters, lone surrogates and non-characters, which no page may hold, and what turns
#: the direction of the text around a name.
_FORBIDDEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)
_EMPTY_TAGS = frozenset({"br", "col", "hr", "img", "link", "meta"})
#: SVG shapes without children close themselves.
_SHAPES = frozenset({"circle", "line", "path", "polygon", "polyline", "rect", "use"})


class Html(str):
    """Text that is markup; everything else is escaped on its way into an element."""

    __slots__ = ()


Child = Any


def clean(text: object) -> str:
    """Return a text without characters that a page may not hold, each replaced by U+FFFD.

    Example:
        >>> clean("a" + chr(0) + "b")
        'a\ufffdb'
    """
    return _FORBIDDEN.sub("\ufffd", str(text))


def escape(value: object) -> Html:
    """Return a value as markup: escaped, unless it is markup already.

    Example:
        >>> escape("<script>")
        '&lt;script&gt;'
    """
    return value if isinstance(value, Html) else Html(html.escape(clean(value), quote=True))


def join(children: Iterable[Child], separator: str = "") -> Html:
    """Return children one after another; None is left out, iterables are flattened."""
    return Html(separator.join(_flatten(children)))


def element(tag: str, *children: Child, **attributes: Any) -> Html:
    """Return an element.

    Args:
        tag: Its name.
        children: Text (escaped), `Html`, None, or iterables of these.
        attributes: By name, `_` for `-`, a trailing `_` dropped; None and False are
            left out, True gives the bare name, floats are rounded to 2 digits.

    Example:
        >>> element("td", "<b>", class_="name")
        '<td class="name">&lt;b&gt;</td>'
    """
    opening = f"{tag}{_attributes(attributes)}"
    content = join(children)
    if tag in _EMPTY_TAGS:
        return Html(f"<{opening}>")
    if tag in _SHAPES and not content:
        return Html(f"<{opening}/>")
    return Html(f"<{opening}>{content}</{tag}>")


def name(text: object) -> Html:
    """Return a name that came from data, kept apart from the text around it (`<bdi>`)."""
    return element("bdi", text)


def _attributes(attributes: dict[str, Any]) -> str:
    parts = []
    for key, value in attributes.items():
        if value is None or value is False:
            continue
        key = key.rstrip("_").replace("_", "-")
        if value is True:
            parts.append(f" {key}")
        else:
            text = short(value) if isinstance(value, float) else value
            parts.append(f' {key}="{html.escape(clean(text), quote=True)}"')
    return "".join(parts)


def _flatten(children: Iterable[Child]) -> Iterable[str]:
    for child in children:
        if child is None:
            continue
        if isinstance(child, str):
            yield escape(child)
        elif isinstance(child, Iterable):
            yield from _flatten(child)
        else:
            yield escape(child)


def short(value: float) -> str:
    """Return a coordinate with at most 2 digits after the point.

    Example:
        >>> short(12.0), short(0.126)
        ('12', '0.13')
    """
    text = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text
