"""Arithmetic that knows no networks, in numpy: moments of channels, ridge regression, ranks.

It lies below everything that takes BatchNorm statistics or refits a convolution, so that each is done in
one way.
"""
