"""How long a fresh process takes to read a log, and then a line more of it: `python reading.py READER FILE LINE`.

Prints seconds: those of the first reading, and the median of those after a line was appended, as often as APPENDED.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import pandas

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from plots import logs

READERS: dict[str, Callable] = {
    "read_log": logs.read_log,
    "read_csv": pandas.read_csv,
    "read_json": lambda path: pandas.read_json(path, lines=True),
}
APPENDED = 15


def seconds(read: Callable[[], object]) -> float:
    """How long a call takes."""
    start = time.perf_counter()
    read()
    return time.perf_counter() - start


def main(reader: str, path: str, line: str) -> None:
    """Read, append and read again; pandas reads once."""
    taken = [seconds(lambda: READERS[reader](path))]
    for number in range(APPENDED if reader == "read_log" else 0):
        with open(path, "a") as file:
            file.write(line.format(step=10_000_000 + number, loss=0.5, other=25.66) + "\n")
        taken.append(seconds(lambda: READERS[reader](path)))
    print(taken[0], median(taken[1:] or [0]))


if __name__ == "__main__":
    main(*sys.argv[1:])
