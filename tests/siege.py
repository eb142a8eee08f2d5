"""The siege: the long forms of all attacks and faults, and the scorecard: `make siege` (ARGS: names of trials).

Each of the modules below has a table TRIALS; each trial yields rows with a figure and its bar. The tests run short
forms of the same. Load goes to loopback addresses only; everything that is started is ended.
"""

import contextlib
import importlib
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator

from bench import Row, print_table
from measuring import Bench, limited_run

MODULES = ("siege_http", "siege_files", "siege_inputs", "siege_faults")
WHOLE_RUN_SECONDS = 3 * 3600
TRIAL_SECONDS = 1200  # for each trial; one that takes longer is ended, and its bar missed
COLUMNS = ["", "figure", "compared with", "ratio", "bar", ""]

Trial = Callable[[Bench], Iterator[Row]]


class TookTooLong(Exception):
    """A trial has gone over its time."""


def trials() -> tuple[dict[str, Trial], dict[str, str]]:
    """All trials by name, in the order of the modules; and why a module has none."""
    found: dict[str, Trial] = {}
    missing: dict[str, str] = {}
    for module in MODULES:
        try:
            found |= importlib.import_module(module).TRIALS
        except Exception as error:  # the others may be run without it
            missing[module] = f"{type(error).__name__}: {error}"
    return found, missing


@contextlib.contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Raise TookTooLong where the block takes longer; what was left of the whole run's time, is left of it still."""

    def give_up(*_: object) -> None:
        raise TookTooLong(f"it took more than {seconds:,.0f} s")

    handler = signal.signal(signal.SIGALRM, give_up)
    left, began = signal.alarm(0), time.monotonic()
    signal.setitimer(signal.ITIMER_REAL, min(seconds, left or seconds))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
        if left:
            signal.alarm(max(1, int(left - (time.monotonic() - began))))


def shown(row: Row) -> list[str]:
    """The cells of a row, without the column of the plain server, which takes no part in this."""
    return row.cells()[:-1]


def told_while_it_runs(trial: Trial, bench: Bench) -> list[Row]:
    """The rows of a trial, each told when it is there; where it breaks, a last one that says so."""
    rows: list[Row] = []
    try:
        with limited(TRIAL_SECONDS):
            for row in trial(bench):
                rows.append(row)
                print("  " + "  ".join(filter(None, shown(row))), flush=True)
    except (Exception, SystemExit) as error:
        traceback.print_exc()
        rows.append(Row("this trial was not finished", f"{type(error).__name__}: {error}"[:80], "", "finished"))
    return rows


def main(*names: str) -> int:
    """Run the trials that are named, or all; the exit code is 1 where a bar was missed or something was left behind."""
    found, missing = trials()
    for module, reason in missing.items():
        print(f"{module} cannot be imported: {reason}")
    if unknown := set(names) - set(found):
        raise SystemExit(f"There is no trial {', '.join(sorted(unknown))}; choose among {', '.join(found)}.")
    rows: list[Row] = []
    began = time.strftime("%Y-%m-%d %H:%M")
    try:
        with limited_run("siege", WHOLE_RUN_SECONDS) as bench:
            for name in names or found:
                print(f"{name}:", flush=True)
                start = time.perf_counter()
                rows += told_while_it_runs(found[name], bench)
                print(f"  ({time.perf_counter() - start:,.0f} s)", flush=True)
    finally:
        print()
        print_table([Shown(row) for row in rows], COLUMNS)  # type: ignore[misc]
    missed = [row for row in rows if row.bar and not row.is_met]
    print(f"\n{began}; bars missed: {len(missed)}; processes left behind: {bench.left_behind}")
    return 1 if missed or missing or bench.left_behind else 0


class Shown:
    """A row for print_table, without the column of the plain server."""

    def __init__(self, row: Row) -> None:
        self.row = row

    def cells(self) -> list[str]:
        return shown(self.row)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
