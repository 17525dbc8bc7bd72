"""A Keras model with a donor's weights."""

import keras

from efn_compose.donors import Donor
from efn_compose.errors import ConfigError
from efn_compose.models.efficientnet import InputShape, assign_weights, build_model


def build_donor(
    donor: Donor,
    *,
    input_shape: InputShape | None = None,
    include_top: bool = True,
    classes: int | None = None,
) -> keras.Model:
    """Build a donor's network and give it the donor's weights.

    Args:
        donor: The weights.
        input_shape: (height, width, 3); default any size.
        include_top: False ends at the last feature map.
        classes: Width of a freshly initialised classifier; default the donor's own.

    Raises:
        ConfigError: A classifier is asked for, the donor has none, and no width is given.

    Example:
        >>> model = build_donor(load_donor("b0.h5"), classes=10)  # doctest: +SKIP
    """
    if include_top and classes is None and donor.classes is None:
        raise ConfigError(
            f"Donor {donor.name!r} has no classifier. Give classes=N for a fresh one, or "
            "include_top=False for the feature map."
        )
    own_head = include_top and classes is None
    model = build_model(
        donor.spec,
        donor.conventions,
        input_shape=input_shape,
        include_top=include_top,
        classes=classes or donor.classes or 0,
    )
    kept = donor if own_head else donor.without_head()
    assign_weights(model, donor.spec, kept.tensors, donor.classes if own_head else None)
    return model
