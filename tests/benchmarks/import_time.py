"""How much longer `import tlkeras` takes than `import keras`, each in a new process.

python tests/benchmarks/import_time.py
"""

import argparse
import os
import statistics
import subprocess
import sys

SCRIPT = """
import time
start = time.perf_counter()
import keras
between = time.perf_counter()
import tlkeras
print(between - start, time.perf_counter() - between)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=7)
    args = parser.parse_args()
    # Users have byte code on disk: without it, compiling is most of what is measured.
    environment = {k: v for k, v in os.environ.items() if "BYTECODE" not in k}
    rows = []
    for _ in range(args.repeats):
        command = [sys.executable, "-c", SCRIPT]
        run = subprocess.run(
            command, capture_output=True, text=True, check=True, env=environment
        )
        rows.append(tuple(map(float, run.stdout.split())))
    keras, more = map(statistics.median, zip(*rows, strict=True))
    print(
        f"median of {args.repeats}: import keras {keras:.2f} s, import tlkeras "
        f"{more:.2f} s more ({(keras + more) / keras:.2f} times as long)"
    )


if __name__ == "__main__":
    main()
