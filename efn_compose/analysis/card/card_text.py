"""Texts from data, made harmless for Markdown."""

import re

from efn_compose.analysis.html.markup import clean

#: What Markdown acts on anywhere; underscores only where no letter or digit is on one side.
_ACTIVE = re.compile(r"[\\`*{}\[\]|<>~&$]|(?<![^\W_])_|_(?![^\W_])|^[-+#=]")
_LIST_NUMBER = re.compile(r"^(\d+)([.)])")


def inline(text: object) -> str:
    """Return a text from data so that Markdown shows it unchanged.

    Example:
        >>> inline("a_b <script>")
        'a_b \\\\<script\\\\>'
    """
    escaped = _ACTIVE.sub(r"\\\g<0>", " ".join(clean(text).split()))
    return _LIST_NUMBER.sub(r"\1\\\2", escaped)


def code(text: object) -> str:
    """Return a text from data as a code span; the text may hold backticks."""
    content = " ".join(clean(text).split()) or " "
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", content)), default=0))
    pad = " " if content.startswith("`") or content.endswith("`") else ""
    return f"{fence}{pad}{content}{pad}{fence}"
