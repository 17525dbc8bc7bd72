"""`efn-compose cache`: what the cache of decoded images holds.

A large set of images is decoded once per machine, into a file that all runs and their workers share.
EFN_COMPOSE_CACHE names another folder, EFN_COMPOSE_CACHE_GB another limit. Where room is needed, the
files that were used longest ago are removed. --clear removes all files that no run uses now.
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
