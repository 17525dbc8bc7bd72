"""Settings: how one is declared, read from TOML, checked, written, and renamed.

Begin at `declare.py`. `build.py` makes a configuration of parsed tables and writes one as TOML,
`values.py` knows types and bounds, `unread.py` finds settings that have no effect, and
`renamed.py` understands the names that settings had one version ago.
"""
