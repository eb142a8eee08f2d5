"""Text as it is in log files: decoded, as a terminal would show it in the end, and line by line as it grows.

Only complete lines count: the last one waits for its newline, or until nothing has been written for so long that none
is to come. A line that was rewritten (progress bars do that with carriage returns and backspaces) is what was written
last.
"""

import codecs
import os
import re
import threading
import time
from collections.abc import Callable, Iterator
from typing import BinaryIO, Protocol

import pandas

from .growing import Mark

MARK_BYTES = 1 << 12  # of a file's beginning, compared at every call
PART_BYTES = 1 << 24  # decoded at a time
LONGEST_LINE = 1 << 16  # bytes; an even number, as a character of UTF-16 has two
SETTLED_SECONDS = 86_400.0  # since a file was written: its last line is whole by then, though without a newline
BYTE_ORDER_MARKS = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}
ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")  # ECMA-48, and titles
REWRITES = re.compile(r"\r|\x08+")
BAR = re.compile(r"[^|{]*\d+%\|")  # tqdm's


class Reader(Protocol):
    """What turns the lines of a log into a table: it keeps what it made of all lines that it was fed."""

    def feed(self, text: str) -> None:
        """Take the complete lines that come next."""

    def table(self) -> pandas.DataFrame:
        """All rows so far."""


def encoding_of(head: bytes) -> str:
    """The encoding of a text that begins like this: UTF-16 where it says so, or UTF-8."""
    return next((name for mark, name in BYTE_ORDER_MARKS.items() if head.startswith(mark)), "utf-8")


def complete(text: bytes, encoding: str = "utf-8") -> bytes:
    """A text down to its last newline."""
    newline = "\n".encode(encoding)
    end = text.rfind(newline)
    while end > 0 and end % len(newline):  # half of one character and half of another
        end = text.rfind(newline, 0, end + len(newline) - 1)
    return text[: end + len(newline)] if end >= 0 else b""


def cleaned(text: bytes, encoding: str = "utf-8") -> str:
    """Some lines as a terminal would show them in the end: without escapes, each as it was last rewritten."""
    lines = text.decode(encoding, "replace").removeprefix("\ufeff")
    if "\x1b" in lines:
        lines = ESCAPES.sub("", lines)
    if "\r" in lines:
        lines = re.sub(r"\r+\n", "\n", lines)
    if "\r" in lines or "\x08" in lines:
        lines = "\n".join(map(last_state, lines.split("\n")))
    return lines


def last_state(line: str) -> str:
    """What stands in a line that was rewritten: what was written last, and rather no progress bar."""
    states = [state for state in REWRITES.split(line) if state.strip()]
    return next((state for state in reversed(states) if not BAR.match(state)), states[-1] if states else "")


def settled_line(file: BinaryIO, encoding: str = "utf-8") -> bytes:
    """The last line of a file where it has no newline, but is whole all the same; else nothing.

    Some logs begin a line with a newline instead, and exports leave the last one out. But what a training has in its
    buffers is cut off anywhere, often in the middle of a number, and may stay so for hours: only a line whose end can
    be seen is believed at once.
    """
    status = os.fstat(file.fileno())
    file.seek(max(status.st_size - LONGEST_LINE, 0))
    text = file.read()
    line = text[len(complete(text, encoding)) :]
    is_whole = is_closed(line.decode(encoding, "replace")) or time.time() - status.st_mtime > SETTLED_SECONDS
    return line if is_whole else b""


def is_closed(line: str) -> bool:
    """Whether a line ends where a record does: with a bracket that closes the first one, or a quoted cell."""
    line = line.rstrip()
    if line.startswith("{"):
        return line.endswith("}") and line.count("{") == line.count("}")
    return line.startswith('"') and line.endswith('"') and line.count('"') % 2 == 0


def ends_of(file: BinaryIO, size: int, most: int) -> Iterator[str]:
    """The complete lines of a file, or of its first and its last `size` bytes where it has more than `most`."""
    length = os.fstat(file.fileno()).st_size
    file.seek(0)
    head = file.read(size if length > most else -1)
    encoding = encoding_of(head)
    newline = "\n".encode(encoding)
    last = settled_line(file, encoding)
    if length <= most:
        yield cleaned(complete(head + newline if last else head, encoding), encoding)
        return
    yield cleaned(complete(head, encoding), encoding)
    file.seek(length - length % 2 - size)
    tail = file.read().partition(newline)[2]
    yield cleaned(complete(tail + newline if last else tail, encoding), encoding)


class Fed:
    """A reader, and how far it has been fed with a file."""

    def __init__(self, make: Callable[[], Reader]) -> None:
        self.make = make
        self.mark: Mark | None = None
        self.settled = False  # the last line was taken for whole, without its newline
        self.lock = threading.Lock()  # a plot may read in threads

    def table(self, file: BinaryIO) -> pandas.DataFrame:
        """The table of all complete lines of a file, of which only those that were added are fed."""
        with self.lock:
            mark, self.mark = self.mark, None  # whatever stops the reading, nothing half done is left
            file.seek(0)
            if mark is None or not mark.is_in(file) or (self.settled and goes_on(file, mark)):
                mark, self.reader, self.settled = beginning(file), self.make(), False
            self.feed(file, mark)
            self.mark = mark
            return self.reader.table()

    def feed(self, file: BinaryIO, mark: Mark) -> None:
        """Feed the lines that were added."""
        encoding = encoding_of(mark.head)
        file.seek(mark.end)
        while text := complete(file.read(PART_BYTES) + file.readline(), encoding):
            self.reader.feed(cleaned(text, encoding))
            mark.move(text)
            file.seek(mark.end)  # back over what is still being written
        if mark.status.st_size > mark.end and (line := settled_line(file, encoding)):
            self.reader.feed(cleaned(line, encoding) + "\n")
            mark.move(line)
            self.settled = True


def goes_on(file: BinaryIO, mark: Mark) -> bool:
    """Whether more than a newline has come to what was taken for a whole line."""
    newline = "\n".encode(encoding_of(mark.head))
    file.seek(mark.end)
    return file.read(len(newline)) not in (b"", newline)


def beginning(file: BinaryIO) -> Mark:
    """The mark of a file of which nothing but how it begins has been read."""
    status = os.fstat(file.fileno())
    file.seek(0)
    return Mark(status, file.read(MARK_BYTES), b"", 0)
