"""PNG files without their texts: what a photo editor writes beside the pixels costs no image."""

import io
import os

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
#: Chunks of text, of colour profiles and of other metadata that decoding does not need.
_LEFT_OUT = (b"tEXt", b"zTXt", b"iTXt", b"iCCP", b"tIME")


def without_text(source: str | os.PathLike[str] | bytes) -> io.BytesIO | None:
    """Return a PNG file without its text chunks, or None where it is no PNG or has none.

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
        if content[position + 4 : position + 8] in _LEFT_OUT:
            is_changed = True
        else:
            kept.append(content[position:end])
        position = end
    return io.BytesIO(b"".join(kept)) if is_changed else None
