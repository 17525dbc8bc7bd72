"""`~` in what a person writes: in configurations, after `--set`, and anywhere on a command line."""

import os
import re

#: `~/` or `~name/` at the beginning, or after words such as `csv:`, `small=` and `--set data.source=`.
_HOME = re.compile(r"^((?:[\w.-]+[:=])*)(~[\w.-]*)(?=/|$)")


def with_home(text: str) -> str:
    """Return a text with the home folder in place of `~`, where a path begins.

    A shell replaces `~` at the beginning of a word only. It leaves `csv:~/images.csv` as it is, and
    nothing else replaces `~` in a configuration file.

    Args:
        text: A path, a source of images, a labelled entry, or any other text, which stays as it is.

    Example:
        >>> with_home("csv:~/a.csv") == "csv:" + os.path.expanduser("~/a.csv")
        True
        >>> with_home("runs/b0~/last.h5"), with_home("digits")
        ('runs/b0~/last.h5', 'digits')
    """
    return _HOME.sub(lambda found: found[1] + os.path.expanduser(found[2]), text)
