"""The arm that every pretraining must beat."""

#: The donor absorbed on the same images: what their statistics alone are worth.
ABSORBED = "absorbed"
