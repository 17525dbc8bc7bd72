"""The `[semi]` section: the use of unlabelled images."""

from dataclasses import dataclass, field
from typing import Literal


def _number(default: float, text: str, low: float = 0.0, high: float | None = None) -> float:
    bounds = {"minimum": low, "help": text} | ({} if high is None else {"maximum": high})
    return field(default=default, metadata=bounds)


@dataclass(frozen=True)
class SemiOptions:
    """The `[semi]` section.

    Args:
        method: "none"; "noisy-student" (Xie et al. 2019, arXiv:1911.04252): a teacher labels,
            a student with heavy augmentation learns from labels and pseudo-labels and
            becomes the teacher; or "mean-teacher" (Tarvainen and Valpola 2017,
            arXiv:1703.01780): the network agrees with the average of its past weights.
        unlabelled: Source of the unlabelled images, as `data.source`; its labels are not read.
        unlabelled_images: How many of them, drawn at random; 0: all.
        rounds: Noisy Student: students, one after another.
        teacher_passes: Noisy Student: how often the first teacher sees each labelled image in an
            epoch; its epochs are short, since it has labels only.
        labels: Noisy Student: "soft" pseudo-labels are the teacher's probabilities, "hard"
            ones its choice.
        confidence: Noisy Student: smallest probability of the teacher's choice that is kept.
        balance: Noisy Student: equally many pseudo-labels of each class: the surest, repeated
            where there are too few.
        per_class: Noisy Student: pseudo-labels per class; 0: the kept ones over the classes.
        labelled_share: Least share of labelled images among a student's images, and in each batch
            of Mean Teacher. They are repeated to reach it.
        consistency: Mean Teacher: weight of the squared distance between the probabilities of
            student and teacher, summed over the classes.
        ramp_up: Mean Teacher: share of the updates over which that weight rises, as
            exp(-5 (1 - t)^2).
        decay: Mean Teacher: of the teacher's average, where `train.ema` is 0.
    """

    method: Literal["none", "noisy-student", "mean-teacher"] = field(
        default="none", metadata={"help": "method of learning from unlabelled images"}
    )
    unlabelled: str = field(
        default="", metadata={"help": "source of the unlabelled images, as data.source"}
    )
    unlabelled_images: int = field(
        default=0, metadata={"minimum": 0, "help": "unlabelled images to draw; 0: all"}
    )
    rounds: int = field(default=2, metadata={"minimum": 1, "help": "students, one after another"})
    teacher_passes: int = field(
        default=1,
        metadata={"minimum": 1, "help": "passes over the labels in an epoch of the first teacher"},
    )
    labels: Literal["soft", "hard"] = field(
        default="soft", metadata={"help": "soft: the teacher's probabilities; hard: its choice"}
    )
    confidence: float = _number(0.5, "smallest probability of a pseudo-label", 0.0, 1.0)
    balance: bool = field(
        default=True, metadata={"help": "equally many pseudo-labels of each class"}
    )
    per_class: int = field(
        default=0,
        metadata={"minimum": 0, "help": "pseudo-labels per class; 0: the kept ones over classes"},
    )
    labelled_share: float = _number(0.25, "least share of labelled images", 0.0, 0.99)
    consistency: float = _number(10.0, "weight of the agreement with the teacher")
    ramp_up: float = _number(0.25, "share of the updates over which that weight rises", 0.0, 1.0)
    decay: float = _number(0.99, "decay of the teacher's moving average", 0.5, 0.999999)
