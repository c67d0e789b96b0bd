"""`python -m palimpsest.engine.inspector`: what `palimpsest inspect` becomes."""

import sys

from palimpsest.engine.process import run

if __name__ == "__main__":
    sys.exit(run("palimpsest.engine.inspector.command"))
