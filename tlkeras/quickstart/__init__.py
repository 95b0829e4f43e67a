"""The quickstart: what transfer learning gains, on pictures or texts, in one run."""

from tlkeras.quickstart.command import run_command

__all__ = ["run_command"]
