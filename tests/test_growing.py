"""plots/growing.py: a CSV file that grows is read as pandas reads it, but only its new rows are parsed."""

import io
import os
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy
import pandas
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from plots import growing

SHARES = pytest.mark.skipif(growing.COPIED, reason="before pandas 3, a table is copied for its reader")


@pytest.fixture(autouse=True)
def forgotten():
    """Every test begins in a process that has read nothing."""
    growing.log.cache_clear()


@pytest.fixture
def path(tmp_path):
    """Where a log is going to be."""
    return tmp_path / "run.csv"


@pytest.fixture
def parsed(monkeypatch):
    """The texts that pandas was given, in order."""
    texts, read_csv = [], pandas.read_csv

    def recorded(source, **options):
        texts.append(source.getvalue() if isinstance(source, io.BytesIO) else source)
        return read_csv(source, **options)

    monkeypatch.setattr(pandas, "read_csv", recorded)
    return texts


def append(path, text):
    """Add text to a log, as its writer does."""
    with path.open("ab") as file:
        file.write(text.encode())


def outcome(read):
    """What a reader returns, or the type and text of the error that it raises."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", pandas.errors.ParserWarning)  # longer rows than the header, index_col=False
        try:
            return read()
        except Exception as error:
            return type(error), str(error)


def assert_reads_as_pandas(path, **options):
    """`read_csv` agrees with `pandas.read_csv` on the text up to the last newline: in values, types and errors."""
    text = path.read_bytes()
    lines = text[: text.rfind(b"\n") + 1]
    read = outcome(lambda: growing.read_csv(path, **options))
    at_once = {"memory_map": False} | ({} if options.get("engine") == "python" else {"low_memory": False})
    expected = outcome(lambda: pandas.read_csv(io.BytesIO(lines), **options | at_once))
    if isinstance(expected, pandas.DataFrame) and isinstance(read, pandas.DataFrame):
        pandas.testing.assert_frame_equal(read, expected, check_exact=True)
    else:
        assert (type(read), read) == (type(expected), expected)


# -- against pandas

HUGE = st.sampled_from([2**53 + 1, 2**63 - 1, 2**63, 2**63 + 5, 2**64, -(2**63), -(2**63) - 1])
KINDS = {
    "whole": st.integers(-1000, 1000).map(str),
    "huge": st.one_of(HUGE, st.integers(0, 9)).map(str),
    "real": st.one_of(
        st.floats(allow_nan=False).map(repr), st.sampled_from(["0.5", "-0", "1e3", "inf", "-inf", "1e400", "0,25"])
    ),
    "truth": st.sampled_from(["True", "False", "TRUE", "false"]),
    "word": st.text(" abé5.-", max_size=4),
    "gap": st.sampled_from(["", "NaN", "nan", "NULL", "-"]),
    "quoted": st.text('ab5,;\n" ', max_size=4).map(lambda text: '"' + text.replace('"', '""') + '"'),
}
OPTIONS = st.sampled_from(
    [
        {},
        {"skipinitialspace": True, "index_col": False},
        {"sep": ";", "decimal": ","},
        {"header": None},
        {"header": 1},
        {"names": ["a", "b"], "header": 0},
        {"usecols": [0]},
        {"index_col": 0},
        {"na_values": ["-"], "keep_default_na": False},
        {"na_filter": False},
        {"comment": "#"},
        {"skip_blank_lines": False},
        {"quoting": 3},
        {"encoding": "latin-1"},
        {"sep": r"\s+"},
        {"dtype": str},
        {"nrows": 2},
        {"skipfooter": 1, "engine": "python"},
        {"low_memory": True, "memory_map": True},
    ]
)
NAMES = st.sampled_from(["a", "b", " c", "", '"d\ne"', "1", "a"])
STRAY = st.sampled_from(["\n", "\r\n", "# a comment\n", "1,2,3,4,5,6\n", '"\n', "x", '5" wide\n', "\r", "  \n", "1,\n"])


@st.composite
def rows(draw, kinds, separator, newline):
    """Some lines: mostly a cell of its kind for each column, now and then another, or something astray."""
    lines = ""
    for _ in range(draw(st.integers(0, 6))):
        odd = draw(st.sampled_from([None] * 9 + list(KINDS)))
        cells = [draw(KINDS[kind]) for kind in kinds]
        if odd:
            cells[-1] = draw(KINDS[odd])
        lines += separator.join(cells) + newline
    return lines + (draw(STRAY) if draw(st.integers(0, 9)) == 9 else "")


@st.composite
def histories(draw):
    """The options of a reader, and what a file holds each time that it is read."""
    options = draw(OPTIONS)
    separator = {";": ";", r"\s+": " "}.get(options.get("sep"), ",")
    newline = draw(st.sampled_from(["\n", "\n", "\r\n"]))
    kinds = draw(st.lists(st.sampled_from(list(KINDS)), min_size=1, max_size=3))

    def start():
        return draw(st.sampled_from(["", "\ufeff", "\n"])) + separator.join(draw(NAMES) for _ in kinds) + newline

    text = (start() + draw(rows(kinds, separator, newline))).encode()
    states = [text]
    for _ in range(draw(st.integers(1, 6))):
        change = draw(st.sampled_from(["grow", "grow", "grow", "grow", "shrink", "replace", "rewrite", "header"]))
        at = draw(st.integers(0, len(text)))
        if change == "grow":
            added = draw(rows(kinds, separator, newline)).encode()
            cut = draw(st.integers(0, len(added)))
            states.append(text + added[:cut])
            text += added
        elif change == "shrink":
            text = text[:at]
        elif change == "rewrite":
            text = text[:at] + draw(st.sampled_from([b"7", b"x", b"\n", b'"', b","])) + text[at + 1 :]
        elif change == "header":
            text = start().encode() + text.partition(b"\n")[2]
        else:
            text = (start() + draw(rows(kinds, separator, newline))).encode()
        states.append(text)
    return options, states


def move_to(path, text):
    """Bring a file to a text the way that its writer would: by appending to it where that is enough."""
    before = path.read_bytes() if path.exists() else b""
    if text.startswith(before):
        with path.open("ab") as file:
            file.write(text[len(before) :])
    else:
        path.write_bytes(text)


@pytest.mark.parametrize("part_bytes", [growing.PART_BYTES, 16])
@settings(
    max_examples=int(os.environ.get("LOG_EXAMPLES", "30")),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(history=histories())
@example(history=({}, [b"a,b\n1,0.5\n", b"a,b\n1,0.5\n2,True\n"]))
@example(history=({}, [b"a,b\n1,\n", b"a,b\n1,\n2,9223372036854775813\n", b"a,b\n1,\n2,9223372036854775813\n3,0.5\n"]))
def test_whatever_happens_to_a_file_it_is_read_as_pandas_reads_it(tmp_path, monkeypatch, part_bytes, history):
    """Rows of any kind, split at any byte, cut, replaced and rewritten; large files, in parts, too."""
    monkeypatch.setattr(growing, "PART_BYTES", part_bytes)
    monkeypatch.setattr(growing, "LEAST_ROWS", 1)
    monkeypatch.setattr(growing, "PIECE_ROWS", 3)
    growing.log.cache_clear()
    path = tmp_path / "run.csv"
    path.unlink(missing_ok=True)
    options, states = history
    for state in states:
        move_to(path, state)
        assert_reads_as_pandas(path, **options)


# -- what is parsed


def test_only_the_new_rows_are_parsed(path, parsed):
    """After an append, pandas is given the header, the first row and the new rows, however long the file is."""
    append(path, "step,loss\n" + "".join(f"{step},0.5\n" for step in range(1000)))
    growing.read_csv(path)
    parsed.clear()
    append(path, "1000,0.25\n1001,0.125\n")
    table = growing.read_csv(path)
    assert parsed == [b"step,loss\n0,0.5\n0,0.5\n1000,0.25\n1001,0.125\n"]
    assert table["step"].tolist() == list(range(1002))
    assert table["loss"].tolist()[-3:] == [0.5, 0.25, 0.125]


def test_an_unchanged_file_is_not_parsed_again(path, parsed):
    """What is remembered is the answer."""
    append(path, "step,loss\n0,0.5\n")
    first = growing.read_csv(path)
    parsed.clear()
    pandas.testing.assert_frame_equal(growing.read_csv(path), first)
    assert parsed == []


def test_the_file_is_opened_at_every_call(path):
    """So an audit hook learns at every drawing what it depends on."""
    append(path, "step,loss\n0,0.5\n")
    opened, watching = [], True
    sys.addaudithook(lambda event, values: opened.append(values[0]) if watching and event == "open" else None)
    for _ in range(3):
        growing.read_csv(path)
    watching = False
    assert opened.count(str(path)) == 3


def test_a_half_written_line_is_held_back(path):
    """It is read once its newline is there, and then as a whole."""
    append(path, "step,loss\n0,0.5\n1,0.2")
    assert growing.read_csv(path)["loss"].tolist() == [0.5]
    append(path, "5")
    assert growing.read_csv(path)["loss"].tolist() == [0.5]
    append(path, "\n")
    assert growing.read_csv(path)["loss"].tolist() == [0.5, 0.25]


def test_a_large_file_is_parsed_in_parts(path, parsed, monkeypatch):
    """Ten million rows in one piece would take memory many times their size."""
    monkeypatch.setattr(growing, "PART_BYTES", 256)
    append(path, "step,loss\n" + "".join(f"{step},0.5\n" for step in range(1000)))
    assert growing.read_csv(path)["step"].tolist() == list(range(1000))
    assert max(map(len, parsed)) < 300


def test_memory_is_bounded(path, parsed):
    """A file that was read long ago is parsed anew."""
    for number in range(growing.REMEMBERED_FILES + 1):
        append(path.with_name(f"{number}.csv"), "step\n1\n")
        growing.read_csv(path.with_name(f"{number}.csv"))
    parsed.clear()
    growing.read_csv(path.with_name("0.csv"))
    assert b"step\n1\n" in parsed


def test_equal_options_share_what_is_remembered(path, parsed):
    """Their order does not matter; other options are another table."""
    append(path, "step,loss\n0,0.5\n")
    growing.read_csv(path, header=0, index_col=False)
    parsed.clear()
    growing.read_csv(path, index_col=False, header=0)
    assert parsed == []
    assert growing.read_csv(path, header=None)[0].tolist() == ["step", "0"]


@SHARES
def test_the_buffers_are_declared_append_only(path, monkeypatch):
    """A table's numbers lie in buffers that were declared so: thinning remembers what it found in them."""
    declared = []
    monkeypatch.setattr(growing, "only_grows", declared.append)
    append(path, "step,loss\n0,0.5\n")
    table = growing.read_csv(path)
    assert all(any(table[name].to_numpy().base is buffer for buffer in declared) for name in table)
    append(path, "1,0.25\n")
    growing.read_csv(path)
    assert len(declared) == 2  # there was room


# -- when a file is parsed anew


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("step,loss\n1,0.5\n", id="shrank"),
        pytest.param("epoch,loss\n1,0.5\n2,0.25\n", id="another header"),
        pytest.param("step,loss\n1,0.5\n2,0.35\n3,0.125\n", id="rewritten and grown"),
        pytest.param("step,loss\n1,0.5\n2,0.35\n", id="rewritten"),
        pytest.param("step,loss,f-score\n1,0.5,0.1\n2,0.25,0.2\n", id="another column"),
        pytest.param("step,loss\n", id="only the header is left"),
    ],
)
def test_a_file_that_did_not_only_grow_is_read_anew(path, text):
    """Whatever was written over, the table is that of the file as it is."""
    append(path, "step,loss\n1,0.5\n2,0.25\n")
    assert_reads_as_pandas(path)
    path.write_text(text)
    assert_reads_as_pandas(path)


def test_a_file_that_was_replaced_is_read_anew(path, parsed):
    """Another file of that name is another file, though it begins as the former did."""
    append(path, "step,loss\n1,0.5\n")
    growing.read_csv(path)
    other = path.with_name("other.csv")
    append(other, "step,loss\n1,0.5\n2,0.25\n")
    os.replace(other, path)
    parsed.clear()
    assert growing.read_csv(path)["step"].tolist() == [1, 2]
    assert path.read_bytes() in parsed


def test_a_large_file_that_was_rewritten_in_place_is_read_anew(path, monkeypatch):
    """Its size has stayed while its time has changed: that is no append."""
    monkeypatch.setattr(growing, "TAIL_BYTES", 4)
    append(path, "step,loss\n1,0.5\n2,0.5\n3,0.5\n")
    os.utime(path, (1, 1))
    growing.read_csv(path)
    path.write_text("step,loss\n1,0.5\n2,0.7\n3,0.5\n")
    os.utime(path, (2, 2))
    assert_reads_as_pandas(path)


@pytest.mark.parametrize(
    ("before", "added"),
    [
        pytest.param("1\n2\n", "0.5\n", id="int to float"),
        pytest.param("1\n2\n", "high\n", id="int to text"),
        pytest.param("1\n2\n", '""\n', id="int with a gap"),
        pytest.param("1\n2\n", "9223372036854775808\n", id="int to unsigned"),
        pytest.param("0.5\n", "high\n", id="float to text"),
        pytest.param("0.5\n", "True\n", id="float to mixed"),
        pytest.param("0.5\n", "7\n", id="float, a whole number"),
        pytest.param("0.5\n", '""\n', id="float with a gap"),
        pytest.param("True\n", "1\n", id="bool to text"),
        pytest.param("True\n", '""\n', id="bool with a gap"),
        pytest.param("high\n", "7\n", id="text, a number"),
        pytest.param("high\n", '""\n9223372036854775808\n', id="text, a gap and a huge number"),
        pytest.param('""\n9223372036854775808\n', "0.5\n", id="text of digits to float"),
        pytest.param("9007199254740993\n", "0.5\n", id="int beyond what a float holds"),
    ],
)
def test_a_column_has_the_type_that_all_its_rows_give_it(path, before, added):
    """A type that the new rows change is changed, and one that they alone would not have is kept."""
    append(path, "value\n" + before)
    assert_reads_as_pandas(path)
    append(path, added)
    assert_reads_as_pandas(path)
    append(path, before)
    assert_reads_as_pandas(path)


def test_a_cell_may_hold_newlines(path):
    """Half a quoted cell is pandas' error, as it would be at once; the rest of it makes it whole."""
    append(path, 'step,note\n0,"two\nlines"\n')
    assert_reads_as_pandas(path)
    append(path, '1,"three\n')
    with pytest.raises(pandas.errors.ParserError, match="EOF inside string starting at row 2"):
        growing.read_csv(path)
    append(path, 'more\nlines"\n')
    assert growing.read_csv(path)["note"].tolist() == ["two\nlines", "three\nmore\nlines"]


def test_an_error_tells_the_line_of_the_file(path):
    """Though only the new rows were parsed at first."""
    append(path, "step,loss\n" + "1,0.5\n" * 100)
    growing.read_csv(path)
    append(path, "1,0.5,0.25\n")
    with pytest.raises(pandas.errors.ParserError, match="Expected 2 fields in line 102, saw 3"):
        growing.read_csv(path)


# -- a drop-in


CHANGES = {
    "a column": lambda table: table.__setitem__("loss", 0.0),
    "a cell": lambda table: table.loc.__setitem__((0, "loss"), 9.0),
    "a cell by position": lambda table: table.iloc.__setitem__((0, 1), 9.0),
    "all cells": lambda table: table.__iadd__(1),
    "a column in place": lambda table: table["loss"].__imul__(2),
    "order": lambda table: table.sort_values("loss", inplace=True),
    "a column less": lambda table: table.drop(columns="loss", inplace=True),
    "names": lambda table: setattr(table, "columns", ["a", "b"]),
    "index": lambda table: table.set_index("step", inplace=True),
    "gaps": lambda table: table.fillna(0, inplace=True),
}


@pytest.mark.filterwarnings("ignore")  # pandas means to drop inplace
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("rows_since", [0, 1, 5000])
def test_a_table_is_its_readers_own(path, change, rows_since):
    """Whatever is done to it, at once or after the file has grown, the next reader sees the file's rows."""
    append(path, "step,loss\n0,0.5\n1,\n2,0.25\n")
    growing.read_csv(path)
    table, other = growing.read_csv(path), growing.read_csv(path)
    before = other.copy()
    append(path, "3,0.125\n" * rows_since)
    growing.read_csv(path)
    change(table)
    pandas.testing.assert_frame_equal(other, before)
    assert_reads_as_pandas(path)


@SHARES
def test_a_table_shares_the_memory_of_those_before(path):
    """An append copies the new rows, not those that were there."""
    append(path, "step,loss\n0,0.5\n")
    before = growing.read_csv(path)
    append(path, "1,0.25\n")
    after = growing.read_csv(path)
    assert numpy.shares_memory(before["loss"].to_numpy(), after["loss"].to_numpy())


def test_threads_may_read_at_once(path):
    """Every one of them gets all rows."""
    append(path, "step,loss\n" + "".join(f"{step},0.5\n" for step in range(100)))
    with ThreadPoolExecutor(4) as pool:
        for step in range(100, 120):
            append(path, f"{step},0.5\n")
            tables = pool.map(lambda _: growing.read_csv(path), range(4))
            assert all(table["step"].tolist() == list(range(step + 1)) for table in tables)


@pytest.mark.parametrize("text", ["", "step,lo", "\n \n", "step,loss\n"])
def test_a_file_without_rows_is_what_it_is_to_pandas(path, text):
    """Nothing to parse is an error of its own; a header alone is an empty table."""
    append(path, text)
    assert_reads_as_pandas(path)
    append(path, "\n1,0.5\n")
    assert_reads_as_pandas(path)


def test_a_missing_file_is_named(path):
    """The error is Python's own."""
    with pytest.raises(FileNotFoundError, match=r"run\.csv"):
        growing.read_csv(path)


def test_a_relative_path_and_home_are_understood(path, monkeypatch):
    """As pandas understands them."""
    append(path, "step\n1\n")
    monkeypatch.chdir(path.parent)
    monkeypatch.setenv("HOME", str(path.parent))
    monkeypatch.setenv("USERPROFILE", str(path.parent))
    for name in ["run.csv", "~/run.csv", str(path), path]:
        assert growing.read_csv(name)["step"].tolist() == [1]


@pytest.mark.parametrize(
    "source", ["https://example.org/run.csv", "s3://runs/run.csv", "runs/run.csv.GZ", io.StringIO()]
)
def test_what_is_no_local_file_of_lines_is_left_to_pandas(monkeypatch, source):
    """URLs, compressed files and file-like objects are handed on as they are."""
    monkeypatch.setattr(pandas, "read_csv", lambda *values, **options: (values, options))
    assert growing.read_csv(source, sep=";") == ((source,), {"sep": ";"})


def test_a_compressed_file_is_read(path):
    """Its suffix says how."""
    table = pandas.DataFrame({"step": [1, 2]})
    table.to_csv(path.with_suffix(".csv.gz"), index=False)
    pandas.testing.assert_frame_equal(growing.read_csv(path.with_suffix(".csv.gz")), table)


def test_another_encoding_is_read(path):
    """A newline of UTF-16 is two bytes, so its lines are left to pandas."""
    path.write_bytes("step,note\n1,é\n".encode("utf-16"))
    assert growing.read_csv(path, encoding="utf-16")["note"].tolist() == ["é"]


@pytest.mark.parametrize(
    "options",
    [
        {"nrows": 1},
        {"dtype": {"loss": str}},
        {"parse_dates": ["step"], "date_format": "%d"},
        {"converters": {"loss": str.strip}},
        {"skiprows": [1]},
        {"usecols": lambda name: name == "loss"},
        {"skipfooter": 1, "engine": "python"},
        {"index_col": "step"},
    ],
    ids=lambda options: next(iter(options)),
)
def test_options_that_need_all_rows_get_all_rows(path, options):
    """The complete lines are then parsed at every call."""
    append(path, "step,loss\n1,0.5\n2,0.25\n3,0.1")
    assert_reads_as_pandas(path, **options)
    append(path, "25\n4,0.5\n5,0.7\n")
    assert_reads_as_pandas(path, **options)


def test_rows_are_read_in_pieces_where_that_is_asked_for(path):
    """chunksize gives an iterator over the complete lines."""
    append(path, "step\n1\n2\n3\n4")
    assert [table["step"].tolist() for table in growing.read_csv(path, chunksize=2)] == [[1, 2], [3]]
