"""`python -m converters FILE -o OUT.h5`: the same as `efn-compose convert`."""

import sys
from collections.abc import Sequence

from efn_compose.cli import main as command_line


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `efn-compose convert`; return its exit code: 0 done, 1 failed, 2 wrong usage."""
    return command_line(["convert", *(sys.argv[1:] if arguments is None else arguments)])


if __name__ == "__main__":
    sys.exit(main())
