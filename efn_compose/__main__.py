"""`python -m efn_compose VERB …`: the same as `efn-compose VERB …`."""

import sys

from efn_compose.cli import main

if __name__ == "__main__":
    sys.exit(main())
