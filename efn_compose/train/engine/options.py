"""Settings that more than one section has: how classifiers begin; and `[device]`, how networks compute."""

from dataclasses import dataclass
from typing import Literal

from efn_compose.settings.declare import setting

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
            on processors, mixed_float16 on GPUs and mixed_bfloat16 on TPUs.
        xla: Compile the steps. That is slower on processors; TPUs always compile.
    """

    precision: Literal["auto", "float32", "mixed_float16", "mixed_bfloat16"] = setting(
        "auto", "auto: float32 on processors, mixed_float16 on GPUs, bfloat16 on TPUs"
    )
    xla: bool = setting(False, "compile the steps with XLA; slower on processors; TPUs always do")
