"""plots/events.py, plots/scalars.py: TensorBoard and MLflow are read as they read themselves, new bytes alone."""

import base64
import math
import os
import struct
import sys

import numpy
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from plots import events, scalars
from plots.growing import NoCurve

NAME = "events.out.tfevents.1700000000.host"
WALL = 1_700_000_000.0

# What tensorboardX 2.6.5 writes for two scalars named loss, and TensorBoard 2.21 for two of TF2's and a histogram.
TENSORBOARDX = base64.b64decode(
    "GAAAAAAAAACjf0siCTQ1Kt3gwNpBGg1icmFpbi5FdmVudDoyhqw8HhsAAAAAAAAAGg2eEwkAABBA/FTZQRCsAioNCgsKBGxvc3MVAAAAP3f5kKAb"
    "AAAAAAAAABoNnhMJAABgQPxU2UEQrQIqDQoLCgRsb3NzFQAAgD6leSRc"
)
TENSORBOARD = base64.b64decode(
    "SAAAAAAAAAD+kkidCeWOKt3gwNpBGg1icmFpbi5FdmVudDoyUi4KLHRlbnNvcmJvYXJkLnN1bW1hcnkud3JpdGVyLmV2ZW50X2ZpbGVfd3JpdGVy"
    "yvWKpTQAAAAAAAAAXjMXXAkAAEBA/FTZQRABKicKJQoKZXBvY2hfbG9zc0IKCAESACoEAACAP0oLCgkKB3NjYWxhcnNKsxBQNAAAAAAAAABeMxdc"
    "CQAAgED8VNlBEAIqJwolCgplcG9jaF9sb3NzQgoIARIAKgQAAAA/SgsKCQoHc2NhbGFyczmYUjRQAAAAAAAAAJQPm4IJAACAQPxU2UEQAipDCkEK"
    "B3dlaWdodHNCJggCEggSAggBEgIIAyIYAAAAAAAAAAAAAAAAAAAAQAAAAAAAAAhASg4KDAoKaGlzdG9ncmFtcxur1OM="
)


# -- a writer, to the documented grammar


def varint(number):
    """A whole number as protobuf writes it; a negative one as if it had no sign."""
    number &= (1 << 64) - 1
    more = []
    while number > 0x7F:
        more.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*more, number])


def part(number, content):
    """A field of bytes, of a whole number, or (as bytearray) of the bytes of a number, by its type."""
    if isinstance(content, int):
        return varint(number << 3) + varint(content)
    if isinstance(content, bytearray):
        return varint(number << 3 | {4: 5, 8: 1}[len(content)]) + bytes(content)
    return varint(number << 3 | 2) + varint(len(content)) + content


def crc(data):
    """The masked CRC-32C of some bytes, bit by bit."""
    rest = 0xFFFFFFFF
    for byte in data:
        rest ^= byte
        for _ in range(8):
            rest = rest >> 1 ^ (0x82F63B78 if rest & 1 else 0)
    rest ^= 0xFFFFFFFF
    return struct.pack("<I", ((rest >> 15 | rest << 17 & 0xFFFFFFFF) + 0xA282EAD8) & 0xFFFFFFFF)


def record(event):
    """An event in its frame."""
    length = struct.pack("<Q", len(event))
    return length + crc(length) + event + crc(event)


def event(step, *values, wall=None):
    """The record of an event: its values are those of one step."""
    summary = b"".join(part(1, value) for value in values)
    time = part(1, bytearray(struct.pack("<d", WALL + step if wall is None else wall)))
    return record(time + (part(2, step) if step else b"") + part(5, summary))


def simple(tag, number):
    """A value as TF1, PyTorch and tensorboardX write it."""
    return part(1, tag.encode()) + part(2, bytearray(struct.pack("<f", number)))


def drawn_by(plugin):
    """The metadata of a value."""
    return part(9, part(1, part(1, plugin)))


def tensor(tag, kind, content, shape=b"", plugin=b"scalars"):
    """A value as TF2 writes it: the content is the field of its numbers."""
    return part(1, tag.encode()) + part(8, part(1, kind) + part(2, shape) + content) + drawn_by(plugin)


START = record(part(1, bytearray(struct.pack("<d", WALL))) + part(3, b"brain.Event:2"))


def run_of(steps, tag="loss"):
    """An event file in which a tag has the number of its step."""
    return START + b"".join(event(step, simple(tag, step)) for step in steps)


# -- fixtures


@pytest.fixture(autouse=True)
def forgotten():
    """Every test begins in a process that has read nothing."""
    events.memory.cache_clear()


@pytest.fixture
def path(tmp_path):
    """Where an event file is going to be."""
    return tmp_path / NAME


@pytest.fixture
def decoded(monkeypatch):
    """How many bytes were decoded, time by time."""
    sizes, feed = [], events.EventFile.feed

    def recorded(self, data, left):
        sizes.append(len(data))
        return feed(self, data, left)

    monkeypatch.setattr(events.EventFile, "feed", recorded)
    return sizes


def write(path, *pieces):
    """Put pieces into a file whose folder may not be there yet."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(pieces))
    return path


def append(path, data):
    """Add bytes to a file, as its writer does."""
    with path.open("ab") as file:
        file.write(data)


def rows(path):
    """What is read, by column; None stands for NaN."""
    table = events.read_events(path).drop(columns="wall_time")
    return {name: [None if number != number else number for number in table[name].tolist()] for name in table}


def outcome(path):
    """What is read, or that there is no curve."""
    try:
        return rows(path)
    except NoCurve:
        return None


# -- records


def test_checksum_is_the_one_of_the_standard():
    """RFC 3720 has 32 bytes of zeros give 8A9136AA; masked, it is turned by 15 bits and a number is added."""
    turned = (0x8A9136AA >> 15 | 0x8A9136AA << 17) & 0xFFFFFFFF
    expected = (turned + 0xA282EAD8) % 2**32
    assert scalars.checksum(bytes(32)) == expected
    assert scalars.checksums(numpy.zeros((100, 32), numpy.uint8)).tolist() == [expected] * 100


def test_file_of_tensorboardx_is_read(path):
    """Its scalars are plain numbers."""
    table = events.read_events(write(path, TENSORBOARDX))
    assert table.to_dict("list") == {"step": [300, 301], "wall_time": [WALL + 0.25, WALL + 1.5], "loss": [0.5, 0.25]}
    assert table.attrs == {
        "x": "step",
        "starts": (0,),
        "nans": {},
        "total": None,
        "format": "TensorBoard events",
        "whole": True,
    }


def test_file_of_tensorboard_is_read_but_for_its_histogram(path):
    """The scalars of TF2 are tensors; only what the plug-in for scalars draws becomes a column."""
    assert rows(write(path, TENSORBOARD)) == {"step": [1, 2], "epoch_loss": [1.0, 0.5]}


def test_half_a_record_waits_wherever_it_ends(path):
    """A file cut at any byte gives the events that are whole."""
    data = run_of(range(1, 4))
    size = len(event(1, simple("loss", 1)))
    for end in range(len(data)):
        expected = list(range(1, 1 + max(0, end - len(START)) // size))
        write(path, data[:end])
        assert outcome(path) == ({"step": expected, "loss": expected} if expected else None)


def test_half_a_record_is_read_once_it_is_whole(path):
    """No wrong number is shown in between."""
    data = run_of(range(1, 30))
    cut = len(data) - 7
    assert rows(write(path, data[:cut]))["loss"] == list(range(1, 29))
    append(path, data[cut:])
    assert rows(path)["loss"] == list(range(1, 30))


@pytest.mark.parametrize("size", [1, 40])  # few are checked one by one, many at once
def test_flipped_byte_costs_its_record_alone(path, size):
    """Wherever it is, in a length, a checksum or an event, the other records are read."""
    data = run_of(range(1, size + 3))
    length = len(event(1, simple("loss", 1)))
    for place in range(len(START), len(START) + length):
        broken = bytearray(data)
        broken[place] ^= 0x55
        assert rows(write(path, broken))["loss"] == list(range(2, size + 3))


def test_file_whose_only_scalar_is_broken_has_no_curve(path):
    """What is left of it is a file without scalars."""
    broken = bytearray(event(1, simple("loss", 1)))
    broken[-6] ^= 1
    assert outcome(write(path, START, broken)) is None


def test_length_that_lies_is_waited_for(path):
    """Nothing is reserved for it, and what was before it is there."""
    length = struct.pack("<Q", 1 << 30)
    assert rows(write(path, run_of([1, 2]), length, crc(length), bytes(100)))["loss"] == [1, 2]


def test_length_beyond_all_bounds_is_stepped_over(path):
    """No event has 2**62 bytes, even where the checksum says so."""
    length = struct.pack("<Q", 1 << 62)
    assert rows(write(path, run_of([1]), length, crc(length), event(2, simple("loss", 2))))["loss"] == [1, 2]


def test_zeros_at_the_end_are_waited_for(path):
    """A disk may give a file its size before its content."""
    data = run_of([1, 2])
    write(path, data[:-10], bytes(10))
    assert rows(path)["loss"] == [1]
    write(path, data)
    os.utime(path, (1, 1))
    assert rows(path)["loss"] == [1, 2]


def test_large_event_is_stepped_over(path, monkeypatch):
    """Images may be larger than what is decoded at a time."""
    monkeypatch.setattr(events, "PART_BYTES", 200)
    monkeypatch.setattr(scalars, "LARGEST_BYTES", 100)
    image = part(1, b"image") + part(4, part(4, bytes(1000)))
    assert rows(write(path, run_of([1, 2]), event(3, image), event(4, simple("loss", 4))))["loss"] == [1, 2, 4]


# -- events


FLOAT, DOUBLE, INT32, UINT8, INT64, BOOL, BFLOAT16, HALF, UINT64 = 1, 2, 3, 4, 9, 10, 14, 19, 23
TENSORS = {
    "float, as in memory": (1.5, FLOAT, part(4, struct.pack("<f", 1.5))),
    "float, packed": (1.5, FLOAT, part(5, struct.pack("<f", 1.5))),
    "float, unpacked": (1.5, FLOAT, part(5, bytearray(struct.pack("<f", 1.5)))),
    "double, as in memory": (0.1, DOUBLE, part(4, struct.pack("<d", 0.1))),
    "double, packed": (0.1, DOUBLE, part(6, struct.pack("<d", 0.1))),
    "double, unpacked": (0.1, DOUBLE, part(6, bytearray(struct.pack("<d", 0.1)))),
    "int32, as in memory": (-7, INT32, part(4, struct.pack("<i", -7))),
    "int32, packed": (-7, INT32, part(7, varint(-7))),
    "int32, unpacked": (300, INT32, part(7, 300)),
    "uint8, packed": (200, UINT8, part(7, varint(200))),
    "int64, as in memory": (-(1 << 40), INT64, part(4, struct.pack("<q", -(1 << 40)))),
    "int64, packed": (-(1 << 40), INT64, part(10, varint(-(1 << 40)))),
    "bool, packed": (1, BOOL, part(11, varint(1))),
    "bfloat16, as in memory": (1.5, BFLOAT16, part(4, b"\xc0\x3f")),
    "bfloat16, packed": (1.5, BFLOAT16, part(13, varint(0x3FC0))),
    "half, as in memory": (1.5, HALF, part(4, struct.pack("<e", 1.5))),
    "half, packed": (1.5, HALF, part(13, varint(0x3E00))),
    "uint64, packed": (1 << 63, UINT64, part(17, varint(1 << 63))),
}


@pytest.mark.parametrize(["number", "kind", "content"], TENSORS.values(), ids=TENSORS)
def test_number_of_a_tensor_is_read(path, number, kind, content):
    """In each type that is a number, however it is written, with the shape () and with (1,)."""
    values = [event(1, tensor("loss", kind, content)), event(2, tensor("loss", kind, content, part(2, part(1, 1))))]
    assert rows(write(path, START, *values)) == {"step": [1, 2], "loss": [number, number]}


def test_only_scalars_become_columns(path):
    """Not histograms, images, vectors, texts, nor the scalars of some other plug-in."""
    number, vector = part(4, struct.pack("<f", 1)), part(4, struct.pack("<ff", 1, 2))
    others = [
        tensor("vector", FLOAT, vector, part(2, part(1, 2))),
        tensor("empty", FLOAT, part(4, b""), part(2, part(1, 0))),
        tensor("text", 7, part(8, b"12")),
        tensor("mine", FLOAT, number, plugin=b"mine"),
        part(1, b"image") + part(4, b"PNG"),
        part(1, b"histogram") + part(5, bytes(10)),
    ]
    assert rows(write(path, START, event(1, *others, simple("loss", 1)))) == {"step": [1], "loss": [1]}


def test_values_of_one_event_stand_in_one_row(path):
    """And those of one step do, whichever event they are in; the earliest wall time is the row's."""
    events_of_a_step = [event(5, simple("a", 1), simple("b", 2), wall=WALL + 3), event(5, simple("c", 3), wall=WALL)]
    table = events.read_events(write(path, START, *events_of_a_step, event(6, simple("b", 4))))
    assert table["wall_time"].tolist() == [WALL, WALL + 6]
    assert rows(path) == {"step": [5, 6], "a": [1, None], "b": [2, 4], "c": [3, None]}


def test_columns_stand_in_the_order_in_which_tags_came(path):
    """Whatever the lengths of their names are, by which events are decoded."""
    tags = ["zz", "a", "long name of a tag", "b"]
    assert list(rows(write(path, START, *(event(1, simple(tag, 1)) for tag in tags)))) == ["step", *tags]


@pytest.mark.parametrize("tag", ["loss/train", "grün ∑", "a\nb", "日本", "x" * 300, "%s {}", "config"])
def test_tag_is_any_text(path, tag):
    """It is the name of its column as it is."""
    assert list(rows(write(path, START, event(1, simple(tag, 1))))) == ["step", tag]


@pytest.mark.parametrize(["tag", "name"], [("step", "scalars/step"), ("wall_time", "scalars/wall_time"), ("", "value")])
def test_tag_never_takes_the_name_of_another_column(path, tag, name):
    """The table's own columns stay what they are."""
    assert rows(write(path, START, event(7, simple(tag, 1)))) == {"step": [7], name: [1]}


def test_literal_nan_is_told_from_a_missing_cell(path):
    """Both are NaN in the table, and infinity stays; the log's own NaNs are noted, and have a sign."""
    data = [event(1, simple("a", math.nan)), event(2, simple("b", math.inf)), event(3, simple("a", 1))]
    table = events.read_events(write(path, START, *data))
    assert table.attrs["nans"] == {"a": (0,)}
    assert numpy.signbit(table["a"]).tolist() == [True, False, False]
    assert rows(path) == {"step": [1, 2, 3], "a": [None, None, 1], "b": [None, math.inf, None]}


@pytest.mark.parametrize("step", [127, 128, 1 << 14, 1 << 31, (1 << 63) - 1, -1])
def test_step_has_sixty_four_bits(path, step):
    """In as many bytes as it needs."""
    assert rows(write(path, START, event(step, simple("loss", 1), wall=WALL)))["step"] == [step]


def test_without_steps_x_is_the_row(path):
    """Several points of one tag at one step stand in rows of their own, in their order."""
    table = events.read_events(write(path, START, *(event(0, simple("loss", n)) for n in (3, 1, 2))))
    assert (table.attrs["x"], table["loss"].tolist()) == ("row", [3, 1, 2])


def test_steps_going_back_begin_a_segment(path):
    """No line is drawn back; a tag whose steps go on is not cut."""
    steps = [*range(3), *range(2)]
    data = [event(step, simple("batch", number)) for number, step in enumerate(steps)]
    table = events.read_events(write(path, START, *data, event(0, simple("epoch", 1)), event(1, simple("epoch", 2))))
    assert table.attrs["starts"] == (0, 3)
    assert rows(path) == {"step": [0, 1, 2, 0, 1], "batch": [0, 1, 2, 3, 4], "epoch": [1, 2, None, None, None]}


# -- folders


def test_restart_begins_a_segment(tmp_path):
    """It writes another file, whose steps overlap the earlier one's; nothing is lost."""
    write(tmp_path / "events.out.tfevents.1", run_of([1, 2, 3]))
    write(tmp_path / "events.out.tfevents.2", run_of([3, 4]), event(4, simple("val", 9)))
    table = events.read_events(tmp_path)
    assert table.attrs["starts"] == (0, 3)
    assert rows(tmp_path) == {"step": [1, 2, 3, 3, 4], "loss": [1, 2, 3, 3, 4], "val": [None] * 4 + [9]}


def test_file_that_goes_on_begins_no_segment(tmp_path):
    """A log may be cut into files, and an empty one be among them."""
    write(tmp_path / "events.out.tfevents.1", run_of([1, 2]))
    write(tmp_path / "events.out.tfevents.2", START)
    write(tmp_path / "events.out.tfevents.3", run_of([3, 4]))
    assert events.read_events(tmp_path).attrs["starts"] == (0,)
    assert rows(tmp_path)["loss"] == [1, 2, 3, 4]


def test_sub_directories_stand_beside_each_other(tmp_path):
    """Keras writes to train and validation: their names are before those of the tags."""
    for name in ("train", "validation"):
        write(tmp_path / name / NAME, run_of([1, 2], "epoch_loss"))
    assert rows(tmp_path) == {"step": [1, 2], "train/epoch_loss": [1, 2], "validation/epoch_loss": [1, 2]}


@pytest.mark.parametrize("folder", ["my_loss_train", "my/loss/train"])  # PyTorch, tensorboardX
def test_add_scalars_has_the_names_it_was_given(tmp_path, folder):
    """`add_scalars("my/loss", {"train": ...})` writes the tag my/loss to a sub-directory."""
    write(tmp_path / NAME, run_of([1, 2], "lr"))
    write(tmp_path / folder / NAME, run_of([2, 3], "my/loss"))
    assert rows(tmp_path) == {"step": [1, 2, 3], "lr": [1, 2, None], "my/loss/train": [None, 2, 3]}


def test_directory_of_hyperparameters_is_left_out(tmp_path):
    """`add_hparams` writes one beside the run; those in a run's own file hide nothing of it."""
    settings_of_a_run = event(0, part(1, b"_hparams_/session_start_info") + drawn_by(b"hparams"))
    write(tmp_path / "1700000000.5" / NAME, START, settings_of_a_run, event(0, simple("hparam/accuracy", 1)))
    write(tmp_path / NAME, run_of([1, 2]), settings_of_a_run)
    assert rows(tmp_path) == {"step": [1, 2], "loss": [1, 2]}


def test_recognised_by_name_or_first_record(tmp_path):
    """TFRecord files that hold examples are none, nor is a folder without event files."""
    assert events.recognises_events(write(tmp_path / "run" / "train" / NAME, START))
    assert events.recognises_events(tmp_path / "run")
    assert events.recognises_events(write(tmp_path / "other" / "log.bin", START))
    assert not events.recognises_events(tmp_path / "other")
    assert not events.recognises_events(write(tmp_path / "examples.tfrecord", record(bytes(64))))
    assert not events.recognises_events(write(tmp_path / "log.txt", b"brain.Event:"))


@pytest.mark.parametrize("data", [b"", START[:20], START])
def test_file_without_events_has_no_curve_yet(path, data):
    """The message says what to wait for."""
    with pytest.raises(NoCurve, match=r"^it holds no metric yet; wait for its first rows$"):
        events.read_events(write(path, data))


def test_file_without_scalars_has_no_curve(path):
    """The message says what to do."""
    with pytest.raises(NoCurve, match=r"^its events hold no scalars; log some with add_scalar$"):
        events.read_events(write(path, START, event(1, part(1, b"image") + part(4, b"PNG"))))


def test_missing_file_is_missing(path):
    """It is opened at every call, also when it has been read before."""
    events.read_events(write(path, run_of([1])))
    path.unlink()
    with pytest.raises(FileNotFoundError):
        events.read_events(path)


# -- growth


def test_only_added_bytes_are_decoded(path, decoded):
    """The rest is remembered; nothing is decoded where nothing was added."""
    events.read_events(write(path, run_of(range(100))))
    more = event(100, simple("loss", 100))
    append(path, more)
    assert rows(path)["loss"] == list(range(101))
    events.read_events(path)
    assert decoded == [len(run_of(range(100))), len(more)]


@pytest.mark.parametrize("steps", [[8], [8, 9, 10, 11], [8, 9]])
def test_replaced_file_is_read_anew(path, steps):
    """Whether it is shorter, longer, or of the same size."""
    events.read_events(write(path, run_of([1, 2])))
    write(path, run_of(steps))
    os.utime(path, (1, 1))
    assert rows(path)["loss"] == steps


def test_files_and_folders_are_opened_at_every_call(tmp_path):
    """So an audit hook learns at every drawing what it depends on."""
    file = write(tmp_path / "train" / NAME, run_of([1]))
    opened, watching = [], []
    sys.addaudithook(
        lambda event, values: (
            opened.append((event, str(values[0]))) if watching and event in ("open", "os.scandir") else None
        )
    )
    events.read_events(tmp_path)
    watching.append(True)
    events.read_events(tmp_path)
    watching.clear()
    expected = {("open", str(file)), ("os.scandir", str(tmp_path)), ("os.scandir", str(tmp_path / "train"))}
    assert expected <= set(opened)


def test_table_is_the_callers(path):
    """Changing it changes nothing that is remembered."""
    table = events.read_events(write(path, run_of([1, 2])))
    table.loc[0, ["step", "loss"]] = 100
    table.attrs.clear()
    assert events.read_events(path).attrs["x"] == "step"
    assert rows(path)["loss"] == [1, 2]


PIECES = b"".join([run_of(range(20)), TENSORBOARD, run_of(range(10, 30), "other"), TENSORBOARDX])
FREELY = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@FREELY
@given(st.lists(st.integers(0, len(PIECES)), max_size=6))
def test_growing_in_pieces_gives_what_reading_at_once_gives(path, cuts):
    """Wherever a look at the file falls."""
    events.memory.cache_clear()
    write(path)
    start = 0
    for end in [*sorted(cuts), len(PIECES)]:
        append(path, PIECES[start:end])
        start = end
        outcome(path)
    grown = rows(path)
    events.memory.cache_clear()
    assert rows(path) == grown


@FREELY
@given(st.integers(0, len(PIECES) - 1), st.integers(1, 255), st.integers(0, len(PIECES)))
def test_any_flipped_byte_leaves_a_table(path, place, bits, end):
    """Or no curve, where not much is left; never an error, and no number that was not written."""
    broken = bytearray(PIECES[:end])
    if place < end:
        broken[place] ^= bits
    events.memory.cache_clear()
    read = outcome(write(path, broken)) or {}
    assert set(read) <= {"step", "loss", "other", "epoch_loss"}
    assert all(set(column) <= {None, *range(30), 0.5, 0.25, 300, 301} for column in read.values())


@FREELY
@given(st.binary(max_size=200), st.booleans())
@example(b"", True)
@example(b"\x0a\x0a\x0a\x05\x42\x03\x08\x01\x22", True)
def test_any_bytes_give_a_table_or_no_curve(path, data, framed):
    """As a file, and as an event in a frame that is in order."""
    events.memory.cache_clear()
    outcome(write(path, START, record(data) if framed else data, event(1, simple("loss", 1))))


@FREELY
@given(st.binary(min_size=4, max_size=60))
def test_any_summary_gives_a_table(path, data):
    """Whatever a value or a tensor is made of, the values beside it are read."""
    events.memory.cache_clear()
    values = [event(1, part(8, data)), event(2, part(1, b"x") + part(8, data)), event(3, simple("loss", 1))]
    assert rows(write(path, START, *values))["loss"][-1] == 1


# -- a glance


def test_glance_sees_the_beginning_and_the_end(path, monkeypatch, decoded):
    """Of a large file; it says that there is more, and remembers nothing."""
    monkeypatch.setattr(events, "GLANCED_WHOLE_BYTES", 1000)
    monkeypatch.setattr(events, "GLANCED_BYTES", 300)
    table = events.glance_events(write(path, run_of(range(1000))))
    seen = table["loss"].tolist()
    assert (seen[:4], seen[-4:]) == ([0, 1, 2, 3], [996, 997, 998, 999])
    assert not table.attrs["whole"]
    assert sum(decoded) <= 600
    assert events.memory.cache_info().currsize == 0


def test_glance_at_a_small_file_is_a_reading(path):
    """All of it is there."""
    assert events.glance_events(write(path, TENSORBOARDX)).equals(events.read_events(path))


# -- MLflow


@pytest.fixture
def run(tmp_path):
    """The folder of a run of MLflow, with a name and two metrics."""
    folder = tmp_path / "mlruns" / "0" / "b1946ac9"
    write(folder / "meta.yaml", b"artifact_uri: file:///x\nname: old\nrun_name: 'it''s new'\nstatus: 3\n")
    write(folder / "metrics" / "loss", b"1700000000500 0.5 0\n1700000001500 nan 1\n1700000002500 0.25 2\n")
    write(folder / "metrics" / "val" / "loss", b"1700000001600 -inf 1\n1700000001700 0.7 3\n")
    write(folder / "params" / "lr", b"0.1")
    return folder


def test_run_of_mlflow_is_a_table_of_its_metrics(run):
    """A row a step, wall time in seconds, and the run's name."""
    table = events.read_mlflow(run)
    assert table["step"].tolist() == [0, 1, 2, 3]
    assert table["wall_time"].tolist() == [WALL + 0.5, WALL + 1.5, WALL + 2.5, WALL + 1.7]
    assert table["loss"].dropna().tolist() == [0.5, 0.25]
    assert table["val/loss"].dropna().tolist() == [-math.inf, 0.7]
    assert list(table) == ["step", "wall_time", "loss", "val/loss"]
    assert table.attrs == {
        "x": "step",
        "starts": (0,),
        "nans": {"loss": (1,)},
        "total": None,
        "format": "MLflow",
        "whole": True,
        "name": "it's new",
    }


@pytest.mark.parametrize("below", ["", "metrics", "metrics/val/loss"])
def test_run_of_mlflow_is_recognised_from_any_of_its_folders(run, below):
    """A metric file alone is read, too, by its whole name."""
    assert events.recognises_mlflow(run / below)
    assert "val/loss" in events.read_mlflow(run / below)


def test_what_is_no_metric_is_not_recognised(run, tmp_path):
    """Parameters, an experiment, files with numbers elsewhere."""
    assert not events.recognises_mlflow(run / "params" / "lr")
    assert not events.recognises_mlflow(run.parent)
    assert not events.recognises_mlflow(write(tmp_path / "metrics" / "loss", b"1700000000500 0.5 0\n"))


def test_metric_file_grows_by_lines(run):
    """Half a line waits, and a line of another form is left out."""
    file = run / "metrics" / "loss"
    append(file, b"not a metric\n1700000003500 0.125 3\n1700000004500 0.1")
    assert events.read_mlflow(file)["loss"].tolist()[2:] == [0.25, 0.125]
    append(file, b"25 4\n")
    assert events.read_mlflow(file)["loss"].tolist()[2:] == [0.25, 0.125, 0.125]


def test_old_and_new_lines_of_mlflow_are_read(run):
    """The oldest have seconds and no step, the newest name a data set behind it."""
    file = write(run / "metrics" / "acc", b"1500000000 0.5\n1500000001 0.6\n")
    table = events.read_mlflow(file)
    assert (table.attrs["x"], table["acc"].tolist(), table["wall_time"][0]) == ("row", [0.5, 0.6], 1.5e9)
    write(file, b"1700000000500 0.5 3 cifar 1f2e\n1700000000600 0.6 4 cifar 1f2e\n")
    assert events.read_mlflow(file)["step"].tolist() == [3, 4]


def test_run_without_metrics_has_no_curve_yet(run):
    """Its files may be empty, or hold something else."""
    for file in [run / "metrics" / "loss", run / "metrics" / "val" / "loss"]:
        write(file, b"x\n")
    with pytest.raises(NoCurve, match="yet"):
        events.read_mlflow(run)


@FREELY
@given(st.one_of(st.binary(max_size=60), st.from_regex(rb"[0-9]{1,20} [0-9.naif-]{1,9}( -?[0-9]{1,20})?\n")))
def test_any_metric_file_gives_a_table_or_no_curve(run, data):
    """Never another error."""
    events.memory.cache_clear()
    try:
        events.read_mlflow(write(run / "metrics" / "loss", data))
    except NoCurve:
        pass


# -- against TensorBoard itself


def test_numbers_are_those_of_tensorboard(path):
    """Its EventAccumulator gives the same steps, wall times and numbers."""
    accumulators = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    write(path, run_of([3, 300, 70000]), event(70001, simple("a b", 0.1), simple("loss", math.inf)))
    accumulator = accumulators.EventAccumulator(str(path)).Reload()
    table = events.read_events(path)
    for tag in accumulator.Tags()["scalars"]:
        expected = [(scalar.step, scalar.wall_time, scalar.value) for scalar in accumulator.Scalars(tag)]
        assert table.loc[table[tag].notna(), ["step", "wall_time", tag]].apply(tuple, axis=1).tolist() == expected
