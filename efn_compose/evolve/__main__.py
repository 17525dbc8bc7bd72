"""`python -m efn_compose.evolve [CONFIG]`: the main job."""

import sys

from efn_compose.cli import main

if __name__ == "__main__":
    sys.exit(main(["evolve", *sys.argv[1:]]))
