"""`python -m tlkeras`: the quickstart on the command line."""

import sys

from tlkeras.quickstart import run_command


def main() -> int:
    """Runs the quickstart on the command line's arguments; returns its exit code."""
    return run_command(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
