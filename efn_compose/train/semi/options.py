"""The `[semi]` section: the use of unlabelled images."""

from dataclasses import dataclass
from typing import Literal

from efn_compose.settings.declare import When, setting

_ANY = When("method", ("noisy-student", "mean-teacher"))
_STUDENT = When("method", ("noisy-student",))
_TEACHER = When("method", ("mean-teacher",))


@dataclass(frozen=True)
class SemiOptions:
    """The `[semi]` section.

    Args:
        method: "none"; "noisy-student" (Xie et al. 2019, arXiv:1911.04252): a teacher labels,
            a student with heavy augmentation learns from labels and pseudo-labels and
            becomes the teacher; or "mean-teacher" (Tarvainen and Valpola 2017,
            arXiv:1703.01780): the network agrees with the average of its past weights.
        unlabelled: Source of the unlabelled images, as `data.source`; its labels are not read. Where
            both are of one kind, `data.columns` and `data.folder` hold for it, too.
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
    """

    method: Literal["none", "noisy-student", "mean-teacher"] = setting(
        "none", "method of learning from unlabelled images"
    )
    unlabelled: str = setting("", "source of the unlabelled images, as data.source", read_when=_ANY)
    unlabelled_images: int = setting(
        0, "unlabelled images to draw; 0: all", minimum=0, read_when=_ANY
    )
    rounds: int = setting(2, "students, one after another", minimum=1, read_when=_STUDENT)
    teacher_passes: int = setting(
        1, "passes over the labels in an epoch of the first teacher", minimum=1, read_when=_STUDENT
    )
    labels: Literal["soft", "hard"] = setting(
        "soft", "soft: the teacher's probabilities; hard: its choice", read_when=_STUDENT
    )
    confidence: float = setting(
        0.5, "smallest probability of a pseudo-label", minimum=0.0, maximum=1.0, read_when=_STUDENT
    )
    balance: bool = setting(True, "equally many pseudo-labels of each class", read_when=_STUDENT)
    per_class: int = setting(
        0,
        "pseudo-labels per class; 0: the kept ones, divided by the number of classes",
        minimum=0,
        read_when=When(
            "is_balanced", (True,), 'semi.method = "noisy-student" and semi.balance = true'
        ),
    )
    labelled_share: float = setting(
        0.25, "least share of labelled images", minimum=0.0, maximum=0.99, read_when=_ANY
    )
    consistency: float = setting(
        10.0, "weight of the agreement with the teacher", minimum=0.0, read_when=_TEACHER
    )
    ramp_up: float = setting(
        0.25,
        "share of the updates over which that weight rises",
        minimum=0.0,
        maximum=1.0,
        read_when=_TEACHER,
    )

    @property
    def is_balanced(self) -> bool:
        """Whether each class gets as many pseudo-labels."""
        return self.method == "noisy-student" and self.balance
