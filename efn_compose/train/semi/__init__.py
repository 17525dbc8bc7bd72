"""Training with images that nobody has labelled: Noisy Student and Mean Teacher."""

from efn_compose.train.semi.options import SemiOptions
from efn_compose.train.semi.pseudo_labels import PseudoLabels, pseudo_labels

__all__ = ["PseudoLabels", "SemiOptions", "pseudo_labels"]
