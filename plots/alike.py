"""Lines that are alike but for their numbers: found by their shape, and read together as if they were a CSV file.

The *shape* of a line is what is left of it without its numbers and blanks.
"""

import io
from collections.abc import Sequence
from itertools import chain

import numpy
import pandas

from .lines import Span
from .records import Rows

MANY_LINES = 1000  # of one plan: worth reading as a table
NUMERIC = b"0123456789.+- \t"
EXACTLY = {} if pandas.__version__ >= "3.1" else {"float_precision": "round_trip"}  # from 3.1 on, it always is


def shapes_of(lines: Sequence[str], numbers: dict[bytes, int]) -> numpy.ndarray:
    """The number of each line's shape; `numbers` gives new ones to those that it does not know."""
    shapes = "\n".join(lines).encode("utf-8", "surrogatepass").translate(None, NUMERIC).split(b"\n")
    return numpy.fromiter(map(numbers.__getitem__, shapes), numpy.int32, len(shapes))


class Numbering(dict):
    """Numbers its keys as they come."""

    def __missing__(self, key: bytes) -> int:
        self[key] = len(self)
        return self[key]


def groups(numbers: numpy.ndarray) -> list[tuple[int, Rows]]:
    """The places of each number, in the order in which the numbers first come."""
    if not len(numbers):
        return []
    if (numbers == numbers[0]).all():
        return [(int(numbers[0]), numpy.arange(len(numbers)))]
    order = numpy.argsort(numbers, kind="stable")
    parts = numpy.split(order, numpy.flatnonzero(numpy.diff(numbers[order])) + 1)
    return [(int(numbers[part[0]]), part) for part in sorted(parts, key=lambda part: part[0])]


def commas(line: str, spans: Sequence[Span]) -> bytes:
    """A table for `bytes.translate` that leaves the numbers of a line, a comma between each two, and blanks.

    It is empty where there is none: where there are other digits or signs in the line, or no letter or mark that
    stands exactly once between each two numbers, and not elsewhere.
    """
    edges = [0, *chain.from_iterable(spans), len(line)]
    first, *between, last = [line[start:end] for start, end in zip(edges[::2], edges[1::2], strict=True)]
    texts = [line[start:end] for start, end in spans]
    kept = "0123456789+-." + ("eE" if any("e" in text.lower() for text in texts) else "")
    if not spans or any("," in text for text in texts) or set(kept) & set("".join([first, *between, last])):
        return b""
    marks = separators(between, set(first + last))
    if marks is None:
        return b""
    table = bytearray(b" " * 256)
    for text, byte in [*((each, each) for each in kept + "\n"), *((mark, ",") for mark in marks)]:
        table[ord(text)] = ord(byte)
    return bytes(table)


def separators(pieces: Sequence[str], elsewhere: set[str], chosen: str = "") -> str | None:
    """Letters or marks of which exactly one stands in each piece, and once; None where there are none."""
    bare = next((piece for piece in pieces if not any(mark in piece for mark in chosen)), None)
    if bare is None:
        return chosen
    for mark in dict.fromkeys(bare):
        fits = mark.isascii() and not mark.isspace() and mark not in elsewhere
        if fits and all(sum(map(piece.count, chosen + mark)) <= 1 for piece in pieces):
            found = separators(pieces, elsewhere, chosen + mark)
            if found is not None:
                return found
    return None


def table_of(text: str, table: bytes, columns: int) -> numpy.ndarray | None:
    """The numbers of lines, read by pandas after that translation; None where the lines are not alike after all."""
    rows = text.encode("utf-8", "surrogatepass").translate(table) if table else b""
    if not rows or rows.count(b",") != (columns - 1) * (rows.count(b"\n") + 1):
        return None
    try:
        return pandas.read_csv(
            io.BytesIO(rows), header=None, names=range(columns), index_col=False, dtype=float, na_filter=False,
            skip_blank_lines=False, **EXACTLY,
        ).to_numpy()  # fmt: skip
    except ValueError:  # digits stand elsewhere
        return None
