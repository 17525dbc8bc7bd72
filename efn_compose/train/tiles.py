"""Whether images can be cut into the tiles of an augmentation; known before TensorFlow is imported."""

from efn_compose.errors import ConfigError
from efn_compose.train.augment.options import AugmentOptions
from efn_compose.train.options import TrainOptions


def check_sizes(options: TrainOptions, augment_options: AugmentOptions, size: int) -> None:
    """Raise `ConfigError` unless every image size of a training can be cut into the tiles."""
    cells = augment_options.grid_cells
    bad = sorted({side for side in (*options.sizes, size) if side % cells})
    if augment_options.grid and bad:
        raise ConfigError(
            f"augment.grid_cells = {cells} must divide every image size. Received: {bad}."
        )
