"""CRC-32 of everything that a weight file of ours says, so that a flipped bit is an error.

The root attribute `efn_compose_crc32` (JSON) holds eight hexadecimal digits for each dataset, by its
name, and for the header, under the name of its attribute. They are taken over the bytes in the file:
little-endian values in C order, UTF-8. A CRC-32 finds every change of up to 32 neighbouring bits.
"""

import json
import warnings
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from efn_compose.checkpoints.containers.source_file import wrong_checksum
from efn_compose.errors import UncheckedFileWarning, WeightFileError

CHECKSUMS_ATTRIBUTE = "efn_compose_crc32"


def crc32(values: np.ndarray) -> int:
    """Return the CRC-32 of an array's bytes in C order.

    Example:
        >>> crc32(np.frombuffer(b"123456789", np.uint8)) == 0xCBF43926
        True
    """
    return zlib.crc32(np.ascontiguousarray(values).reshape(-1).view(np.uint8).data)


def crc32_of_text(text: str) -> int:
    """Return the CRC-32 of a text in UTF-8."""
    return zlib.crc32(text.encode("utf-8", "surrogateescape"))


def checksums_to_json(checksums: Mapping[str, int]) -> str:
    """Return checksums by name as one line of JSON with sorted keys.

    Example:
        >>> checksums_to_json({"stem_conv/kernel": 255})
        '{"stem_conv/kernel": "000000ff"}'
    """
    return json.dumps({name: f"{crc:08x}" for name, crc in checksums.items()}, sort_keys=True)


def checksums_from_json(path: Path, text: object) -> dict[str, int]:
    """Return the checksums that `checksums_to_json` wrote; none, with a warning, of an old file.

    Args:
        path: The weight file, for messages.
        text: Value of the attribute, None where the file has none.

    Raises:
        WeightFileError: The text is no list of checksums.
    """
    if text is None:
        # Equal warnings from one line of code are shown once.
        warnings.warn(
            f"{path} was written before weight files had checksums, so damage to its values would not "
            "be found. load_donor(FILE).save(FILE) adds them.",
            UncheckedFileWarning,
            stacklevel=1,
        )
        return {}
    try:
        return {name: int(digits, 16) for name, digits in json.loads(str(text)).items()}
    except (ValueError, AttributeError, TypeError) as error:
        raise WeightFileError(
            f"{path}: damaged checksums ({error}). Fetch or write the file again."
        ) from None


def check(where: str, checksums: Mapping[str, int], name: str, found: int) -> None:
    """Raise where something does not match its checksum; a file without checksums passes.

    Args:
        where: The weight file, for the message.
        checksums: Of the file, by name.
        name: Of the tensor, or of another thing in the file.
        found: Checksum of what was read.

    Raises:
        UnreadableCheckpointError: It is another one, or the file has none for this name.
    """
    if checksums and checksums.get(name) != found:
        raise wrong_checksum(f"{where}: {name}")
