"""`python -m genesis_replicator`: look at a node, or watch the package at work."""

import sys

from genesis_replicator._cli import main

if __name__ == "__main__":
    sys.exit(main())
