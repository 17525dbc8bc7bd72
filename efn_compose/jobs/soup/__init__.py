"""A soup: the weights of several networks of one lineage, averaged into one weight file.

Begin at `job.py`. `preparation.py` checks and loads everything first, `methods.py` mixes,
`judge.py` scores networks on the user's images, `verdict.py` compares the soup with the best
network alone.
"""
