"""`efn-compose cache`: what the cache of decoded images holds.

Sets of images that do not fit into memory once per worker are decoded once per machine, into files
that all runs share. EFN_COMPOSE_CACHE names another folder, EFN_COMPOSE_CACHE_GB another limit. What
was used longest ago is removed where room is needed; --clear removes all that no run uses now.
"""

import argparse

from efn_compose.cli.shared.output import Output

EXAMPLE = "efn-compose cache"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument("--clear", action="store_true", help="remove every file that no run uses")


def run(options: argparse.Namespace, output: Output) -> None:
    """List the files, or remove them."""
    from efn_compose.jobs.cache import cache

    found = cache(clear=options.clear)
    output.result(found.to_json(), str(found))
