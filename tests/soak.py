"""Lets a server answer 20,000 refreshes while its logs change 2,000 times, and weighs it before and after: `make soak`.

Pages and pictures are refreshed, with an ETag and without; live streams come and go; logs grow and begin anew. When
all viewers have left, the server must hold what it held after the warm-up, and no more: else the exit code is 1.
"""

import os
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

from bench import Row, print_table
from load import LiveStream, Tab
from measuring import (
    TABLE_ROWS,
    append_row,
    free_port,
    last_iteration,
    limited_run,
    megabytes,
    plotsrv_on,
    process_tree,
    write_table,
)

WHOLE_RUN_SECONDS = 600
WARM_UP_CHANGES = 300
CHANGES = 2000
LOGS = 4
ROWS_A_TRAINING = 150  # then the log begins anew
STREAMS = 3
CHANGES_A_STREAM = 20  # then one comes, and the one that has been there longest goes
CHANGES_A_TAB = 50  # then a viewer closes one, and opens it anew
REST_SECONDS = 6  # a live picture is watched on for 3 s when its viewer has left
SAMPLES = 5
SAMPLE_SECONDS = 0.2
MEMORY_SHARE = 1.05

# What each viewer refreshes: the path, and whether it tells what it knows of that.
REFRESHES = [
    ("/training/convergence?file_path={log}", True),
    ("/training/convergence?file_path={log}", True),
    ("/training/convergence?file_path={log}", False),
    ("/training/convergence?file_path={log}&refresh_every=1", True),
    ("/training/convergence?file_path={log}&refresh_every=live", True),
    ("/training/convergence?file_path=not-yet.csv", True),
    ("/training/convergence.png?file_path={log}", True),
    ("/training/convergence.png?file_path={log}", False),
    ("/training/convergence/form?file_path={log}", False),
    ("/", True),
]
STREAM = "/training/convergence.live?file_path={log}"
VIEWERS = len(REFRESHES)
EXPECTED = {200, 304, 404}  # 404 is the page that waits for a log

COLUMNS = ["", "after", "before", "ratio", "bar", "", ""]


class Soak:
    """The logs of some trainings, and those who look at them."""

    def __init__(self, folder: Path, port: int) -> None:
        self.port = port
        self.logs = [folder / f"run-{number}.csv" for number in range(LOGS)]
        self.statuses: Counter[int] = Counter()
        self.changes = self.streams = self.streamed = 0
        for log in self.logs:
            write_table(log)

    def go_on(self, changes: int) -> None:
        """So many changes, after each of which every viewer refreshes once; at the end all viewers leave."""
        tabs, streams = [Tab(self.port) for _ in range(VIEWERS)], []
        with ThreadPoolExecutor(VIEWERS) as viewers:
            for _ in range(changes):
                self.change_log()
                self.statuses.update(viewers.map(self.refresh, tabs, range(VIEWERS)))
                if self.changes % CHANGES_A_STREAM == 0:
                    self.move_on(streams)
                if self.changes % CHANGES_A_TAB == 0:
                    tabs[self.changes // CHANGES_A_TAB % VIEWERS].close()
        for each in tabs:
            each.close()
        for each in streams:
            self.leave(each)

    def change_log(self) -> None:
        """The next log gets a row, or begins anew."""
        self.changes += 1
        log = self.log(self.changes)
        if last_iteration(log) < TABLE_ROWS + ROWS_A_TRAINING:
            append_row(log)
        else:
            write_table(log)

    def refresh(self, tab: Tab, number: int) -> int:
        """One viewer's refresh; the status of the answer."""
        path, conditional = REFRESHES[number]
        path = path.format(log=self.log(number).name)
        status = tab.refresh(path, conditional)
        if status not in EXPECTED:
            raise SystemExit(f"{path} was answered with {status}.")
        return status

    def move_on(self, streams: list[LiveStream]) -> None:
        """A stream comes, and one that has been there for long goes."""
        self.streams += 1
        path = STREAM.format(log=self.log(self.streams).name)
        streams.append(LiveStream(self.port, path, browser=f"browser {self.streams}"))
        if len(streams) > STREAMS:
            self.leave(streams.pop(0))

    def leave(self, stream: LiveStream) -> None:
        """A stream's viewer goes."""
        stream.close()
        self.streamed += stream.received

    def log(self, number: int) -> Path:
        """The log that has its turn, of a change, a viewer or a stream with that number."""
        return self.logs[number % LOGS]


def held(pid: int) -> dict[str, float]:
    """What a server at rest holds: memory as PSS, descriptors and threads of all its processes."""
    time.sleep(REST_SECONDS)
    tree = process_tree(pid)
    server, everything = [], []
    for _ in range(SAMPLES):
        server.append(megabytes([pid]))
        everything.append(megabytes(tree))
        time.sleep(SAMPLE_SECONDS)
    return {
        "memory of the server process": median(server),
        "memory of all processes": median(everything),
        "file descriptors": sum(len(os.listdir(f"/proc/{each}/fd")) for each in tree),
        "threads": sum(len(os.listdir(f"/proc/{each}/task")) for each in tree),
        "processes": len(tree),
    }


def compared(before: dict[str, float], after: dict[str, float]) -> list[Row]:
    """A row for each thing that is held: a share more of memory is allowed, of all else nothing."""
    rows = []
    for what, held_before in before.items():
        is_memory = what.startswith("memory")
        most = held_before * (MEMORY_SHARE if is_memory else 1)
        bar, unit = ("5 % more", "MB") if is_memory else ("no more", "")
        rows.append(Row(what, after[what], unit, bar, most=most, baseline=held_before))
    return rows


def main() -> int:
    """Warm up, weigh, soak, weigh again; the exit code tells whether the server has grown."""
    port = free_port()
    with limited_run("soak", WHOLE_RUN_SECONDS) as bench, bench.running(plotsrv_on(bench.folder)(port)) as process:
        bench.wait_for(process, port, "/")
        soak = Soak(bench.folder, port)
        print(f"warming up with {WARM_UP_CHANGES:,} changes", flush=True)
        soak.go_on(WARM_UP_CHANGES)
        before, warm_up = held(process.pid), soak.statuses.total()
        print(f"soaking in {CHANGES:,} changes", flush=True)
        soak.go_on(CHANGES)
        rows = compared(before, held(process.pid))
    told = ", ".join(f"{count:,} with {status}" for status, count in sorted(soak.statuses.items()))
    print(f"\n{soak.statuses.total() - warm_up:,} refreshes; with those of the warm-up {told}")
    print(f"{soak.streams:,} live streams, which got {soak.streamed / 1e6:,.0f} MB\n")
    print_table(rows, COLUMNS)
    print(f"\nprocesses left behind: {bench.left_behind}")
    return 0 if all(row.is_met for row in rows) and not bench.left_behind else 1


if __name__ == "__main__":
    sys.exit(main())
