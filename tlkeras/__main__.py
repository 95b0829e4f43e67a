"""`python -m tlkeras`: the quickstart, or `predict`, on the command line."""

import sys

from tlkeras.predict_command import run_predict
from tlkeras.quickstart import run_command


def main() -> int:
    """Runs what the command line's arguments ask for; returns its exit code."""
    arguments = sys.argv[1:]
    if arguments[:1] == ["predict"]:
        return run_predict(arguments[1:])
    return run_command(arguments)


if __name__ == "__main__":
    sys.exit(main())
