"""`python -m palimpsest.engine.quantiser`: what `palimpsest quantize` becomes."""

import sys

from palimpsest.engine.process import run

if __name__ == "__main__":
    sys.exit(run("palimpsest.engine.quantiser.command"))
