"""Networks that play against each other: those that make images, and critics that tell them apart.

Begin at `critic.py`, which stands on the donor's feature maps. `generator.py` makes images from noise,
`translator.py` changes them, `image_buffer.py` keeps earlier ones. `methods/gan.py` and
`methods/cyclegan.py` put them together; what they make is thrown away or marked as synthetic.
"""
