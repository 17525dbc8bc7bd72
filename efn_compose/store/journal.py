"""The journal: one line of JSON per evaluation, on the disk before the next one starts."""

import json
import math
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from efn_compose.errors import RunError


@dataclass(frozen=True)
class JournalContents:
    """The contents of a journal file.

    Args:
        records: The records of all whole lines, in order.
        torn_bytes: Bytes after the last line end, left by a process killed while writing.
    """

    records: tuple[dict[str, Any], ...]
    torn_bytes: int


def read_journal(path: str | os.PathLike[str]) -> JournalContents:
    """Read a journal without changing it.

    A last line without a line end is torn and left out; everything else must be whole.

    Args:
        path: The file; a missing one is an empty journal.

    Raises:
        RunError: A whole line is not a JSON object; the message names the line.

    Example:
        >>> read_journal("runs/first/evaluations.jsonl").torn_bytes  # doctest: +SKIP
        0
    """
    path = Path(path)
    records, whole = [], 0
    for record, length in _whole_lines(path):
        records.append(record)
        whole += length
    return JournalContents(tuple(records), _size(path) - whole)


class Journal:
    """An append-only file of JSON lines, each one on the disk when `append` returns.

    Opening cuts a torn last line off. The caller must hold the run folder's lock.

    Args:
        path: The file; created where missing, in an existing folder.

    Raises:
        RunError: A line in the middle is damaged, or the file cannot be written.

    Example:
        >>> journal = Journal("runs/first/evaluations.jsonl")  # doctest: +SKIP
        >>> journal.append({"genome": [0, 1], "loss": 0.31})  # doctest: +SKIP
        >>> journal.read()  # doctest: +SKIP
        [{'genome': [0, 1], 'loss': 0.31}]
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._count = self._end = 0
        for _, length in _whole_lines(self.path):
            self._count += 1
            self._end += length
        #: Bytes of a torn last line that opening cut off; 0 where the journal was whole.
        self.torn_bytes = _size(self.path) - self._end
        self._descriptor: int | None = None
        try:
            descriptor = self._descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT, 0o644)
            os.ftruncate(descriptor, self._end)
            os.fsync(descriptor)
            self._fsync_folder()
        except OSError as error:
            self.close()
            raise RunError(f"{self.path}: cannot be written ({error.strerror}).") from None

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yield the records from the file, one by one: long journals need no memory."""
        for record, _ in _whole_lines(self.path):
            yield record

    def read(self) -> list[dict[str, Any]]:
        """Return all records, as JSON gives them back."""
        return list(self)

    def append(self, record: Mapping[str, Any]) -> None:
        """Write one record as one line and wait until the disk has it.

        After any failure the file is cut back to its last whole line. An exception that
        a signal raises meanwhile waits until the line is written.

        Args:
            record: JSON values with string keys; NaN and infinity are refused, since JSON
                has none and every reader makes something else of them.

        Raises:
            RunError: A value is not JSON, the disk is full, or the journal is closed.
        """
        line = to_line(record)
        descriptor = self._descriptor
        if descriptor is None:
            raise RunError(f"{self.path}: the journal is closed.")
        try:
            _write_all(descriptor, line, self._end)
            os.fsync(descriptor)
        except OSError as error:
            self._cut_back(descriptor)
            raise RunError(
                f"{self.path}: cannot be written ({error.strerror}). The evaluation is not "
                f"recorded; all {len(self)} before it are. Free some space, then resume."
            ) from None
        except BaseException:
            # Ctrl-C or SIGTERM: the evaluation is paid for, so its line is finished first.
            try:
                _write_all(descriptor, line, self._end)
                os.fsync(descriptor)
            except OSError:
                self._cut_back(descriptor)
            else:
                self._took(line)
            raise
        self._took(line)

    def drop_last(self, is_unwanted: Callable[[dict[str, Any]], bool]) -> int:
        """Remove the last records, as many in a row as are unwanted, and return how many.

        Args:
            is_unwanted: Says so of a record.

        Raises:
            RunError: The file cannot be written, or the journal is closed.
        """
        count = end = kept_count = kept_end = 0
        for record, length in _whole_lines(self.path):
            count, end = count + 1, end + length
            if not is_unwanted(record):
                kept_count, kept_end = count, end
        if kept_count == count:
            return 0
        if self._descriptor is None:
            raise RunError(f"{self.path}: the journal is closed.")
        try:
            os.ftruncate(self._descriptor, kept_end)
            os.fsync(self._descriptor)
        except OSError as error:
            raise RunError(f"{self.path}: cannot be written ({error.strerror}).") from None
        self._count, self._end = kept_count, kept_end
        return count - kept_count

    def close(self) -> None:
        """Close the file; closing twice does nothing."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _took(self, line: bytes) -> None:
        self._end += len(line)
        self._count += 1

    def _cut_back(self, descriptor: int) -> None:
        try:
            os.ftruncate(descriptor, self._end)
            os.fsync(descriptor)
        except OSError:
            # A later line must not follow a torn one; the next opening cuts it off.
            self.close()

    def _fsync_folder(self) -> None:
        descriptor = os.open(self.path.parent, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def to_line(record: Mapping[str, Any]) -> bytes:
    """Return a record as one compact line of JSON with sorted keys, in UTF-8.

    Raises:
        RunError: A value that JSON cannot hold; the message says where in the record.

    Example:
        >>> to_line({"loss": 0.5, "genome": (1, 0)})
        b'{"genome":[1,0],"loss":0.5}\\n'
    """
    problem = _find_problem(dict(record), "record")
    if problem:
        raise RunError(f"Not a journal record: {problem}.")
    text = json.dumps(record, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return text.encode("utf-8") + b"\n"


def _find_problem(value: object, where: str) -> str:
    """Return the first value that JSON cannot hold, in words; empty if there is none."""
    if value is None or isinstance(value, str | bool | int):
        return ""
    if isinstance(value, float):
        return "" if math.isfinite(value) else f"{where} is {value}, expected a finite number"
    if isinstance(value, list | tuple):
        items = ((item, f"{where}[{index}]") for index, item in enumerate(value))
    elif isinstance(value, dict):
        for key in value:
            if not isinstance(key, str):
                return f"{where} has the key {key!r}, expected a string"
        items = ((item, f"{where}.{key}") for key, item in value.items())
    else:
        return f"{where} is a {type(value).__name__}, expected a JSON value"
    return next(filter(None, (_find_problem(item, place) for item, place in items)), "")


def _write_all(descriptor: int, content: bytes, offset: int) -> None:
    view = memoryview(content)
    while view:
        written = os.pwrite(descriptor, view, offset)
        view, offset = view[written:], offset + written


def _whole_lines(path: Path) -> Iterator[tuple[dict[str, Any], int]]:
    """Yield each whole line's record and length in bytes; a missing file has none."""
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file):
                if line.endswith(b"\n"):
                    yield _parse(path, number, line[:-1]), len(line)
    except FileNotFoundError:
        return
    except OSError as error:
        raise RunError(f"{path}: cannot be read ({error.strerror}).") from None


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _parse(path: Path, index: int, line: bytes) -> dict[str, Any]:
    try:
        record = json.loads(line, parse_constant=_refuse_constant)
        if not isinstance(record, dict):
            raise ValueError("not a JSON object")
        return record
    except (ValueError, RecursionError) as error:
        raise RunError(
            f"{path}: line {index + 1} is damaged ({error}). The journal is the only record of "
            "the run: restore the file from a copy, or start anew with another run path."
        ) from None


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
