"""What tensors never reveal: padding, BatchNorm epsilon, activation, input scaling."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, Literal

from efn_compose.errors import ConfigError

Padding = Literal["same", "symmetric"]
Activation = Literal["swish", "relu6", "relu"]

PADDINGS: tuple[str, ...] = ("same", "symmetric")
ACTIVATIONS: tuple[str, ...] = ("swish", "relu6", "relu")


@dataclass(frozen=True)
class Preprocessing:
    """Affine input scaling, (pixel - mean) / std per RGB channel, pixels in 0-255.

    Example:
        >>> PREPROCESSINGS["lite"].mean
        (127.0, 127.0, 127.0)
    """

    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def __post_init__(self) -> None:
        object.__setattr__(self, "mean", tuple(float(value) for value in self.mean))
        object.__setattr__(self, "std", tuple(float(value) for value in self.std))
        if len(self.mean) != 3 or len(self.std) != 3 or min(self.std) <= 0:
            raise ConfigError(
                "Preprocessing needs three means and three positive stds on the 0-255 scale. "
                f"Received: mean={self.mean}, std={self.std}."
            )

    def is_close(self, other: "Preprocessing") -> bool:
        """Return whether two scalings differ by no more than storing one in float32 makes them.

        Example:
            >>> rounded = Preprocessing(PREPROCESSINGS["imagenet"].mean, (58.395, 57.12000006, 57.375))
            >>> rounded.is_close(PREPROCESSINGS["imagenet"])
            True
        """
        pairs = zip((*self.mean, *self.std), (*other.mean, *other.std), strict=True)
        return all(math.isclose(a, b, rel_tol=1e-6, abs_tol=1e-6) for a, b in pairs)

    @property
    def formula(self) -> str:
        """The scaling as a formula over RGB pixels.

        Example:
            >>> PREPROCESSINGS["imagenet"].formula
            '(pixels - [123.675, 116.28, 103.53]) / [58.395, 57.12, 57.375]'
        """
        # Plus 0: no scaling has a mean of -0.
        rows = (self.mean, self.std)
        mean, std = (", ".join(f"{value + 0.0:.6g}" for value in row) for row in rows)
        return f"(pixels - [{mean}]) / [{std}]"

    def __str__(self) -> str:
        """Return the name the field gives this scaling, and its numbers.

        Example:
            >>> print(PREPROCESSINGS["lite"])
            'lite' (mean 127 127 127, std 128 128 128)
            >>> print(Preprocessing((-0.0, -0.0, -0.0), (255, 255, 255)))
            'unit' (mean 0 0 0, std 255 255 255)
        """
        name = next((repr(key) for key, one in PREPROCESSINGS.items() if self.is_close(one)), "own")
        rows = (self.mean, self.std)
        mean, std = (" ".join(f"{value + 0.0:.6g}" for value in row) for row in rows)
        return f"{name} (mean {mean}, std {std})"


#: Input scalings in use, by the name the field gives them (mean and std on 0-255 RGB).
PREPROCESSINGS: dict[str, Preprocessing] = {
    "imagenet": Preprocessing(
        (0.485 * 255, 0.456 * 255, 0.406 * 255), (0.229 * 255, 0.224 * 255, 0.225 * 255)
    ),
    "inception": Preprocessing((127.5, 127.5, 127.5), (127.5, 127.5, 127.5)),
    "lite": Preprocessing((127.0, 127.0, 127.0), (128.0, 128.0, 128.0)),
    "v2": Preprocessing((128.0, 128.0, 128.0), (128.0, 128.0, 128.0)),
    "cifar": Preprocessing(
        (0.4914 * 255, 0.4822 * 255, 0.4465 * 255), (0.2023 * 255, 0.1994 * 255, 0.2010 * 255)
    ),
    "unit": Preprocessing((0.0, 0.0, 0.0), (255.0, 255.0, 255.0)),
    "none": Preprocessing((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
}


@dataclass(frozen=True)
class Conventions:
    """How a set of weights wants to be run; travels with the weights everywhere.

    Args:
        padding: "same" (TensorFlow) or "symmetric" (PyTorch) in stride-2 layers.
        bn_epsilon: Epsilon inside the BatchNorm square root.
        activation: "swish", "relu6" or "relu".
        preprocessing: Input scaling on 0-255 RGB.
        bn_momentum: Keras meaning (share of the old value kept); training only.
        class_offset: 1 where class 0 is a background class, else 0.

    Example:
        >>> Conventions(padding="same", bn_epsilon=1e-3, activation="relu6",
        ...             preprocessing=PREPROCESSINGS["lite"]).padding
        'same'
    """

    padding: Padding
    bn_epsilon: float
    activation: Activation
    preprocessing: Preprocessing
    bn_momentum: float = 0.99
    class_offset: int = 0

    def __post_init__(self) -> None:
        problems = []
        if self.padding not in PADDINGS:
            problems.append(f"padding must be one of {PADDINGS}, received {self.padding!r}")
        if self.activation not in ACTIVATIONS:
            problems.append(
                f"activation must be one of {ACTIVATIONS}, received {self.activation!r}"
            )
        if not 0 < self.bn_epsilon < 1:
            problems.append(f"bn_epsilon must lie in (0, 1), received {self.bn_epsilon!r}")
        if problems:
            raise ConfigError("Conventions: " + "; ".join(problems) + ".")

    def to_json(self) -> dict[str, Any]:
        """Return a dictionary of JSON values.

        Example:
            >>> example = Conventions("same", 1e-3, "swish", PREPROCESSINGS["unit"])
            >>> Conventions.from_json(example.to_json()) == example
            True
        """
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> "Conventions":
        """Return the conventions that `to_json` wrote."""
        return cls(**{**fields, "preprocessing": Preprocessing(**fields["preprocessing"])})

    def differences(self, other: "Conventions") -> list[str]:
        """Return one line per field in which two conventions differ.

        Example:
            >>> a = Conventions("same", 1e-3, "swish", PREPROCESSINGS["unit"])
            >>> a.differences(dataclasses.replace(a, padding="symmetric"))
            ["padding: 'same' and 'symmetric'"]
        """
        return [
            self.both(other, field.name)
            for field in dataclasses.fields(self)
            if getattr(self, field.name) != getattr(other, field.name)
        ]

    def both(self, other: "Conventions", field: str) -> str:
        """Return a field's name and what it is here and there.

        Args:
            other: Other conventions.
            field: Name of the field.
        """
        said = str if field == "preprocessing" else repr
        return f"{field}: {said(getattr(self, field))} and {said(getattr(other, field))}"
