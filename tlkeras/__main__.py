"""`python -m tlkeras`: the quickstart on the command line."""

import os
import sys


def main() -> int:
    """Runs the quickstart and returns its exit code."""
    # TensorFlow's start-up messages would bury ours.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    from tlkeras.quickstart import run_command

    return run_command(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(main())
