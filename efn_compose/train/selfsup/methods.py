"""The methods by the names that `pretrain.methods` gives them."""

from efn_compose.train.selfsup.byol import Byol
from efn_compose.train.selfsup.options import PretrainOptions, ViewOptions
from efn_compose.train.selfsup.simclr import SimClr
from efn_compose.train.selfsup.simsiam import SimSiam
from efn_compose.train.selfsup.two_views import TwoViews
from efn_compose.train.selfsup.vicreg import VicReg

#: Another method is another file and another line, and its name in `options.METHODS`.
OBJECTIVES: dict[str, type[TwoViews]] = {
    "vicreg": VicReg,
    "simclr": SimClr,
    "byol": Byol,
    "simsiam": SimSiam,
}


def make_objective(method: str, pretrain: PretrainOptions, views: ViewOptions) -> TwoViews:
    """Return the objective of a method.

    Args:
        method: A name of the table.
        pretrain: Its settings.
        views: What makes views differ.

    Example:
        >>> type(make_objective("vicreg", PretrainOptions(), ViewOptions())).__name__
        'VicReg'
    """
    return OBJECTIVES[method](pretrain, views)
