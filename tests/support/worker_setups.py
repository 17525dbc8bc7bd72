"""Two nano donors, their seat, and images for real workers."""

from nano_run import write_nano_experiment
from random_donors import TINY, search_donors

from efn_compose.compose import GenomeSpace
from efn_compose.data import DataOptions, load_data
from efn_compose.evolve.options import FitnessAugmentOptions
from efn_compose.evolve.workers.seat import Seat

DONORS = search_donors(TINY)
SPACE = GenomeSpace(DONORS[0].spec, 2, "block")
SEAT = Seat(SPACE, [donor.tensors for donor in DONORS])
AUGMENT = FitnessAugmentOptions(flip_x=0.5, rotation=20, contrast=0.2, grid=0.5, holes=1)
MIXED = tuple(n % 2 for n in range(len(SPACE.loci)))


def nano_data(folder):
    """Return a data set of few images, made in a folder."""
    write_nano_experiment(folder)
    options = DataOptions(
        source=f"npz:{folder / 'images.npz'}",
        size=32,
        train_images=48,
        validation_images=36,
        test_images=36,
    )
    return load_data(options, 1)
