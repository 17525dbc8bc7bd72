"""The text of a table: its encoding, its separator, its header and rows."""

import codecs
import csv
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from efn_compose.errors import DataError

#: Encodings that say so in a table's first bytes.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # begins like UTF-16
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_NAMED = re.compile(r'"?sep=(.)"?', re.IGNORECASE)
#: Letters of a field, at most; Python's own limit of 131,072 is met by masks written as text.
_LONGEST = 2**31 - 1
_SEPARATORS = (",", ";", "\t", "|")
#: How files begin that lie under a table's name and are something else.
_OTHER_KINDS = (
    (b"PK\x03\x04", "an Excel workbook or another archive", "Save its sheet as CSV UTF-8."),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook", "Save its sheet as CSV UTF-8."),
    (b"PAR1", "a Parquet file", "Name it parquet:PATH."),
    (b"<", "an HTML or XML document", "Fetch the table itself."),
    (
        b"version https://git-lfs",
        "a Git LFS pointer, which stands for the file",
        "Run git lfs pull.",
    ),
)


@contextmanager
def open_rows(table: Path) -> Iterator[tuple[list[str], Iterator[tuple[int, list[str]]]]]:
    """Hold a table open: its header and, one after the other, its rows that are not empty.

    A row comes with the number of its line.

    Args:
        table: A file in UTF-8, UTF-16 or UTF-32. The separator is the one that a first line
            "sep=;" names, else the one of comma, semicolon, tab and bar that is most frequent in
            the first line. Empty lines are passed over.

    Raises:
        DataError: No such file, another encoding, or a file of another kind.

    Example:
        >>> with open_rows(Path("train.csv")) as (header, rows):  # doctest: +SKIP
        ...     print(header)
        ['image', 'label']
    """
    if not table.is_file():
        raise DataError(f"{table}: no such file (seen from {Path.cwd()}).")
    with open(table, "rb") as file:
        start = file.read(32)
    for sign, what, step in _OTHER_KINDS:
        if start.startswith(sign):
            raise DataError(f"{table}: not a CSV file but {what}. {step}")
    encoding = next((name for mark, name in _MARKS if start.startswith(mark)), None)
    # Text of ASCII letters in UTF-16 has a zero at every second place.
    encoding = (
        encoding
        or {b"\0": "utf-16-be"}.get(start[:1])
        or ("utf-16-le" if start[1:2] == b"\0" else "utf-8")
    )
    try:
        with open(table, newline="", encoding=encoding) as file:
            before, start_of_line = 0, 0
            while (first := file.readline()) and not first.strip():
                before, start_of_line = before + 1, file.tell()
            # Spreadsheets may name the separator in a line of its own: sep=;
            named = _NAMED.fullmatch(first.strip())
            if named is None:
                file.seek(start_of_line)
            separator = named[1] if named else max(_SEPARATORS, key=first.count)
            # A column may hold JSON or text of any length; the images are read from others.
            csv.field_size_limit(_LONGEST)
            reader = csv.reader(file, delimiter=separator)
            header = [name.strip() for name in next(reader, [])]
            before += 1 if named else 0
            yield header, ((reader.line_num + before, row) for row in reader if row)
    except (UnicodeError, csv.Error) as error:
        raise DataError(
            f"{table}: not a CSV file in UTF-8 or UTF-16 ({error}). Save it as CSV UTF-8."
        ) from None
