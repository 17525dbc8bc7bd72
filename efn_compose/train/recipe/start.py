"""What a training begins with: a donor's weights, made ready for the images and the options."""

from efn_compose.donors import Donor
from efn_compose.donors.group_norm import refuse_group_norm, with_group_norm
from efn_compose.numerics.pixel_array import PixelArray
from efn_compose.statistics.absorb import ABSORB_IMAGES, absorb_statistics
from efn_compose.statistics.standardise import standardised
from efn_compose.train.options import TrainOptions
from efn_compose.train.recipe.inputs import Inputs, resized


def starting_network(donor: Donor, options: TrainOptions) -> Donor:
    """Return a donor of the network that a training has; its weights are not those it begins with.

    Raises:
        ConfigError: BatchNorm is to be frozen, and the network has GroupNorm; or it is to get
            GroupNorm, and its channels do not make whole groups.
    """
    if options.normalisation == "frozen":
        refuse_group_norm(donor.name, donor.spec, "train.normalisation = 'frozen'")
    return with_group_norm(donor) if options.has_group_norm else donor


def starting_weights(donor: Donor, inputs: Inputs, options: TrainOptions) -> Donor:
    """Return the weights that a training begins with.

    Absorbing comes first: GroupNorm is then close to what BatchNorm does to these images.

    Args:
        donor: The weights that were given.
        inputs: Images of the training.
        options: Of the training.
    """
    begun = absorbed(donor, inputs, options)
    if options.normalisation == "standardised":
        return standardised(begun, _images(inputs, options))
    return starting_network(begun, options)


def absorbed(donor: Donor, inputs: Inputs, options: TrainOptions) -> Donor:
    """Return the starting weights, rewritten for the statistics of images of the first epoch's size."""
    if options.absorb == "never" or not inputs.objective.absorbs:
        return donor
    if donor.spec.normalisation == "group" or len(inputs.statistics_images(ABSORB_IMAGES)) < 2:
        return donor  # neither GroupNorm nor a single image has statistics to take over
    return absorb_statistics(donor, _images(inputs, options), options.absorb)


def _images(inputs: Inputs, options: TrainOptions) -> PixelArray:
    images = inputs.statistics_images(ABSORB_IMAGES)
    return resized(images, options.size_in(0, inputs.data.size))
