"""Lets the system bring parts of a file to the disk while the rest is made; Linux alone has a call for it."""

import ctypes
import sys
from collections.abc import Callable
from typing import Any

#: Of sync_file_range: begin to write what is not on the disk yet, and do not wait.
_BEGIN = 2
#: Bytes of a part.
PART_BYTES = 2 * 2**20


def begin_writing(file: int, offset: int, length: int) -> bool:
    """Let the system begin to write a part of an open file; return whether it does.

    Otherwise hardly anything is written before `fsync`, which has to wait for the whole file then. What
    is not begun, and other systems, are left to `fsync`.

    Args:
        file: The open file.
        offset: First byte.
        length: Number of bytes.

    Example:
        >>> begin_writing(-1, 0, 1)  # no such file
        False
    """
    return _CALL is not None and _CALL(file, offset, length, _BEGIN) == 0


def _find_call() -> Callable[..., int] | None:
    if not sys.platform.startswith("linux"):
        return None
    found: Any = getattr(ctypes.CDLL(None), "sync_file_range", None)
    if found is not None:
        found.argtypes = [ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint]
    return found


_CALL = _find_call()
