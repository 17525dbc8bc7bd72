"""Which donors a run composes."""

from dataclasses import dataclass, field
from typing import Literal

from efn_compose.settings.declare import When, setting


@dataclass(frozen=True)
class DonorOptions:
    """The `[donors]` section.

    Args:
        files: Weight files of any dialect, or `package:NAME` for installed weights; each may
            carry a short name before an equals sign, `mine=weights/mine.h5`.
        variant: The network all donors are nested into; empty where they agree.
        siblings: Further donors made from each one, each by one pass over its own part of the
            training images: half of them where there are two.
        align: "auto" brings donors of independent trainings into the channel basis of the first
            one, on training images. Mixtures then keep more of both, but an aligned donor may
            itself train worse than the original; "never" leaves donors as they are.
        absorb: Write every donor over the BatchNorm statistics of the training images, so that
            training does not begin by undoing what it computes: "body" leaves the last
            BatchNorm to the fresh classifier, "all" absorbs that one too, "never"
            leaves donors as they are.
        ancestor: The donor that the others were trained on from, for a search over shares.
    """

    files: tuple[str, ...] = field(
        default=(), metadata={"help": "weight files, or package:NAME; NAME=FILE names a donor"}
    )
    variant: str = field(
        default="", metadata={"help": "network that all donors are nested into; empty: as they are"}
    )
    siblings: int = field(
        default=0,
        metadata={"minimum": 0, "help": "further donors that are trained from each donor"},
    )
    align: Literal["auto", "never"] = field(
        default="never", metadata={"help": "align donors of independent trainings to the first"}
    )
    absorb: Literal["body", "all", "never"] = field(
        default="body",
        metadata={"help": "rewrite BatchNorm for the training images' statistics"},
    )
    ancestor: str = setting(
        "",
        "name of the donor that all others descend from; empty: the donor nearest to all others",
        read_when=When(
            "search.granularity",
            ("auto", "network_share", "stage_share", "block_share"),
            'search.granularity = "network_share", "stage_share" or "block_share"',
        ),
    )
