"""How a Keras convolution pads: as TensorFlow's "same", symmetrically, or in another way.

Keras' networks pad stride-2 convolutions by a layer of their own, by what "same" would give for
the map that the network was built for.
"""

#: Height and width in pixels, None where open.
Sides = tuple[int | None, int | None]
#: Zeros before and after, of height and width.
Pads = tuple[tuple[int, int], tuple[int, int]]


def conv_padding(
    padding: object, pads: Pads, kernel: int, stride: int, sides: Sides
) -> tuple[frozenset[str], Sides]:
    """Return the conventions of padding that a convolution fits, and the sides of its output.

    Args:
        padding: The convolution's own: "same" or "valid".
        pads: Zeros that a layer before it has added.
        kernel: Side of the kernel.
        stride: Its stride.
        sides: Of the map before the zeros.

    Example:
        >>> conv_padding("valid", ((0, 1), (0, 1)), 3, 2, (32, 32))
        (frozenset({'same'}), (16, 16))
        >>> conv_padding("valid", ((1, 1), (1, 1)), 3, 2, (32, None))[0]
        frozenset({'symmetric'})
    """
    fits = {"same", "symmetric"}
    out: list[int | None] = []
    for side, (before, after) in zip(sides, pads, strict=True):
        out.append(None if side is None else -(-side // stride))
        if padding == "same":
            is_plain = (before, after) == (0, 0)
            fits &= ({"same", "symmetric"} if stride == 1 else {"same"}) if is_plain else set()
            continue
        if padding != "valid":
            return frozenset(), (None, None)
        if (before, after) != (kernel // 2, kernel // 2):
            fits.discard("symmetric")
        if (before, after) != _same_pads(kernel, stride, side):
            fits.discard("same")
    return frozenset(fits), (out[0], out[1])


def _same_pads(kernel: int, stride: int, side: int | None) -> tuple[int, int]:
    """Return the zeros that "same" adds; an open side counts as an even one."""
    length = stride * kernel if side is None else side
    total = max((-(-length // stride) - 1) * stride + kernel - length, 0)
    return total // 2, total - total // 2


def pads_of(value: object) -> Pads:
    """Return the zeros of a `ZeroPadding2D` as its field says them: a number, two, or two pairs.

    Example:
        >>> pads_of([[0, 1], [0, 1]]), pads_of(2)
        (((0, 1), (0, 1)), ((2, 2), (2, 2)))
    """
    height, width = value if isinstance(value, (list, tuple)) else (value, value)
    return _two(height), _two(width)


def _two(value: object) -> tuple[int, int]:
    before, after = value if isinstance(value, (list, tuple)) else (value, value)
    return int(before), int(after)
