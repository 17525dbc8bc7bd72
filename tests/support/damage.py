"""Damage to a file, drawn by chance: what disks, transfers and attackers do to bytes."""

import random
from collections.abc import Callable


def flip_bit(content: bytearray, chance: random.Random) -> None:
    """Turn one bit."""
    content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)


def _clear(content: bytearray, chance: random.Random) -> None:
    start = chance.randrange(len(content))
    length = min(chance.choice((8, 64, 512)), len(content) - start)
    content[start : start + length] = bytes(length)


def _scramble(content: bytearray, chance: random.Random) -> None:
    start = chance.randrange(len(content))
    length = min(chance.choice((1, 4, 32)), len(content) - start)
    content[start : start + length] = chance.randbytes(length)


def _huge_number(content: bytearray, chance: random.Random) -> None:
    size = chance.choice((2, 4, 8))
    start = chance.randrange(max(1, len(content) - size))
    value = chance.choice((0, 1 << (8 * size - 2), (1 << (8 * size - 1)) - 1, (1 << 8 * size) - 1))
    content[start : start + size] = value.to_bytes(size, "little")


def _truncate(content: bytearray, chance: random.Random) -> None:
    del content[chance.randrange(len(content)) :]


def _repeat(content: bytearray, chance: random.Random) -> None:
    start = chance.randrange(len(content))
    content[start:start] = content[start : start + chance.choice((1, 16, 300))]


def _cut_out(content: bytearray, chance: random.Random) -> None:
    start = chance.randrange(len(content))
    del content[start : start + chance.choice((1, 16, 300))]


#: By name; half of all damage is a flipped bit.
KINDS: dict[str, Callable[[bytearray, random.Random], None]] = {
    "flipped bit": flip_bit,
    "cleared bytes": _clear,
    "random bytes": _scramble,
    "huge number": _huge_number,
    "truncated": _truncate,
    "repeated bytes": _repeat,
    "bytes cut out": _cut_out,
}


def mutate(whole: bytes, chance: random.Random) -> tuple[str, bytes]:
    """Return a kind of damage, and the damaged content."""
    others = [kind for kind in KINDS if kind != "flipped bit"]
    kind = "flipped bit" if chance.random() < 0.5 else chance.choice(others)
    content = bytearray(whole)
    KINDS[kind](content, chance)
    return kind, bytes(content)
