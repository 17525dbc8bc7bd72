"""Settings that more than one section has: how classifiers begin; and `[device]`, how networks compute."""

from dataclasses import dataclass
from typing import Literal, get_args

from efn_compose.settings.declare import setting

Precision = Literal["auto", "float32", "mixed_float16", "mixed_bfloat16"]
#: All of them; "auto" stands for one.
PRECISIONS = get_args(Precision)[1:]
_BEST_PRECISION: dict[str, Precision] = {
    "cpu": "float32",
    "gpu": "mixed_float16",
    "tpu": "mixed_bfloat16",
}
HeadStart = Literal["random", "class_means"]
#: For the help of every setting that chooses between them.
HEAD_START_HELP = (
    "how a new classifier begins; random: drawn from the seed; class_means: at the means of the "
    "classes' features, in closed form"
)


@dataclass(frozen=True)
class DeviceOptions:
    """`[device]`: number formats and compilation. They change the last bits of every score.

    Args:
        precision: Of activations; weights, sums and statistics stay float32. "auto" takes float32
            on processors, mixed_float16 on GPUs and mixed_bfloat16 on TPUs. A run that goes on keeps
            what it began with.
        xla: Compile the steps. That is slower on processors; TPUs always compile.
    """

    precision: Precision = setting(
        "auto",
        "auto: float32 on processors, mixed_float16 on GPUs, bfloat16 on TPUs; a run keeps what it "
        "began with",
    )
    xla: bool = setting(False, "compile the steps with XLA; slower on processors; TPUs always do")


def best_precision(device: str) -> Precision:
    """Return the precision that "auto" stands for.

    Args:
        device: "cpu", "gpu" or "tpu".

    Example:
        >>> best_precision("gpu")
        'mixed_float16'
    """
    return _BEST_PRECISION[device]


def can_compute(device: str, precision: str) -> bool:
    """Return whether a device computes in a precision: TPUs have no float16.

    Args:
        device: "cpu", "gpu" or "tpu".
        precision: A name of `PRECISIONS`.

    Example:
        >>> can_compute("tpu", "mixed_float16"), can_compute("cpu", "mixed_float16")
        (False, True)
    """
    return (device, precision) != ("tpu", "mixed_float16")
