"""The scalars in the bytes of a TensorBoard event file, with nothing but numpy.

The vocabulary: an event file is a row of *records*, each framed by its length and two checksums. A record holds one
*event*: a wall time, a step, and the *values* of some tags, written as protobuf.

How it is fast in plain Python: most events of a file are built alike. Of the first of them, protobuf is walked field by
field, which gives the *shape*: where the numbers stand. All others whose bytes are the same everywhere else are of that
shape, and their numbers are taken at once.
"""

import functools
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy
from numpy.lib.stride_tricks import sliding_window_view

FRAME_BYTES = 16  # of a record, around its event
FOOTER_BYTES = 4  # of these, behind it
MOST_BYTES = 1 << 31  # protobuf's own limit: a longer event is none
LARGEST_BYTES = 1 << 20  # of an event that may hold scalars: larger ones are images, audio, graphs
SEARCHED_BYTES = 1 << 22  # for the next whole record behind a broken one
VARINT_BYTES = 10  # at most, for 64 bits
FEW = 16  # rows, for which a loop is faster than an array
SHAPES = 1000  # among events of one length: no writer has that many


# -- records: a file's frames (u64 length, u32 checksum of the length, the event, u32 checksum of the event)

HEADER = struct.Struct("<QI")
NEXT = re.compile(rb"(?s)(?=\x00{5}.{4}\t)")  # a length below 16 MiB, its checksum, and the key of a wall time


def record_places(data: bytes, left: int) -> tuple[numpy.ndarray, numpy.ndarray, int]:
    """Where the events of the whole records begin that may hold scalars, their lengths, and the end of the records.

    A record is waited for until its last byte is there, and a broken one stepped over as soon as a whole one follows.
    """
    starts, lengths, end, size = [], [], 0, len(data)
    while end + FRAME_BYTES <= size:
        length = record_length(data, end)
        if length is None:
            found = next_record(data, end + 1)
            if found is None:
                break
            end = found
            continue
        after = end + FRAME_BYTES + length
        if after > (left if length > LARGEST_BYTES else size):
            break
        if length <= LARGEST_BYTES:
            starts.append(end + HEADER.size)
            lengths.append(length)
        end = after
    return numpy.array(starts, numpy.int64), numpy.array(lengths, numpy.int64), end


def record_length(data: bytes, start: int) -> int | None:
    """The length of the event in a record, or None where its checksum says otherwise."""
    length, checksum = HEADER.unpack_from(data, start)
    return length if checksum == checksum_of_length(length) and length <= MOST_BYTES else None


def next_record(data: bytes, start: int) -> int | None:
    """Where the next record begins, so near that it is worth a search."""
    for found in NEXT.finditer(data, start + 3, start + SEARCHED_BYTES):
        place = found.start() - 3
        if place + HEADER.size <= len(data) and record_length(data, place) is not None:
            return place
    return None


def groups_of(lengths: numpy.ndarray) -> list[numpy.ndarray]:
    """The numbers of the records of each length, in order."""
    order = numpy.argsort(lengths, kind="stable")
    return numpy.split(order, numpy.flatnonzero(numpy.diff(lengths[order])) + 1) if len(order) else []


# -- checksums: CRC-32C (RFC 3720, B.4), masked as TFRecord does, so that data that hold checksums do not collide


def crc_table() -> numpy.ndarray:
    """What each byte adds to a CRC-32C, of the reflected polynomial 0x82F63B78."""
    table = numpy.arange(256, dtype=numpy.uint32)
    for _ in range(8):
        table = numpy.where(table & 1, table >> 1 ^ numpy.uint32(0x82F63B78), table >> 1).astype(numpy.uint32)
    return table


TABLE = crc_table()
ENTRIES = TABLE.tolist()


def checksum(data: bytes) -> int:
    """The masked CRC-32C of a few bytes."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = ENTRIES[(crc ^ byte) & 0xFF] ^ crc >> 8
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def checksums(rows: numpy.ndarray) -> numpy.ndarray:
    """The masked CRC-32C of each row of bytes, all rows at once, a byte at a time."""
    if len(rows) < FEW:
        return numpy.array([checksum(row.tobytes()) for row in rows], numpy.uint32)
    crc = numpy.full(len(rows), 0xFFFFFFFF, numpy.uint32)
    for column in numpy.ascontiguousarray(rows.T):
        crc = TABLE[(crc ^ column) & 0xFF] ^ crc >> 8
    crc = ~crc
    return (crc >> 15 | crc << 17) + numpy.uint32(0xA282EAD8)


@functools.lru_cache(4096)
def checksum_of_length(length: int) -> int:
    """The checksum before which a length stands."""
    return checksum(length.to_bytes(8, "little"))


# -- shapes: where the numbers stand in an event

VARINT, EIGHT_BYTES, BYTES, FOUR_BYTES = 0, 1, 2, 5  # the wire types of protobuf
SIZES = {EIGHT_BYTES: 8, FOUR_BYTES: 4}

# The types of a tensor that are numbers (TensorFlow's DataType): what numpy calls them, and the field of the numbers
# where they do not stand as they are in memory. Of bfloat16, numpy knows only the bits.
TENSOR_TYPES = {
    1: ("<f4", 5),
    2: ("<f8", 6),
    3: ("<i4", 7),
    4: ("u1", 7),
    5: ("<i2", 7),
    6: ("i1", 7),
    9: ("<i8", 10),
    10: ("u1", 11),
    14: ("bfloat16", 13),
    17: ("<u2", 7),
    19: ("<f2", 13),
    22: ("<u4", 16),
    23: ("<u8", 17),
}
OF_SCALARS = (b"", b"scalars")  # the plug-ins that draw curves; without a name it is TensorBoard's own choice


@dataclass(frozen=True)
class Scalar:
    """Where a value's tag and number stand in an event, and how the number is written."""

    tag: slice
    number: slice
    kind: str  # the name of a type in TENSOR_TYPES
    is_varint: bool


@dataclass
class Shape:
    """What events that are built alike have in common."""

    fixed: numpy.ndarray  # the bits of each byte that are the same in all of them
    wall: slice | None = None
    step: slice | None = None
    scalars: list[Scalar] = field(default_factory=list)
    is_hparams: bool = False

    def free(self, place: slice, bits: int = 0xFF) -> None:
        """Let the bits of some bytes be others in other events; of a varint, the upper ones tell where it ends."""
        self.fixed[place] &= 0xFF ^ bits


class Broken(ValueError):
    """What is no protobuf."""


def shape_of(event: bytes) -> Shape:
    """The shape of an event: 1 is its wall time, 2 its step, 5 its summary; each may lack."""
    shape = Shape(numpy.full(len(event), 0xFF, numpy.uint8))
    try:
        for number, wire, place in fields(event, slice(0, len(event))):
            if (number, wire) == (1, EIGHT_BYTES):
                shape.wall = place
                shape.free(place)
            elif (number, wire) == (2, VARINT):
                shape.step = place
                shape.free(place, 0x7F)
            elif (number, wire) == (5, BYTES):
                add_values(shape, event, place)
            elif wire == BYTES:
                shape.free(place)
    except Broken:
        shape.scalars.clear()
    return shape


def add_values(shape: Shape, event: bytes, summary: slice) -> None:
    """Put the scalars of a summary into a shape: its field 1 are values."""
    for number, wire, place in fields(event, summary):
        if (number, wire) == (1, BYTES):
            add_value(shape, event, place)
        elif wire == BYTES:
            shape.free(place)


def add_value(shape: Shape, event: bytes, value: slice) -> None:
    """Put a value into a shape, where it is a scalar: 1 is its tag, 2 a number, 8 a tensor, 9 says what draws it."""
    parts = {(number, wire): place for number, wire, place in fields(event, value)}
    tag = parts.get((1, BYTES), slice(0, 0))
    plugin = plugin_of(event, parts[9, BYTES]) if (9, BYTES) in parts else b""
    shape.is_hparams |= plugin == b"hparams"
    scalar = None
    if plugin in OF_SCALARS and (2, FOUR_BYTES) in parts:
        scalar = Scalar(tag, parts[2, FOUR_BYTES], "<f4", is_varint=False)
    elif plugin in OF_SCALARS and (8, BYTES) in parts:
        scalar = scalar_of_tensor(event, tag, parts[8, BYTES])
    shape.free(tag)
    if scalar:
        shape.scalars.append(scalar)
        shape.free(scalar.number, 0x7F if scalar.is_varint else 0xFF)
        return
    for (number, wire), place in parts.items():
        if wire == BYTES and number != 9:  # an image, a histogram
            shape.free(place)


def plugin_of(event: bytes, metadata: slice) -> bytes:
    """The name of the plug-in that draws a value: field 1 of field 1."""
    for number, wire, place in fields(event, metadata):
        if (number, wire) == (1, BYTES):
            names = [name for number, wire, name in fields(event, place) if (number, wire) == (1, BYTES)]
            return event[names[-1]] if names else b""
    return b""


def scalar_of_tensor(event: bytes, tag: slice, tensor: slice) -> Scalar | None:
    """The number of a tensor that holds a single one: 1 is its type, 2 its shape, 4 its memory, or see TENSOR_TYPES."""
    parts = {number: (wire, place) for number, wire, place in fields(event, tensor)}
    wire, place = parts.get(1, (BYTES, tensor))
    kind, numbers = TENSOR_TYPES.get(varint(event, place.start)[0] if wire == VARINT else 0, ("", 0))
    if not kind or (2 in parts and not is_single(event, parts[2][1])):
        return None
    if 4 in parts:
        size = item_type(kind).itemsize
        return Scalar(tag, parts[4][1], kind, is_varint=False) if length_of(parts[4][1]) == size else None
    if numbers not in parts:
        return None
    place = parts[numbers][1]
    if kind in ("<f4", "<f8"):
        return Scalar(tag, place, kind, is_varint=False) if length_of(place) == item_type(kind).itemsize else None
    return Scalar(tag, place, kind, is_varint=True) if varint(event, place.start)[1] == place.stop else None


def is_single(event: bytes, shape: slice) -> bool:
    """Whether the shape of a tensor is () or all ones: its field 2 are dimensions, whose field 1 is a size."""
    dimensions = [place for number, wire, place in fields(event, shape) if (number, wire) == (2, BYTES)]
    sizes = [fields(event, dimension) for dimension in dimensions]
    return all((1, VARINT, 1) in [(n, w, varint(event, place.start)[0]) for n, w, place in each] for each in sizes)


def length_of(place: slice) -> int:
    """How many bytes there are."""
    return int(place.stop - place.start)


def fields(data: bytes, message: slice) -> Iterator[tuple[int, int, slice]]:
    """The fields of a message: number, wire type, and where the value stands."""
    end = message.start
    while end < message.stop:
        key, start = varint(data, end)
        number, wire = key >> 3, key & 7
        if wire == BYTES:
            size, start = varint(data, start)
            end = start + size
        elif wire == VARINT:
            end = varint(data, start)[1]
        elif wire in SIZES:
            end = start + SIZES[wire]
        else:
            raise Broken(f"wire type {wire}")
        if end > message.stop:
            raise Broken("a field is longer than its message")
        yield number, wire, slice(start, end)


def varint(data: bytes, start: int) -> tuple[int, int]:
    """A whole number in as many bytes as it needs, seven bits in each, the lowest first; and where it ends."""
    value = 0
    for end, byte in enumerate(data[start : start + VARINT_BYTES], start + 1):
        value |= (byte & 0x7F) << 7 * (end - start - 1)
        if byte < 0x80:
            return value, end
    raise Broken("a number without an end")


# -- points: the numbers of all events of a shape


@dataclass(frozen=True)
class Series:
    """The points of one tag in one file, in the order in which they were written."""

    steps: numpy.ndarray  # int64
    walls: numpy.ndarray  # seconds since the epoch
    values: numpy.ndarray

    def __add__(self, other: "Series") -> "Series":
        """These points, and those of the other behind them."""
        pairs = zip(vars(self).values(), vars(other).values(), strict=True)
        return Series(*map(numpy.concatenate, pairs))


def joined(before: dict[str, Series], added: dict[str, Series]) -> dict[str, Series]:
    """The series of a file that has grown; those that were handed out before stay as they are."""
    return before | {tag: before[tag] + series if tag in before else series for tag, series in added.items()}


class Found:
    """The points in the records of a part of an event file, whose events begin at these places."""

    def __init__(self, data: bytes, starts: numpy.ndarray, lengths: numpy.ndarray) -> None:
        self.data = numpy.frombuffer(data, numpy.uint8)
        self.tags: dict[bytes, int] = {}  # and their numbers
        self.points: list[tuple[numpy.ndarray, ...]] = []  # place in the file, tag, step, wall time, value
        self.is_hparams = False
        for records in groups_of(lengths):
            self.read(starts[records], int(lengths[records[0]]))

    def read(self, starts: numpy.ndarray, length: int) -> None:
        """Take the events of one length, all of one shape at once."""
        rows = sliding_window_view(self.data, length + FOOTER_BYTES)[starts]
        left = numpy.arange(len(rows))
        for _ in range(SHAPES):
            if not len(left):
                break
            events = rows[left, :length]
            shape = shape_of(events[0].tobytes())
            same = ~((events ^ events[0]) & shape.fixed).any(axis=1)
            self.is_hparams |= shape.is_hparams
            if shape.scalars:
                self.add(shape, starts[left[same]], rows[left[same]])
            left = left[~same]

    def add(self, shape: Shape, starts: numpy.ndarray, rows: numpy.ndarray) -> None:
        """Take the points of records that have a shape, as far as they are whole."""
        claimed = numpy.ascontiguousarray(rows[:, -FOOTER_BYTES:]).view("<u4").ravel()
        whole = checksums(rows[:, :-FOOTER_BYTES]) == claimed
        if not whole.any():
            return
        starts, rows = starts[whole], rows[whole]
        zeros = numpy.zeros(len(rows))
        steps = varints(rows[:, shape.step]).view(numpy.int64) if shape.step else zeros.astype(numpy.int64)
        walls = numbers(rows[:, shape.wall], "<f8") if shape.wall else zeros
        for scalar in shape.scalars:
            self.points.append((starts, self.tag_numbers(rows[:, scalar.tag]), steps, walls, values(rows, scalar)))

    def tag_numbers(self, names: numpy.ndarray) -> numpy.ndarray:
        """The number of the tag in each row."""
        size = names.shape[1]
        texts = numpy.ascontiguousarray(names).view(f"V{size}").ravel().tolist() if size else [b""] * len(names)
        return numpy.array([self.tags.setdefault(text, len(self.tags)) for text in texts], numpy.int64)

    def series(self) -> dict[str, Series]:
        """The points of each tag, in the order in which they came."""
        if not self.points:
            return {}
        starts, tags, steps, walls, values = map(numpy.concatenate, zip(*self.points, strict=True))
        order = numpy.lexsort((starts, tags))
        ends = numpy.flatnonzero(numpy.diff(tags[order])) + 1
        groups = sorted(numpy.split(order, ends), key=lambda group: starts[group[0]])
        names = [name.decode(errors="replace") for name in self.tags]
        series: dict[str, Series] = {}
        for group in groups:
            points = Series(steps[group], walls[group], values[group])
            series = joined(series, {names[tags[group[0]]]: points})
        return series


def values(rows: numpy.ndarray, scalar: Scalar) -> numpy.ndarray:
    """The number of a scalar in each row."""
    written = rows[:, scalar.number]
    if not scalar.is_varint:
        return numbers(written, scalar.kind)
    size = item_type(scalar.kind).itemsize  # what stands above is the sign once more
    return numbers(varints(written).view(numpy.uint8).reshape(-1, 8)[:, :size], scalar.kind)


def numbers(rows: numpy.ndarray, kind: str) -> numpy.ndarray:
    """The number that the bytes of each row are."""
    items = numpy.ascontiguousarray(rows).view(item_type(kind)).ravel()
    if kind == "bfloat16":  # the upper half of a float
        items = (items.astype("<u4") << 16).view("<f4")
    with numpy.errstate(invalid="ignore"):  # there are NaNs at whose sight a processor raises its hand
        return items.astype(numpy.float64)


def item_type(kind: str) -> numpy.dtype:
    """How a number stands in memory."""
    return numpy.dtype("<u2" if kind == "bfloat16" else kind)


def varints(rows: numpy.ndarray) -> numpy.ndarray:
    """The whole number that each row writes, which all do in the same number of bytes."""
    whole = numpy.zeros(len(rows), "<u8")
    for place, column in enumerate(rows.T):
        whole |= (column & 0x7F).astype("<u8") << numpy.uint64(7 * place)
    return whole
