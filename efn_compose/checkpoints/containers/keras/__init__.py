"""Keras' files: HDF5 weights and models, and the `.keras` zip.

Begin at `keras_h5.py`. `hdf5_safety.py` checks links and declared sizes before anything is read.
"""
