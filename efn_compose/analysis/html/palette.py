"""The page's colours, for light and dark, and how donors get theirs.

Eight hues apart in lightness and hue for the common kinds of colour blindness; every mark
also carries its donor's letter, so that no reading depends on colour. All reach 3:1 against
the page, texts 4.5:1 (WCAG 2.2, AA); the tests compute it.
"""

LIGHT = {
    "paper": "#fdfdfb",
    "panel": "#f4f4f0",
    "ink": "#1c1f23",
    "ink-2": "#565c64",
    "rule": "#d9d9d3",
    "mark": "#85898f",
    "accent": "#b0134f",
    "wash": "#f6e3ea",
    "warn": "#8a4b00",
}
DARK = {
    "paper": "#15171a",
    "panel": "#1e2125",
    "ink": "#e9e9e6",
    "ink-2": "#a9aeb5",
    "rule": "#383c42",
    "mark": "#7d838b",
    "accent": "#ff86b0",
    "wash": "#3d1d2a",
    "warn": "#f0b35a",
}
DONORS_LIGHT = (
    "#006997", "#d17814", "#45a18d", "#a478e4", "#815a08", "#152e5a", "#4a201a", "#4b4c4e",
)  # fmt: skip
DONORS_DARK = (
    "#65b2fb", "#de8213", "#7df0e0", "#8f5f82", "#f0d468", "#5a70de", "#bb430d", "#969798",
)  # fmt: skip


def relative_luminance(colour: str) -> float:
    """Return the relative luminance of "#rrggbb", 0 to 1 (WCAG 2.2).

    Example:
        >>> relative_luminance("#ffffff")
        1.0
    """
    channels = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    red, green, blue = (
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(first: str, second: str) -> float:
    """Return the contrast ratio of two colours, 1 to 21 (WCAG 2.2).

    Example:
        >>> contrast("#000000", "#ffffff")
        21.0
    """
    lighter, darker = sorted((relative_luminance(first), relative_luminance(second)))[::-1]
    return (lighter + 0.05) / (darker + 0.05)


def ink_on(colour: str) -> str:
    """Return black or white, whichever reads better on a colour."""
    return max(("#000000", "#ffffff"), key=lambda ink: contrast(ink, colour))


def donor_class(number: int) -> str:
    """Return the style class of a donor; hues repeat after eight, letters do not."""
    return f"d{number % len(DONORS_LIGHT)}"


def letter(number: int) -> str:
    """Return a donor's letter: A to Z, then AA, AB, ...

    Example:
        >>> letter(0), letter(27)
        ('A', 'AB')
    """
    high, low = divmod(number, 26)
    return (letter(high - 1) if high else "") + chr(ord("A") + low)


def variables(colours: dict[str, str], donors: tuple[str, ...]) -> str:
    """Return the style sheet's variables for one theme."""
    pairs = list(colours.items())
    for number, colour in enumerate(donors):
        pairs += [(f"d{number}", colour), (f"i{number}", ink_on(colour))]
    return "".join(f"--{name}:{value};" for name, value in pairs)
