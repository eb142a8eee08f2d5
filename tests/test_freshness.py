"""Freshness: what a drawing depends on, and whether it is still good. No process, no picture is drawn."""

import errno
import os
import shutil
import sys
import time
import types
from pathlib import Path

import pytest

import plotsrv
from plotsrv import SLOW_SECONDS, Drawing, DrawingCache, Input, InputRecorder, Kept, Refused, Rhythms

KEY = ("training/loss", (), "png", (None, None, None))
GOOD = Drawing(b"a picture")
BAD = Drawing(status=500, error="ValueError: no data")
MINUTE_NS = 60 * 10**9
HOUR = 3600  # seconds


def other(number):
    return (f"training/plot_{number}", *KEY[1:])


def aged(path):
    """A file or folder as if it had been changed a minute ago: its time is past all doubt."""
    os.utime(path, ns=(time.time_ns() - MINUTE_NS,) * 2)
    return path


def drawing_of(*paths, **values):
    """A drawing that has read these files."""
    inputs = tuple(Input.of(str(path)) for path in paths)
    return Drawing(b"a picture", inputs=inputs, volatile=False, **values)


@pytest.fixture
def clock(monkeypatch):
    """Moves plotsrv's clock forward: `clock(seconds)`; a file is young for a minute, however slow the machine is."""
    moved = []
    monkeypatch.setattr(plotsrv, "TICK_SECONDS", 60)
    monkeypatch.setattr(plotsrv, "time", types.SimpleNamespace(**vars(time)))
    monkeypatch.setattr(plotsrv.time, "time_ns", lambda: time.time_ns() + int(sum(moved) * 1e9))
    monkeypatch.setattr(plotsrv.time, "time", lambda: time.time() + sum(moved))
    return moved.append


@pytest.fixture
def log(tmp_path):
    """A log that was written a minute ago."""
    path = tmp_path / "log.csv"
    path.write_text("loss\n0.9\n")
    return aged(path)


# -- stamps: what tells that a file has changed


def append(path):
    with path.open("a") as file:
        file.write("0.8\n")


def rewrite(path):
    """As many bytes as before, others."""
    path.write_bytes(bytes(reversed(path.read_bytes())))


def replace(path):
    """As it is done by those who never want half a file to be seen; the new one is as long and as old."""
    new = path.with_name("new")
    shutil.copy2(path, new)
    rewrite(new)
    shutil.copystat(path, new)
    os.replace(new, path)


def truncate(path):
    os.truncate(path, 0)


def turn_into_a_folder(path):
    path.unlink()
    path.mkdir()


CHANGES = {
    "appended to": append,
    "rewritten with as many bytes": rewrite,
    "replaced by one as long and as old": replace,
    "truncated": truncate,
    "deleted": Path.unlink,
    "turned into a folder": turn_into_a_folder,
}


@pytest.mark.parametrize("age", ["old", "young"])
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_changed_file_is_not_as_it_was(log, clock, change, age):
    """Whatever was done to it, and however soon after it had been written."""
    if age == "young":
        log.write_text("loss\n0.7\n")
    else:
        clock(HOUR)
    read = Input.of(str(log))
    assert read.is_unchanged() and bool(read.digest) is (age == "young")
    change(log)
    assert not read.is_unchanged()


def test_a_file_that_is_read_is_as_it_was(log):
    """Reading changes nothing."""
    read = Input.of(str(log))
    log.read_text()
    assert read.is_unchanged()


def test_a_link_that_is_moved_to_another_file_is_changed(log, tmp_path):
    """What counts is the file that is read, not its name: latest.csv is moved from run to run."""
    second, link = tmp_path / "second.csv", tmp_path / "latest.csv"
    shutil.copy2(log, second)
    link.symlink_to(log)
    read = Input.of(str(link))
    link.unlink()
    assert not read.is_unchanged()
    link.symlink_to(second)
    assert not read.is_unchanged()


def test_a_file_behind_a_link_is_followed(log, tmp_path):
    """A change of the file is one of what the link shows."""
    link = tmp_path / "latest.csv"
    link.symlink_to(log)
    read = Input.of(str(link))
    append(log)
    assert not read.is_unchanged()


def test_a_file_that_was_missing_is_changed_when_it_comes(tmp_path):
    """What the plot looked for in vain is an input, too."""
    path = tmp_path / "later.csv"
    read = Input.of(str(path))
    assert read.stamp is None and read.is_unchanged()
    path.touch()
    assert not read.is_unchanged()


@pytest.mark.parametrize("age", ["old", "young"])
@pytest.mark.parametrize("change", [lambda path: path.touch(), Path.mkdir], ids=["file", "folder"])
def test_a_folder_is_changed_by_what_is_added_to_it(tmp_path, clock, change, age):
    """A new run appears: whoever listed the folder sees it."""
    runs = tmp_path / "runs"
    runs.mkdir()
    if age == "old":
        aged(runs)
        clock(HOUR)
    read = Input.of(str(runs))
    assert read.is_unchanged()
    change(runs / "2")
    assert not read.is_unchanged()


def test_a_file_is_young_for_a_few_ticks_and_then_trusted(log, clock):
    """File systems count time in steps: in the one it was written in, a second change would leave the same stamp."""
    log.write_text("loss\n0.7\n")
    young = Input.of(str(log))
    assert young.digest and young.settled() is young
    clock(HOUR)
    settled = young.settled()
    assert settled.digest == "" and settled == plotsrv.replace(young, digest="")
    assert settled.is_unchanged() and Input.of(str(log)).digest == ""


def test_a_young_file_is_told_by_its_content_where_its_stamp_is_the_same(log, clock):
    """A change within one tick is seen, though neither size nor time tell of it."""
    log.write_text("loss\n0.7\n")
    read = Input.of(str(log))
    rewrite(log)
    assert not plotsrv.replace(read, stamp=plotsrv.stamp_of(read.path)).is_unchanged()


@pytest.mark.parametrize(
    ("now", "is_unchanged"), [("Loss\n0.7\n", False), ("loss\n0.8\n", False), ("loss!0.7\n", True)]
)
def test_a_large_young_file_is_looked_at_at_its_beginning_and_its_end(log, monkeypatch, now, is_unchanged):
    """To look through all of it would take too long; what grows, or is written anew, differs there."""
    monkeypatch.setattr(plotsrv, "DIGEST_BYTES", 4)
    log.write_text("loss\n0.7\n")
    before = Input.of(str(log))
    log.write_text(now)
    assert (plotsrv.digest_of(str(log)) == before.digest) == is_unchanged


def test_a_file_whose_times_were_set_back_is_young_all_the_same(log, clock):
    """cp -p and rsync -t give a new file an old time; that it was changed just now, its status tells."""
    rewrite(log)
    assert Input.of(str(aged(log))).digest


def test_a_file_whose_time_lies_in_the_future_may_be_fresh(log, clock):
    """Where clocks differ by hours, a file is not drawn anew for hours."""
    os.utime(log, ns=(time.time_ns() + 600 * MINUTE_NS,) * 2)
    clock(HOUR)
    read = Input.of(str(log))
    assert read.is_unchanged() and read.settled().is_unchanged()
    append(log)
    assert not read.is_unchanged()


def test_an_input_that_was_replaced_while_it_was_read_is_never_fresh(log):
    """Which of the two files the plot has read, nobody knows."""
    read = Input.of(str(log))
    assert read.unless_replaced() is read
    kept = log.with_name("kept")
    os.link(log, kept)
    replace(log)
    doubtful = read.unless_replaced()
    os.replace(kept, log)
    assert not doubtful.is_unchanged()


@pytest.mark.parametrize("name", ["no/such/file", "\0", "x" * 5000, "log.csv/below"])
def test_what_cannot_be_looked_at_is_not_there(log, name):
    """No path that a plot tries is an error."""
    read = Input.of(str(log.parent / name))
    assert read.stamp is None and read.is_unchanged()


# -- the cache: the last drawing of each kind


def test_an_empty_cache_has_nothing():
    """Nothing kept, nothing found."""
    cache = DrawingCache()
    assert cache.good(KEY) is None
    assert cache.fresh(KEY, 1) is None


def test_a_drawing_is_fresh_while_its_inputs_are_as_they_were(log):
    """Same files, same picture; a changed one means drawing anew."""
    cache, drawing = DrawingCache(), drawing_of(log)
    cache.keep(KEY, 1, drawing)
    assert cache.fresh(KEY, 1) is cache.fresh(KEY, 1) is drawing
    append(log)
    assert cache.fresh(KEY, 1) is None
    assert cache.good(KEY) is drawing


def test_one_changed_input_of_many_is_enough(tmp_path):
    """All the files count that a plot has read."""
    paths = [aged(tmp_path / str(number)) for number in range(10) if not (tmp_path / str(number)).touch()]
    cache = DrawingCache()
    cache.keep(KEY, 1, drawing_of(*paths))
    assert cache.fresh(KEY, 1)
    append(paths[7])
    assert cache.fresh(KEY, 1) is None


def test_a_volatile_drawing_is_never_fresh(log):
    """Its inputs do not tell when it must be drawn anew."""
    cache = DrawingCache()
    cache.keep(KEY, 1, plotsrv.replace(drawing_of(log), volatile=True))
    assert cache.fresh(KEY, 1) is None


def test_a_drawing_of_older_code_is_not_fresh(log):
    """An edited plot is drawn at once; until then the old picture is better than none."""
    cache, drawing = DrawingCache(), drawing_of(log)
    cache.keep(KEY, 1, drawing)
    assert cache.fresh(KEY, 2) is None
    assert cache.good(KEY) is drawing


def test_a_failed_drawing_is_fresh_too(tmp_path):
    """A plot that fails is not called again before something changes: a broken file is mended, a missing one comes."""
    cache, path = DrawingCache(), tmp_path / "later.csv"
    drawing = drawing_of(path, status=404, error="Waiting for later.csv")
    cache.keep(KEY, 1, drawing)
    assert cache.fresh(KEY, 1) is drawing
    path.touch()
    assert cache.fresh(KEY, 1) is None


def test_young_inputs_settle_when_they_are_looked_at_later(log, clock):
    """From then on a look at their stamps is enough."""
    log.write_text("loss\n0.7\n")
    kept = Kept(drawing_of(log), None, 1, list(drawing_of(log).inputs))
    assert kept.is_fresh() and kept.inputs[0].digest
    clock(HOUR)
    assert kept.is_fresh() and not kept.inputs[0].digest
    assert kept.is_fresh()


def test_a_young_input_that_has_changed_does_not_settle(log, clock):
    """What was overwritten within a tick is seen whenever somebody looks."""
    log.write_text("loss\n0.7\n")
    read = Input.of(str(log))
    rewrite(log)
    read = plotsrv.replace(read, stamp=plotsrv.stamp_of(read.path))
    clock(HOUR)
    assert not Kept(GOOD, None, 1, [read]).is_fresh()


def test_a_young_input_does_not_change_the_drawing_itself(log, clock):
    """Watchers know a drawing by its identity."""
    log.write_text("loss\n0.7\n")
    cache, drawing = DrawingCache(), drawing_of(log)
    cache.keep(KEY, 1, drawing)
    clock(HOUR)
    assert cache.fresh(KEY, 1) is drawing and drawing.inputs[0].digest


def test_the_last_good_picture_is_kept():
    """A newer picture takes the older one's place."""
    cache = DrawingCache()
    newer = Drawing(b"a newer picture")
    cache.keep(KEY, 1, GOOD)
    cache.keep(KEY, 1, newer)
    assert cache.good(KEY) is newer


@pytest.mark.parametrize("version", [1, 2])
def test_the_last_good_picture_survives_errors(version):
    """After failed drawings, of this code or of edited code, the picture before them is still there."""
    cache = DrawingCache()
    cache.keep(KEY, 1, GOOD)
    for _ in range(3):
        cache.keep(KEY, version, plotsrv.replace(BAD))
    assert cache.good(KEY) is GOOD


@pytest.mark.parametrize("status", [400, 403, 404, 500, 503, 504])
def test_a_failed_drawing_is_no_good_picture(status):
    """Whatever the failure, it is not shown as a picture."""
    cache = DrawingCache()
    cache.keep(KEY, 1, Drawing(status=status, error="no"))
    assert cache.good(KEY) is None


def test_pictures_of_other_arguments_are_others():
    """Each plot, arguments, format and size has its own."""
    cache = DrawingCache()
    cache.keep(KEY, 1, GOOD)
    assert cache.good((KEY[0], (("x", ("1",)),), *KEY[2:])) is None
    assert cache.good((*KEY[:2], "svg", KEY[3])) is None


# -- its bound


def test_the_cache_is_bound_by_bytes():
    """However many pictures are looked at, the cache holds no more than its limit."""
    cache = DrawingCache(limit=10_000)
    for number in range(100):
        cache.keep(other(number), 1, Drawing(bytes(1000)))
        assert cache.good(other(number))
    kept = [number for number in range(100) if cache.good(other(number))]
    assert 1 <= len(kept) <= 10
    assert kept[-1] == 99


def test_the_least_recently_used_is_forgotten_first():
    """A picture that is still looked at stays while others go."""
    cache = DrawingCache(limit=10_000)
    for number in range(20):
        cache.keep(other(number), 1, Drawing(bytes(1000)))
        assert cache.good(other(0))
    assert not cache.good(other(1))


def test_pictures_that_nobody_asks_for_again_push_out_none_that_somebody_looks_at():
    """A program that fetches a thousand pictures once leaves the others where they are."""
    cache = DrawingCache(limit=10_000)
    cache.keep(KEY, 1, GOOD)
    assert cache.good(KEY)
    for number in range(1000):
        cache.keep(other(number), 1, Drawing(bytes(1000)))
    assert cache.good(KEY) is GOOD


def test_pictures_asked_for_once_are_bound_more_tightly():
    """A small share of the memory is for what may never be asked for again."""
    cache = DrawingCache()
    for number in range(200):
        cache.keep(other(number), 1, Drawing(bytes(100_000)))
    assert cache.once.size <= plotsrv.ONCE_BYTES
    assert cache.again.size == 0


def test_a_picture_larger_than_the_limit_is_kept():
    """It is what the next page shows while a new one is drawn."""
    cache = DrawingCache(limit=10)
    cache.keep(KEY, 1, Drawing(bytes(1000)))
    assert cache.good(KEY) and cache.good(KEY)


def test_failed_drawings_are_bound_by_bytes_too():
    """What failed plots printed does not fill the memory."""
    cache = DrawingCache(limit=100_000)
    for number in range(200):
        failed = Drawing(status=500, error="no", output="x" * 10_000, traceback="y" * 1000)
        cache.keep(other(number), 1, failed)
    assert len([number for number in range(200) if cache.find(other(number))]) < 10


@pytest.mark.parametrize("looked_at", [True, False])
def test_a_replaced_picture_does_not_count(looked_at):
    """The same plot drawn a thousand times pushes no other out, and leaves nothing behind."""
    cache = DrawingCache(limit=20_000)
    cache.keep(other(1), 1, GOOD)
    for _ in range(1000):
        cache.keep(KEY, 1, Drawing(bytes(1000)))
        if looked_at:
            assert cache.good(KEY)
    assert cache.good(other(1)) is GOOD and cache.good(KEY)
    assert cache.once.size + cache.again.size == sum(cache.find(key).size for key in (KEY, other(1)))


def test_keeping_a_drawing_twice_counts_it_once(log):
    """Several wait for one drawing, and each of them keeps it: what has settled since stays so."""
    cache, drawing = DrawingCache(), drawing_of(log)
    cache.keep(KEY, 1, drawing)
    kept, size = cache.find(KEY), cache.once.size + cache.again.size
    cache.keep(KEY, 1, drawing)
    assert cache.find(KEY) is kept and cache.once.size + cache.again.size == size


# -- slow drawings


def slow(seconds, ago=0.0, **values):
    """A drawing that took so many seconds, and was done a while ago."""
    return Drawing(b"a picture", seconds=seconds, drawn_at=time.time() - ago, **values)


def test_a_slow_drawing_answers_for_as_long_as_it_took():
    """Whoever waits on a progress page sees what came of it, volatile or not."""
    cache = DrawingCache()
    drawing = slow(SLOW_SECONDS + 5, ago=SLOW_SECONDS)
    cache.keep(KEY, 1, drawing)
    assert cache.fresh(KEY, 1, on_page=True) is drawing


def test_a_slow_drawing_answers_no_longer_than_it_took():
    """After that it is drawn anew."""
    cache = DrawingCache()
    cache.keep(KEY, 1, slow(SLOW_SECONDS + 5, ago=SLOW_SECONDS + 6))
    assert cache.fresh(KEY, 1, on_page=True) is None


def test_a_quick_volatile_drawing_is_drawn_anew_each_time():
    """Only what took long answers again."""
    cache = DrawingCache()
    cache.keep(KEY, 1, slow(SLOW_SECONDS / 2))
    assert cache.fresh(KEY, 1, on_page=True) is None


def test_a_slow_failure_is_told_too():
    """A plot that failed after a long time is not started over and over."""
    cache = DrawingCache()
    drawing = slow(30, status=504, error="took too long")
    cache.keep(KEY, 1, drawing)
    assert cache.fresh(KEY, 1, on_page=True) is drawing


def test_a_slow_drawing_answers_on_pages_alone():
    """A picture asked for by itself, and a live one, wait for what is true now."""
    cache = DrawingCache()
    cache.keep(KEY, 1, slow(30))
    assert cache.fresh(KEY, 1) is None


def test_a_slow_drawing_of_older_code_does_not_answer():
    """An edited plot is drawn at once."""
    cache = DrawingCache()
    cache.keep(KEY, 1, slow(30))
    assert cache.fresh(KEY, 2, on_page=True) is None
    assert cache.good(KEY)


# -- rhythms: how often an input used to change


def changed_at(path, *seconds):
    """An input as it stood after each of its changes."""
    mode = 0o40755 if path.endswith("/") else 0o100644
    return [Input(path, plotsrv.Stamp(int(each * 1e9), 10, 0, 1, 1, mode)) for each in seconds]


def rhythms_of(*changes):
    rhythms = Rhythms()
    for each in changes:
        rhythms.see([each])
    return rhythms


EVERY_5_SECONDS = (0, 5, 10, 15, 20, 25)


def test_an_input_that_used_to_change_and_no_longer_does_is_silent():
    """How long it has been, and how long it usually took."""
    rhythms = rhythms_of(*changed_at("log.csv", *EVERY_5_SECONDS))
    last = changed_at("log.csv", 25)
    assert rhythms.silence(last, now=25 + 720) == (720, 5)


@pytest.mark.parametrize(("times", "now"), [(EVERY_5_SECONDS, 74), ((0, 0.1, 0.2, 0.3), 5.2), ((0, 5, 10), 1000)])
def test_a_silence_is_told_only_where_it_is_unusual(times, now):
    """Less than ten times the usual, a few seconds, or an input that has hardly ever changed: nothing is told."""
    rhythms = rhythms_of(*changed_at("log.csv", *times))
    assert rhythms.silence(changed_at("log.csv", times[-1]), now) is None


def test_one_long_pause_is_not_what_is_usual():
    """A run was stopped for the night and went on: its rhythm is still the same."""
    rhythms = rhythms_of(*changed_at("log.csv", 0, 5, 10, 40_000, 40_005, 40_010))
    assert rhythms.silence(changed_at("log.csv", 40_010), 40_100) == (90, 5)


def test_of_several_inputs_the_one_that_changed_last_counts():
    """Finished runs beside one that goes on are no stall."""
    rhythms = rhythms_of(*changed_at("done.csv", *EVERY_5_SECONDS), *changed_at("log.csv", 900, 905, 910, 915))
    inputs = [*changed_at("done.csv", 25), *changed_at("log.csv", 915)]
    assert rhythms.silence(inputs, 920) is None
    assert rhythms.silence(inputs, 1915) == (1000, 5)


def test_a_drawing_that_sees_no_change_adds_none():
    """What is drawn ten times for other reasons has changed once."""
    rhythms = rhythms_of(*changed_at("log.csv", 0, 0, 0, 0, 0, 0, 0))
    assert rhythms.silence(changed_at("log.csv", 0), 1000) is None


def test_folders_and_files_that_are_missing_have_no_rhythm():
    """Runs are not started like clockwork."""
    rhythms = rhythms_of(*changed_at("runs/", *EVERY_5_SECONDS), *[Input("later.csv")] * 6)
    assert rhythms.silence([*changed_at("runs/", 25), Input("later.csv")], 1000) is None


def test_only_so_many_inputs_are_known_by_their_rhythm(monkeypatch):
    """The memory does not grow with every file that was ever read; those read last are known."""
    monkeypatch.setattr(plotsrv, "INPUTS_KEPT", 3)
    rhythms = Rhythms()
    for number in range(10):
        for each in changed_at(str(number), *EVERY_5_SECONDS):
            rhythms.see([each])
    assert [bool(rhythms.silence([Input(str(number))], 1000)) for number in range(10)] == [False] * 7 + [True] * 3


# -- the recorder: which audit events count. What readers raise is seen in test_readers.py.


def plot_nothing():
    """The plot of these tests."""


@pytest.fixture
def recorder(tmp_path):
    """A recorder that is told events by hand; the data folder is the test's."""
    recorder = InputRecorder()
    recorder.begin(plot_nothing, folders=[str(tmp_path)])
    return recorder


def names(recorder):
    return [os.path.basename(each.path) for each in recorder.seen()]


READING = {
    "open": lambda path: ("open", (path, "r", 0)),
    "open in binary": lambda path: ("open", (path, "rb", 0)),
    "os.open": lambda path: ("open", (path, None, os.O_RDONLY)),
    "open of a Path": lambda path: ("open", (Path(path), "r", 0)),
    "open of bytes": lambda path: ("open", (os.fsencode(path), "r", 0)),
    "os.listdir": lambda path: ("os.listdir", (path,)),
    "os.scandir": lambda path: ("os.scandir", (path,)),
}


@pytest.mark.parametrize("event", READING.values(), ids=READING)
def test_what_is_opened_or_listed_is_an_input(recorder, log, event):
    """With its stamp, by its absolute path, once however often it is read."""
    for _ in range(3):
        recorder.hook(*event(str(log)))
    [read], volatile = recorder.seen_by(plot_nothing)
    assert (read.path, read.stamp, volatile) == (str(log), plotsrv.stamp_of(str(log)), False)


def test_a_relative_path_is_made_absolute_where_it_was_opened(recorder, log, tmp_path, monkeypatch):
    """A plot that changes the working folder afterwards changes nothing of what it has read."""
    monkeypatch.chdir(tmp_path)
    recorder.hook("open", ("log.csv", "r", 0))
    recorder.hook("os.listdir", (None,))
    monkeypatch.chdir("/")
    assert [each.path for each in recorder.seen()] == [str(log), str(tmp_path)]


def test_an_input_is_as_it_stood_before_it_was_read(recorder, log):
    """A change while the plot is drawn means that it must be drawn once more."""
    recorder.hook("open", (str(log), "r", 0))
    append(log)
    recorder.hook("open", (str(log), "r", 0))
    [read] = recorder.seen()
    assert not read.is_unchanged()


GLOBS = {
    "glob": ("glob.glob/2", ("{}/runs/*/log.csv", False, None, None)),
    "glob below a folder": ("glob.glob/2", ("runs/*/log.csv", False, "{}", None)),
    "glob in all folders below": ("glob.glob/2", ("{}/runs/**/log.csv", True, None, None)),
    "Path.glob": ("pathlib.Path.glob", (Path("{}"), "runs/*/log.csv")),
    "Path.rglob": ("pathlib.Path.rglob", (Path("{}"), "*/log.csv")),
}


@pytest.mark.parametrize("event", GLOBS.values(), ids=GLOBS)
def test_a_pattern_counts_with_the_folders_where_its_file_may_still_come(recorder, tmp_path, event):
    """The folder of a new run is there first, its log a moment later; other files are not read, and do not count."""
    (tmp_path / "runs" / "new").mkdir(parents=True)
    (tmp_path / "runs" / "new" / "model.bin").touch()
    name, arguments = event
    placed = [type(each)(str(each).format(tmp_path)) if isinstance(each, (str, Path)) else each for each in arguments]
    recorder.hook(name, tuple(placed))
    assert "new" in names(recorder) and "model.bin" not in names(recorder)


@pytest.mark.parametrize("descriptor", [3, -1])
def test_descriptors_are_no_paths(recorder, descriptor):
    """What they stand for was counted when it was opened."""
    recorder.hook("open", (descriptor, "r", 0))
    recorder.hook("os.listdir", (descriptor,))
    assert names(recorder) == []


WRITING = {
    "open w": ("open", "w", 0),
    "open x": ("open", "xb", 0),
    "open a": ("open", "a", 0),
    "os.open": ("open", None, os.O_WRONLY | os.O_CREAT),
    "os.remove": ("os.remove", -1),
    "os.mkdir": ("os.mkdir", 0o777, -1),
}


@pytest.mark.parametrize("event", WRITING.values(), ids=WRITING)
def test_what_the_plot_itself_writes_is_no_input(recorder, log, event):
    """A cache of its own would else make every drawing stale; reading it afterwards changes nothing."""
    name, *rest = event
    recorder.hook(name, (str(log), *rest))
    recorder.hook("open", (str(log), "r", 0))
    assert names(recorder) == []


def test_a_file_renamed_by_the_plot_is_no_input(recorder, log):
    """Written under another name first, as is good custom."""
    for path in (log.with_name("new"), log):
        recorder.hook("os.rename", (str(log.with_name("new")), str(path), -1, -1))
        recorder.hook("open", (str(path), "r", 0))
    assert names(recorder) == []


def test_a_file_opened_for_update_is_an_input(recorder, log, tmp_path):
    """numpy.memmap opens with "r+" unless told otherwise, and only reads: a change of the file must be seen."""
    recorder.hook("open", (str(aged(log)), "r+b", 0))
    inputs, volatile = recorder.seen_by(plot_nothing)
    assert volatile or [each.path for each in inputs] == [str(log)]
    recorder.hook("open", (str(tmp_path / "other"), "r", 0))
    assert recorder.seen_by(plot_nothing)[1] or "log.csv" in names(recorder)


def test_a_plot_may_write_into_the_folder_it_lists(recorder, tmp_path):
    """Its own file does not make the picture stale; the next new run does."""
    recorder.hook("os.scandir", (str(tmp_path),))
    recorder.hook("open", (str(tmp_path / "cache"), "w", 0))
    (tmp_path / "cache").touch()
    [folder] = recorder.seen()
    assert folder.path == str(tmp_path) and folder.is_unchanged()
    (tmp_path / "run").mkdir()
    assert not folder.is_unchanged()


def test_a_run_that_comes_while_the_plot_writes_into_the_folder_it_lists_is_not_lost(recorder, tmp_path):
    """The plot has not seen it: it must be drawn once more."""
    recorder.hook("os.scandir", (str(tmp_path),))
    (tmp_path / "run").mkdir()
    recorder.hook("open", (str(tmp_path / "cache"), "w", 0))
    (tmp_path / "cache").touch()
    [folder] = recorder.seen()
    assert not folder.is_unchanged()


@pytest.mark.parametrize("event", ["os.symlink", "os.link"])
def test_links_that_the_plot_makes_are_its_own_too(recorder, log, tmp_path, event):
    """A plot that renews a link in the folder it lists is not drawn over and over."""
    recorder.hook("os.listdir", (str(tmp_path),))
    recorder.hook(event, (str(log), str(tmp_path / "latest"), -1))
    (tmp_path / "latest").symlink_to(log)
    assert all(each.is_unchanged() for each in recorder.seen())


def test_a_nameless_temporary_file_leaves_its_folder_an_input(recorder, tmp_path):
    """tempfile.TemporaryFile opens the folder itself for writing, and no name ever stands in it."""
    temporary = getattr(os, "O_TMPFILE", None)
    if temporary is None:
        pytest.skip("there are no nameless files on this platform")
    recorder.hook("os.listdir", (str(tmp_path),))
    recorder.hook("open", (str(tmp_path), None, temporary | os.O_RDWR))
    assert names(recorder) == [tmp_path.name]


def test_a_name_removed_in_another_folder_is_no_file_of_this_one(recorder, log, tmp_path, monkeypatch):
    """shutil.rmtree removes by names alone, relative to an open folder: an input of that name stays one."""
    monkeypatch.chdir(tmp_path)
    recorder.hook("open", ("log.csv", "r", 0))
    recorder.hook("os.remove", ("log.csv", 5))
    recorder.hook("os.rmdir", ("log.csv", 5))
    assert names(recorder) == ["log.csv"]


def test_a_temporary_folder_of_the_plots_is_no_input(recorder, tmp_path):
    """Made, filled, listed and removed while it was drawn: nothing of it is told."""
    folder = str(tmp_path / "temporary")
    recorder.hook("os.mkdir", (folder, 0o700, -1))
    recorder.hook("open", (folder + "/x.csv", "w", 0))
    recorder.hook("os.scandir", (folder,))
    recorder.hook("os.rmdir", (folder, -1))
    assert names(recorder) == []


PYTHONS = {
    "the standard library": os.__file__,
    "an installed package": pytest.__file__,
    "another environment's package": "/home/me/env/lib/python3.11/site-packages/torch/_C.so",
    "bytecode": "/home/me/plots/__pycache__/mine.cpython-311.pyc",
    "a font": "/home/me/.fonts/Mine.ttf",
    "plotsrv": plotsrv.__file__,
    "the code of a plot": __file__,
    "zones of time": "/usr/share/zoneinfo/Europe/Berlin",
    "types of files": "/etc/mime.types",
    "the empty device": os.devnull,
    "a number": 3.5,
}


@pytest.mark.parametrize("path", PYTHONS.values(), ids=PYTHONS)
def test_what_is_no_data_is_no_input(recorder, path):
    """What Python, matplotlib and packages read for themselves tells nothing of the data."""
    recorder.hook("open", (path, "r", 0))
    assert (recorder.seen(), recorder.volatile) == ((), False)


def test_matplotlibs_settings_and_caches_are_no_inputs(recorder):
    """They change with its own use."""
    matplotlib = pytest.importorskip("matplotlib")
    for folder in (matplotlib.get_configdir(), matplotlib.get_cachedir()):
        recorder.hook("open", (os.path.join(folder, "fontlist.json"), "r", 0))
    assert recorder.seen() == ()


def test_data_in_memory_is_data(recorder):
    """/dev/shm is a folder like any other."""
    recorder.hook("open", ("/dev/shm/plotsrv-test/log.csv", "r", 0))
    assert names(recorder) == ["log.csv"]


@pytest.mark.parametrize("path", ["/proc/self/stat", "/proc/meminfo", "/sys/class/thermal"])
def test_what_the_kernel_tells_is_volatile(recorder, log, path):
    """It is new each time, and its times tell nothing."""
    recorder.hook("open", (str(log), "r", 0))
    recorder.hook("open", (path, "r", 0))
    assert recorder.seen_by(plot_nothing)[1] and names(recorder) == ["log.csv"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes with names on this platform")
def test_a_pipe_is_volatile(recorder, tmp_path, monkeypatch):
    """What comes out of it, its stamp does not tell; and to look into it would wait for ever."""
    os.mkfifo(tmp_path / "pipe")
    monkeypatch.setattr(Path, "read_bytes", lambda path: pytest.fail("it was looked into"))
    recorder.hook("open", (str(tmp_path / "pipe"), "r", 0))
    assert recorder.seen_by(plot_nothing)[1]


UNFORESEEABLE = {
    "socket.connect": (None, ("example.org", 80)),
    "socket.getaddrinfo": ("example.org", 80, 0, 0, 0),
    "socket.sendto": (None, ("example.org", 80)),
    "subprocess.Popen": ("nvidia-smi", ["nvidia-smi"], None, None),
    "os.system": (b"date",),
    "os.posix_spawn": ("date", ["date"], {}),
    "os.fork": (),
}


@pytest.mark.parametrize(("event", "arguments"), UNFORESEEABLE.items(), ids=UNFORESEEABLE)
def test_a_network_or_another_process_makes_a_drawing_volatile(recorder, log, event, arguments):
    """Whatever files were read as well."""
    recorder.hook("open", (str(log), "r", 0))
    assert not recorder.seen_by(plot_nothing)[1]
    recorder.hook(event, arguments)
    assert recorder.seen_by(plot_nothing)[1]


def test_a_plot_that_reads_nothing_is_volatile(recorder):
    """Nothing tells when it would be another picture."""
    assert recorder.seen_by(plot_nothing) == ((), True)


@pytest.mark.parametrize("declared", [True, False])
def test_a_plot_may_say_itself_whether_it_is_volatile(recorder, declared):
    """`plot_x.volatile` is believed, against all that was seen."""

    def plot_x():
        """A plot."""

    plot_x.volatile = declared
    recorder.hook("os.fork", ())
    assert recorder.seen_by(plot_x) == ((), declared)


def test_with_too_many_inputs_a_drawing_is_volatile(recorder, tmp_path, monkeypatch):
    """To look at each of them at every refresh would take longer than to draw."""
    monkeypatch.setattr(plotsrv, "INPUTS_KEPT", 3)
    for number in range(4):
        assert not recorder.volatile
        recorder.hook("open", (str(tmp_path / str(number)), "r", 0))
    assert recorder.volatile


@pytest.mark.parametrize(
    ("database", "expected"),
    [
        ("{}/runs.db", ["runs.db", "runs.db-wal"]),
        (b"runs.db", ["runs.db", "runs.db-wal"]),
        (Path("runs.db"), ["runs.db", "runs.db-wal"]),
        ("file:{}/my%20runs.db?mode=ro", ["my runs.db", "my runs.db-wal"]),
        (":memory:", []),
        ("", []),
    ],
    ids=str,
)
def test_a_database_counts_with_its_write_ahead_log(recorder, tmp_path, monkeypatch, database, expected):
    """What was written last stands there; a database in memory is nobody's input."""
    monkeypatch.chdir(tmp_path)
    named = database.format(tmp_path) if isinstance(database, str) else database
    recorder.hook("sqlite3.connect", (named,))
    assert names(recorder) == expected


def test_each_drawing_begins_with_nothing_read(recorder, log):
    """What one plot has read is not the next one's input."""
    recorder.hook("open", (str(log), "r", 0))
    recorder.hook("os.fork", ())
    recorder.hook("open", (str(log.parent / "mine"), "w", 0))
    recorder.begin(plot_nothing)
    assert (recorder.seen(), recorder.written, recorder.volatile) == ((), set(), False)


def test_paths_given_as_arguments_are_inputs(recorder, log):
    """However the plot reads them, and where they are not there yet."""
    later = str(log.parent / "later.csv")
    recorder.begin(plot_nothing, [str(log), later])
    assert [(each.path, bool(each.stamp)) for each in recorder.seen()] == [(str(log), True), (later, False)]


def declaring(*patterns):
    """A plot that says what it depends on."""

    def plot_x():
        """A plot."""

    plot_x.inputs = patterns[0] if len(patterns) == 1 else patterns
    return plot_x


def test_a_plot_may_say_what_it_reads(recorder, log, tmp_path):
    """By patterns, with folders below."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "deep.h5").touch()
    recorder.begin(declaring(f"{tmp_path}/*.csv", f"{tmp_path}/**/*.h5"))
    assert {"log.csv", "deep.h5"} <= set(names(recorder))


def test_a_single_pattern_need_not_stand_in_a_list(recorder, log, tmp_path):
    """A text is one pattern, not as many as it has letters."""
    recorder.begin(declaring(f"{tmp_path}/*.csv"))
    assert "log.csv" in names(recorder)


def test_a_declared_file_that_is_not_there_yet_is_awaited(recorder, tmp_path):
    """It counts as missing until it comes."""
    recorder.begin(declaring(f"{tmp_path}/later.h5"))
    assert recorder.seen() == (Input(f"{tmp_path}/later.h5"),)


def test_a_file_that_vanishes_before_it_is_opened_is_missing(recorder, log):
    """A rotated log may be gone for a moment: it is awaited, like one that has never been there."""
    recorder.hook("open", (str(log), "r", 0))
    log.unlink()
    with pytest.raises(FileNotFoundError) as gone:
        log.read_text()
    assert recorder.missing(gone.value) == str(log)


def test_declared_inputs_may_be_paths(recorder, log):
    """pathlib's are as good as texts."""
    recorder.begin(declaring(log, log.with_name("later.csv")))
    assert names(recorder) == ["log.csv", "later.csv"]


# -- readers that open files unseen


@pytest.fixture
def module(monkeypatch, tmp_path):
    """Makes a loaded module of a text: `module(name, text)`."""

    def loaded(name, text, file=""):
        path = tmp_path / (file or f"{name}.py")
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        found = types.ModuleType(name)
        found.__file__ = str(path)
        found.__package__ = name if path.name == "__init__.py" else name.rpartition(".")[0]
        monkeypatch.setitem(sys.modules, name, found)
        return name

    plotsrv.imports_of.cache_clear()
    plotsrv.users_modules_among.cache_clear()
    yield loaded
    plotsrv.imports_of.cache_clear()
    plotsrv.users_modules_among.cache_clear()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("import polars", True),
        ("import pyarrow.parquet as pq", True),
        ("from h5py import File", True),
        ("def plot_x():\n    import duckdb", True),
        ("import pandas, numpy", False),
        ("import h5pyd, polarsish", False),
        ("text = 'import polars'", False),
        ("", False),
    ],
    ids=str,
)
def test_a_module_that_imports_an_unseen_reader_is_told_by_its_source(module, text, expected):
    """At its top, or within a function."""
    assert plotsrv.reads_unseen(module("plots_9.mine", text)) is expected


@pytest.mark.parametrize("text", ["import {}", "from {} import table", "from .{} import table", "from . import {}"])
def test_an_unseen_reader_behind_another_module_of_the_users_counts(module, text):
    """The reading is often in a file of its own."""
    module("reading", "import polars")
    module("plots_9.reading", "import polars")
    assert plotsrv.reads_unseen(module("plots_9.mine", text.format("reading")))


def test_an_unseen_reader_behind_a_sub_package_counts(module):
    """The package's __init__.py hands on what one of its modules reads."""
    module("plots_9.sub.reading", "import polars", file="sub/reading.py")
    module("plots_9.sub", "from .reading import table", file="sub/__init__.py")
    assert plotsrv.reads_unseen(module("plots_9.mine", "from .sub import table"))


def test_modules_that_import_each_other_are_looked_at_once(module):
    """A circle ends."""
    module("second", "import first")
    assert not plotsrv.reads_unseen(module("first", "import second"))


def test_unseen_readers_of_installed_packages_are_theirs(module):
    """pandas can read Parquet; that alone makes no plot volatile."""
    pytest.importorskip("pandas")
    assert not plotsrv.reads_unseen(module("plots_9.mine", "import pandas, matplotlib.pyplot"))


@pytest.mark.parametrize("text", ["def broken(:", "\0", None])
def test_a_source_that_can_no_longer_be_read_tells_nothing(module, tmp_path, text):
    """Edited, or removed, since it was imported: the drawing goes on."""
    name = module("plots_9.mine", text or "")
    if text is None:
        (tmp_path / "plots_9.mine.py").unlink()
    assert plotsrv.reads_unseen(name) is False


def test_a_plot_with_declared_inputs_is_not_volatile_for_its_reader(recorder, log, module):
    """That is what they are declared for."""
    plot = declaring(str(log))
    plot.__module__ = module("plots_9.mine", "import polars")
    recorder.begin(plot)
    assert recorder.seen_by(plot)[1] is False
    del plot.inputs
    assert recorder.seen_by(plot)[1] is True


@pytest.fixture
def telling(monkeypatch, recorder):
    """A reader that opens its file unseen, made telling; it returns its arguments."""
    monkeypatch.setattr(plotsrv, "RECORDER", recorder)
    return plotsrv.telling(lambda path, columns=None: (path, columns))


def test_a_telling_reader_reads_as_before(telling, recorder, log):
    """By position or by name; its file is an input."""
    assert telling(str(log), ["x"]) == (str(log), ["x"])
    assert telling(path=log) == (log, None)
    assert names(recorder) == ["log.csv"]


def test_a_telling_reader_of_a_folder_counts_all_that_is_in_it(telling, recorder, log, tmp_path):
    """A data set in many files."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "part").touch()
    telling(tmp_path)
    assert {tmp_path.name, "log.csv", "part"} <= set(names(recorder))


def test_a_telling_reader_of_an_address_is_volatile(telling, recorder):
    """What lies elsewhere cannot be looked at."""
    telling("s3://bucket/x.parquet")
    assert recorder.volatile


def test_a_telling_reader_of_what_is_no_path_tells_nothing(telling, recorder):
    """A buffer was opened by somebody else."""
    telling(b"PAR1")
    assert (recorder.seen(), recorder.volatile) == ((), False)


def test_a_telling_reader_finds_the_home_folder(telling, recorder, log, monkeypatch):
    """pandas reads ~/x.parquet in the home folder, so that is where it is looked at."""
    monkeypatch.setenv("HOME", str(log.parent))
    telling("~/log.csv")
    assert [each.path for each in recorder.seen()] == [str(log)]


# -- the code


def test_modules_with_odd_files_are_no_obstacle(monkeypatch):
    """Lazy modules raise what they like, and stand-ins have what they like as their file."""

    class Lazy:
        def __getattr__(self, name):
            raise ImportError("not now")

    monkeypatch.setitem(sys.modules, "lazy", Lazy())
    monkeypatch.setitem(sys.modules, "odd", types.SimpleNamespace(__file__=Path("/odd.py")))
    plotsrv.users_modules_among.cache_clear()
    assert __file__ in plotsrv.users_modules()


def test_the_users_modules_are_those_of_plots_and_what_they_import():
    """Neither Python's, nor installed packages', nor plotsrv itself."""
    files = plotsrv.users_modules()
    assert __file__ in files
    assert not {os.__file__, pytest.__file__, plotsrv.__file__} & set(files)


# -- the second wall


@pytest.fixture
def walled(tmp_path):
    """A recorder for a plot that the browser has sent a text to: `walled("../x")`; the data folder is `data`."""
    (tmp_path / "data" / ".git").mkdir(parents=True)
    (tmp_path / "data" / "log.csv").touch()
    (tmp_path / "secret").touch()
    (tmp_path / "data" / "link").symlink_to(tmp_path / "secret")

    def begun(*sent):
        recorder = InputRecorder()
        recorder.begin(plot_nothing, sent=sent, folders=[str(tmp_path / "data")])
        return recorder

    return begun


OUTSIDE = {
    "../secret": "data/../secret",
    "sub/../../secret": "data/sub/../../secret",
    "..": "data/../secret",
    "data/link": "data/link",
    ".git/config": "data/.git/config",
    "d/no/such/file": "d/no/such/file",
}


@pytest.mark.parametrize("event", ["read", "written", "listed", "removed", "renamed", "connected"])
@pytest.mark.parametrize(("sent", "path"), OUTSIDE.items(), ids=OUTSIDE)
def test_a_path_made_of_what_the_browser_sent_stays_in_the_data_folders(walled, tmp_path, sent, path, event):
    """Whatever the plot would do there, and whether or not anything is there."""
    named = f"{tmp_path}/{path}"
    name, arguments = {
        "read": ("open", (named, "r", 0)),
        "written": ("open", (named, "w", 0)),
        "listed": ("os.listdir", (named,)),
        "removed": ("os.remove", (named, -1)),
        "renamed": ("os.rename", (str(tmp_path / "data" / "log.csv"), named, -1, -1)),
        "connected": ("sqlite3.connect", (named,)),
    }[event]
    with pytest.raises(Refused, match="leads out of the data folders") as refusal:
        walled(sent).hook(name, arguments)
    assert refusal.value.errno == errno.EACCES and "Start plotsrv with the folder" in str(refusal.value)


def test_system_folders_are_outside_too(walled):
    """That a plot may read them by itself does not open them to the browser."""
    for path in ("/etc/ssl/private", "/usr/share/ssl/private", "/proc/ssl/private", "/dev/ssl/private"):
        with pytest.raises(Refused):
            walled("ssl/private").hook("open", (path, "r", 0))


@pytest.mark.parametrize(("sent", "path"), [("../data/log.csv", "data/../data/log.csv"), ("data/sub/x", "data/sub/x")])
def test_a_path_made_of_what_the_browser_sent_is_read_within_the_data_folders(walled, tmp_path, sent, path):
    """Where it leads in the end is what counts; it need not be there yet."""
    recorder = walled(sent)
    recorder.hook("open", (f"{tmp_path}/{path}", "r", 0))
    assert len(recorder.seen()) == 1


def test_what_the_plot_reads_by_itself_is_not_refused(walled, tmp_path):
    """Its code is trusted: it may read what it likes, wherever the browser's text does not lead it."""
    recorder = walled("sub/x")
    recorder.hook("open", (f"{tmp_path}/secret", "r", 0))
    assert names(recorder) == ["secret"]


@pytest.mark.parametrize("sent", ["packages/", "python3.11/", "/", "matplotlib/"])
def test_pythons_and_matplotlibs_own_files_are_never_refused(walled, sent):
    """A text that happens to stand in their paths does no harm."""
    matplotlib = pytest.importorskip("matplotlib")
    for path in (os.__file__, pytest.__file__, os.path.join(matplotlib.get_cachedir(), "fontlist.json")):
        walled(sent).hook("open", (path, "r", 0))


HOSTS = {
    "by name": ("socket.getaddrinfo", ("evil.example", 80, 0, 0, 0)),
    "by address": ("socket.connect", (None, ("evil.example", 80))),
    "by datagram": ("socket.sendto", (None, ("evil.example", 80))),
    "in small letters": ("socket.getaddrinfo", ("evil.example", 80, 0, 0, 0)),
}


@pytest.mark.parametrize(
    ("way", "sent"), [(way, "//evil.example:80/x") for way in HOSTS] + [("by name", "a@evil.example/")]
)
def test_a_host_that_the_browser_sent_is_not_reached(walled, way, sent):
    """Neither looked up nor connected to."""
    sent = sent.upper() if way == "in small letters" else sent
    with pytest.raises(Refused, match="An address that the browser sent is not reached"):
        walled(sent).hook(*HOSTS[way])


def test_other_hosts_are_reached(walled):
    """The plot's own: it is trusted, and volatile."""
    recorder = walled("runs/evil.example.csv")
    recorder.hook(*HOSTS["by name"])
    assert recorder.volatile
