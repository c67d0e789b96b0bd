"""`python -m palimpsest.server`: what `palimpsest serve` becomes."""

import sys

from palimpsest.server.main import main

if __name__ == "__main__":
    sys.exit(main())
