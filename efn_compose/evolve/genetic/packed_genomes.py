"""Genomes as bytes: a search remembers all it ever tried, and a tuple takes three to eight times as much."""

from array import array

from efn_compose.compose import Genome

#: Types of a gene, the smallest first; which one it is stands in front.
_TYPES = "BHI"


def pack(genome: Genome) -> bytes:
    """Return a genome as bytes; different genomes give different bytes.

    Args:
        genome: Genes from 0 to 2 ** 32 - 1.

    Raises:
        OverflowError: A gene is out of that range.

    Example:
        >>> pack((0, 3, 1)), pack((0, 300))
        (b'B\\x00\\x03\\x01', b'H\\x00\\x00,\\x01')
    """
    for kind in _TYPES[:-1]:
        try:
            return kind.encode() + array(kind, genome).tobytes()
        except OverflowError:
            continue
    return _TYPES[-1].encode() + array(_TYPES[-1], genome).tobytes()


def unpack(packed: bytes) -> Genome:
    """Return the genome that `pack` made bytes of.

    Example:
        >>> unpack(pack((0, 3, 300)))
        (0, 3, 300)
    """
    kind = chr(packed[0])
    return tuple(memoryview(packed)[1:].cast(kind))  # type: ignore[call-overload] # one of _TYPES
