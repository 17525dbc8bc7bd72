"""A case: an input, the command that gets it, and what is right."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

#: Written by makers beside their files: pixels, and features and logits by case.
TRUTHS = "truths.npz"


@dataclass(frozen=True)
class Case:
    """One command on one input.

    Args:
        kind: What the input is an example of.
        name: The input, for people.
        command: Verb and arguments; "{here}" is the folder of the input, "{out}" a file to write.
        truth: Under which names the library's answer is in `TRUTHS`; none where a file is looked at
            only.
        counts: What a table of folds must hold, (images, classes).
        environment: Variables of the process.
    """

    kind: str
    name: str
    command: tuple[str, ...]
    truth: str = ""
    counts: tuple[int, int] | None = None
    environment: Mapping[str, str] = field(default_factory=dict)


#: Writes its files into a folder and yields its cases.
Maker = Callable[[Path], Iterator[Case]]


def convert(kind: str, file: str, *options: str, truth: str = "", **more: object) -> Case:
    """Return the case of a file that is converted; its truth goes by the file's name."""
    command = ("convert", f"{{here}}/{file}", *options, "-o", "{out}.h5")
    return Case(kind, file, command, truth or file, **more)  # type: ignore[arg-type]


class Truths:
    """Answers of source libraries, collected and written at the end.

    Args:
        folder: Where to.
        side: Height and width of the images.
        is_grey: Their three channels are equal.
    """

    def __init__(self, folder: Path, side: int = 64, *, is_grey: bool = False) -> None:
        self._path = folder / TRUTHS
        rng = np.random.default_rng(0)
        self.pixels = rng.integers(0, 256, (2, side, side, 3)).astype(np.float64)
        if is_grey:
            self.pixels[...] = self.pixels[..., :1]
        self._arrays: dict[str, np.ndarray] = {"pixels": self.pixels}

    def add(self, name: str, features: np.ndarray, logits: np.ndarray | None = None) -> None:
        """Keep pooled features (image, channel), and logits (image, class) where there is a head."""
        self._arrays[f"{name} features"] = features
        if logits is not None:
            self._arrays[f"{name} logits"] = logits

    def write(self) -> None:
        """Write all answers."""
        np.savez(self._path, **self._arrays)
