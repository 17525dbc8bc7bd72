"""PNG files without their metadata: what a photo editor writes beside the pixels costs no image."""

import io
import os
import zlib

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
#: Chunks that decoding needs; all others are text, profiles, times, frames of an animation.
_NEEDED = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
#: Holds the orientation, and is kept where its checksum is right.
_EXIF = b"eXIf"


def without_metadata(source: str | os.PathLike[str] | bytes) -> io.BytesIO | None:
    """Return a PNG file without its metadata, or None where it is no PNG or has none.

    Args:
        source: The file, or its bytes.
    """
    if isinstance(source, bytes):
        content = source
    else:
        with open(source, "rb") as file:
            content = file.read()
    if not content.startswith(_SIGNATURE):
        return None
    kept, position, is_changed = [_SIGNATURE], len(_SIGNATURE), False
    while position + 8 <= len(content):
        length = int.from_bytes(content[position : position + 4], "big")
        end = position + 12 + length
        kind = content[position + 4 : position + 8]
        if kind in _NEEDED or (kind == _EXIF and _is_whole(content[position + 4 : end])):
            kept.append(content[position:end])
        else:
            is_changed = True
        position = end
    return io.BytesIO(b"".join(kept)) if is_changed else None


def _is_whole(chunk: bytes) -> bool:
    """Return whether a chunk, from its name to its checksum, has the right one."""
    return zlib.crc32(chunk[:-4]) == int.from_bytes(chunk[-4:], "big")
