"""Kinds of search: what `search.kind` chooses between.

Begin at `kind.py`, which says what a kind is: a section of the configuration that can say what it
costs and search. Each kind is one file and one row of `table.py`. `genetic`, `steady`, `random` and
`cma` compose donors anew and use the machinery in `evolve/genetic`; `halving` and `lamarck` train on
and use that in `evolve/lines`.
"""
