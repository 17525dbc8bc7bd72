"""The methods by the names that `pretrain.methods` gives them."""

from efn_compose.train.selfsup.methods.autoencoder import Autoencoder
from efn_compose.train.selfsup.methods.byol import Byol
from efn_compose.train.selfsup.methods.colourisation import Colourisation
from efn_compose.train.selfsup.methods.cyclegan import CycleGan
from efn_compose.train.selfsup.methods.gan import Gan
from efn_compose.train.selfsup.methods.rotation import Rotation
from efn_compose.train.selfsup.methods.simclr import SimClr
from efn_compose.train.selfsup.methods.simsiam import SimSiam
from efn_compose.train.selfsup.methods.vicreg import VicReg
from efn_compose.train.selfsup.methods.vqvae import VqVae
from efn_compose.train.selfsup.options import PretrainOptions, ViewOptions
from efn_compose.train.selfsup.watched import Watched

#: Another method is another file and another line, and its name in `options.METHODS`.
OBJECTIVES: dict[str, type[Watched]] = {
    "vicreg": VicReg,
    "simclr": SimClr,
    "byol": Byol,
    "simsiam": SimSiam,
    "rotation": Rotation,
    "autoencoder": Autoencoder,
    "colourisation": Colourisation,
    "vqvae": VqVae,
    "gan": Gan,
    "cyclegan": CycleGan,
}


def make_objective(method: str, pretrain: PretrainOptions, views: ViewOptions) -> Watched:
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
