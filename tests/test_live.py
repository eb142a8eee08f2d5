"""Live: one drawing, many viewers; watchers by a clock of their own, streams step by step."""

import itertools
import threading

import pytest
from site_of_fakes import eventually, hasten

import plotsrv
from plotsrv import Drawing, Live, LiveSource, Watcher

PART = b"--frame\r\nContent-Type: image/png\r\n\r\n"
LOSS, OTHER = ("training/loss", ()), ("training/other", ())
ME, YOU = ("127.0.0.1", "Firefox"), ("127.0.0.1", "Chromium")
START = 1_000.0


def picture(number=1, **values):
    return Drawing(f"picture {number}".encode(), **values)


def source_of(look, good=None):
    """A live picture on which errors leave no trace."""
    return LiveSource(look, lambda good, failed: good, good)


def failure(error="ValueError: no data", **values):
    return Drawing(status=500, error=error, **values)


# -- the watcher: a file that changes, and a plot that reads it


class Clock:
    """Stands for the module time: who sleeps gets there at once."""

    def __init__(self):
        self.now = START

    def monotonic(self):
        return self.now

    perf_counter = monotonic

    def sleep(self, seconds):
        self.now += seconds


class Scene(Watcher):
    """A watcher of a file that changes at certain seconds, and its plot, which takes a while to draw it."""

    def __init__(self, clock, *changes, takes=0.0, looking=0.0, lasts=10.0, drawings=None, volatile=False):
        super().__init__(LiveSource(self.draw, self.written_on))
        self.clock = clock
        self.changes = changes
        self.takes = takes  # seconds that a drawing takes
        self.looking = looking  # and those that it takes to find the file unchanged
        self.ends = START + lasts  # when the last viewer leaves
        self.drawings = drawings or {}  # by number of changes, where it is not simply a picture
        self.volatile = volatile
        self.starts = []  # of drawings
        self.looks = 0  # at the file
        self.frames = []  # when, and which

    @property
    def is_wanted(self):
        return self.clock.now < self.ends

    @property
    def seconds(self):
        return round(self.clock.now - START, 3)

    def version(self):
        return sum(change <= self.clock.now - START for change in self.changes)

    def draw(self):
        self.starts.append(self.seconds)
        version = self.version()
        self.clock.now += self.takes
        drawing = self.drawings.get(version) or picture(version)
        drawing = plotsrv.replace(drawing, seconds=self.takes, volatile=self.volatile)
        return drawing, lambda: self.looked_at(version)

    def looked_at(self, version):
        self.looks += 1
        self.clock.now += self.looking
        return version == self.version()

    def written_on(self, good, failed):
        return plotsrv.replace(good, image=good.image + b": " + failed.error.encode())

    def publish(self, drawing):
        before = self.number
        super().publish(drawing)
        if self.number > before:
            self.frames.append((self.seconds, self.frame.image.decode()))


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(plotsrv, "time", clock)
    return clock


def watched(clock, *changes, **values):
    """A scene that has been watched to its end."""
    scene = Scene(clock, *changes, **values)
    scene.watch()
    return scene


def test_the_picture_is_there_from_the_start(clock):
    """The first drawing is the first frame."""
    scene = watched(clock)
    assert (scene.frames, scene.starts) == ([(0, "picture 0")], [0])


def test_nothing_is_drawn_while_nothing_changes(clock):
    """For as long as that may be."""
    assert watched(clock, lasts=600.0).starts == [0]


def test_a_change_is_drawn_at_once(clock):
    """Within the time between two looks at the file."""
    scene = watched(clock, 1.001, 5.001)
    assert [text for _, text in scene.frames] == ["picture 0", "picture 1", "picture 2"]
    assert scene.starts[1:] == pytest.approx([1.001, 5.001], abs=plotsrv.POLL_SECONDS + 0.001)


def test_changes_during_a_drawing_cause_one_more(clock):
    """Which begins as soon as the first is done, and shows the last of them."""
    scene = watched(clock, 1.1, 1.2, 1.3, 1.4, takes=0.5)
    assert scene.starts == pytest.approx([0, 1.1, 1.6], abs=0.04)
    assert [text for _, text in scene.frames] == ["picture 0", "picture 1", "picture 4"]


def test_drawings_start_a_tenth_of_a_second_apart(clock):
    """However often the file changes; and no more than that is lost."""
    scene = watched(clock, *(number / 100 for number in range(1000)))
    pauses = [later - earlier for earlier, later in itertools.pairwise(scene.starts)]
    assert min(pauses) == pytest.approx(plotsrv.APART_SECONDS, abs=0.002)
    assert max(pauses) < plotsrv.APART_SECONDS + 2 * plotsrv.POLL_SECONDS


def test_an_equal_picture_is_no_frame(clock):
    """The file was touched, or what was added is not shown."""
    scene = watched(clock, 1, 2, 3, drawings={1: picture(0), 2: picture(0)})
    assert [text for _, text in scene.frames] == ["picture 0", "picture 3"]
    assert len(scene.starts) == 4 and scene.number == 2


def test_looking_takes_no_more_than_a_twentieth_of_the_time(clock):
    """A plot of ten thousand files is looked at less often."""
    scene = watched(clock, looking=0.1, lasts=100.0)
    assert scene.looks <= 50


@pytest.mark.parametrize(("takes", "apart"), [(0.0, 1.0), (0.25, 1.0), (2.0, 4.0)])
def test_a_volatile_plot_is_drawn_every_second(clock, takes, apart):
    """Or half of the time, where that is less often."""
    scene = watched(clock, takes=takes, volatile=True, lasts=20.0)
    pauses = [later - earlier for earlier, later in itertools.pairwise(scene.starts)]
    assert len(pauses) > 3 and pauses == pytest.approx([apart] * len(pauses), abs=0.01)


@pytest.mark.parametrize("volatile", [False, True])
def test_an_error_that_lasts_is_written_on_the_last_good_picture(clock, volatile):
    """After a second; when the error is over, so is the remark."""
    scene = watched(clock, 1, 5, drawings={1: failure()}, volatile=volatile)
    assert [text for _, text in scene.frames] == ["picture 0", "picture 0: ValueError: no data", "picture 2"]
    assert scene.frames[1][0] == pytest.approx(1 + plotsrv.REMARK_SECONDS, abs=0.1)


def test_a_short_error_is_not_shown(clock):
    """A line that is half written is whole a moment later."""
    scene = watched(clock, 1, 1.5, drawings={1: failure()})
    assert [text for _, text in scene.frames] == ["picture 0", "picture 2"]


def test_errors_that_come_and_go_are_not_shown(clock):
    """Every second look falls on a line that is half written: each is over before long."""
    changes = [number / 2 for number in range(1, 19)]
    scene = watched(clock, *changes, drawings={number: failure() for number in range(1, 19, 2)})
    assert [text for _, text in scene.frames] == [f"picture {number}" for number in range(0, 19, 2)]


def test_the_same_picture_after_an_error_is_a_frame(clock):
    """It takes the place of the one with the remark."""
    scene = watched(clock, 1, 5, drawings={1: failure(), 2: picture(0)})
    assert [text for _, text in scene.frames] == ["picture 0", "picture 0: ValueError: no data", "picture 0"]


def test_an_error_that_lasts_is_shown_though_the_file_goes_on_changing(clock):
    """The code was edited and is broken, while the training writes on, several times a second."""
    changes = [1 + number / 3 for number in range(24)]
    scene = watched(clock, *changes, drawings={number: failure() for number in range(1, 25)})
    assert [text for _, text in scene.frames] == ["picture 0", "picture 0: ValueError: no data"]
    assert scene.frames[1][0] == pytest.approx(1 + plotsrv.REMARK_SECONDS, abs=0.5)


def test_another_error_is_another_remark(clock):
    """What is wrong now is what is shown."""
    scene = watched(clock, 1, 5, drawings={1: failure("KeyError: 'a'"), 2: failure("KeyError: 'b'")})
    assert [text for _, text in scene.frames] == ["picture 0", "picture 0: KeyError: 'a'", "picture 0: KeyError: 'b'"]


def test_an_error_before_any_good_picture_shows_nothing(clock):
    """There is no picture that it could be written on; the first good one is the first frame."""
    scene = watched(clock, 5, drawings={0: failure()})
    assert [text for _, text in scene.frames] == ["picture 1"]


def test_an_awaited_file_is_looked_for_all_the_time(clock):
    """It is drawn as soon as it is there."""
    scene = watched(clock, 5.001, drawings={0: Drawing(status=404, error="Waiting for a.csv")})
    assert scene.starts == pytest.approx([0, 5.001], abs=plotsrv.POLL_SECONDS + 0.001)


def test_a_watcher_goes_on_for_a_while_without_viewers(clock):
    """The page is being reloaded, perhaps; when nobody comes, the watcher ends."""
    watcher = Watcher(source_of(lambda: (picture(volatile=False), lambda: True)))
    watcher.left_at = START
    watcher.watch()
    assert clock.now - START == pytest.approx(plotsrv.LINGER_SECONDS, abs=0.1)


def test_a_watcher_with_a_viewer_is_wanted(clock):
    """However long ago another one has left."""
    watcher = Watcher(source_of(None))
    assert not watcher.is_wanted
    watcher.viewers = 1
    assert watcher.is_wanted


# -- the stream, step by step


@pytest.fixture
def live(monkeypatch):
    """Streams without watchers' threads: the test publishes the frames."""
    hasten(monkeypatch)
    live = Live(4)
    for name in (LOSS, OTHER, *map(numbered, range(9))):
        live.watchers[name] = Watcher(source_of(None))
    return live


def numbered(number):
    return "training/loss", (("n", (str(number),)),)


def opened(live, name=LOSS, viewer=ME):
    """A stream that has begun: its viewer waits for the first frame."""
    frames = live.frames(name, viewer, source_of(None))
    assert next(frames) == b""
    return frames


def open_streams(live, viewer=ME):
    return [stream.name for stream in live.streams if stream.viewer == viewer and not stream.ended]


def test_a_frame_is_followed_at_once_by_the_header_of_the_next(live):
    """A browser shows a part only when it has got the header of the one after it."""
    frames = opened(live)
    live.watchers[LOSS].publish(picture(1))
    assert next(frames) == PART + b"picture 1\r\n" + PART
    live.watchers[LOSS].publish(picture(2))
    assert next(frames) == b"picture 2\r\n" + PART


def test_a_stream_is_made_of_parts(live):
    """Put together, the chunks are what multipart/x-mixed-replace is."""
    frames = opened(live)
    chunks = []
    for number in range(5):
        live.watchers[LOSS].publish(picture(number))
        chunks += [next(frames), next(frames)]
    nothing, *parts, begun = b"".join(chunks).split(PART)
    assert nothing == begun == b""
    assert parts == [f"picture {number}\r\n".encode() for number in range(5)]


def test_while_nothing_is_new_chunks_are_empty(live):
    """Before the first frame, and after each."""
    frames = opened(live)
    live.watchers[LOSS].publish(picture())
    next(frames)
    assert [next(frames) for _ in range(3)] == [b"", b"", b""]


def test_an_equal_frame_is_not_sent_again(live):
    """Only a picture whose bytes differ is a frame."""
    frames = opened(live)
    live.watchers[LOSS].publish(picture())
    next(frames)
    live.watchers[LOSS].publish(picture(seconds=5.0))
    assert next(frames) == b""


def test_a_new_viewer_gets_the_frame_of_now(live):
    """At once, as those before have it."""
    live.watchers[LOSS].publish(picture(1))
    live.watchers[LOSS].publish(picture(2))
    frames = live.frames(LOSS, ME, source_of(None))
    assert next(frames) == PART + b"picture 2\r\n" + PART


def test_a_slow_viewer_gets_the_last_frame_only(live):
    """What it has missed is no longer of interest."""
    frames = opened(live)
    for number in range(100):
        live.watchers[LOSS].publish(picture(number))
    assert b"picture 99" in next(frames)
    assert next(frames) == b""


def test_a_silent_stream_repeats_its_last_frame(live, monkeypatch):
    """Proxies cut what is silent; before there is a frame, there is none to repeat."""
    monkeypatch.setattr(plotsrv, "REPEAT_SECONDS", 0)
    frames = opened(live)
    assert next(frames) == b""
    live.watchers[LOSS].publish(picture())
    assert next(frames) == PART + b"picture 1\r\n" + PART
    assert [next(frames) for _ in range(2)] == [b"picture 1\r\n" + PART] * 2


def test_a_stream_repeats_itself_after_20_s_only(live, clock):
    """The time since it sent something is what counts."""
    frames = opened(live)
    live.watchers[LOSS].publish(picture())
    sizes = []
    for seconds in (0, 0, 19, 2, 0, 19, 2):
        clock.sleep(seconds)
        sizes.append(len(next(frames)) > 0)
    assert sizes == [True, False, False, True, False, False, True]


def test_a_part_tells_the_type_of_its_picture(live):
    """A plot may return JPEG bytes."""
    frames = opened(live)
    live.watchers[LOSS].publish(picture(content_type="image/jpeg"))
    assert next(frames).count(b"Content-Type: image/jpeg\r\n") == 2


def test_all_viewers_of_a_plot_get_its_frames(live):
    """And none of another plot's."""
    frames = [opened(live, viewer=(f"10.0.0.{number}", "")) for number in range(10)]
    other = opened(live, OTHER)
    live.watchers[LOSS].publish(picture())
    assert {next(each) for each in frames} == {PART + b"picture 1\r\n" + PART}
    assert next(other) == b""


def test_a_viewer_who_leaves_is_forgotten(live):
    """The door closes the stream; the others are still there."""
    frames, others = opened(live), opened(live, viewer=YOU)
    frames.close()
    assert not open_streams(live, ME) and open_streams(live, YOU) == [LOSS]
    assert live.watchers[LOSS].viewers == 1
    others.close()
    assert not live.streams and live.watchers[LOSS].viewers == 0


def test_a_stream_that_nobody_took_a_chunk_of_costs_nothing(live):
    """It begins with the first one."""
    live.frames(LOSS, ME, source_of(None)).close()
    assert not live.streams


# -- how many


def test_two_tabs_with_the_same_picture_stay_live(live):
    """As long as there are streams left, none gives way."""
    frames = [opened(live) for _ in range(4)]
    live.watchers[LOSS].publish(picture())
    assert [b"picture 1" in next(each) for each in frames] == [True] * 4


def test_with_all_streams_in_use_the_same_picture_takes_the_place_of_its_predecessor(live):
    """Such as when a page is reloaded; the others go on."""
    frames = [opened(live, name) for name in (LOSS, *map(numbered, range(3)))]
    assert live.why_not(LOSS, ME) == ""
    newest = opened(live)
    assert list(frames[0]) == []
    assert [next(each) for each in (*frames[1:], newest)] == [b""] * 4
    assert sorted(open_streams(live)) == sorted([*map(numbered, range(3)), LOSS])


def test_of_several_streams_of_a_picture_the_oldest_gives_way(live):
    """One for one."""
    frames = [opened(live) for _ in range(4)]
    newest = opened(live)
    assert list(frames[0]) == []
    assert [next(each) for each in (*frames[1:], newest)] == [b""] * 4


def test_a_picture_that_is_reloaded_twice_at_once_takes_one_place(live):
    """Though its first stream has not ended yet when the third begins."""
    frames = [opened(live, name) for name in (LOSS, *map(numbered, range(3)), LOSS, LOSS)]
    assert len(open_streams(live)) == 4
    assert list(frames[0]) == list(frames[4]) == []


def test_another_picture_finds_no_place_when_all_streams_are_in_use(live):
    """The reason is told; when one has left, there is a place again."""
    frames = [opened(live, numbered(number)) for number in range(4)]
    assert live.why_not(LOSS, ME) == "this browser has 4 live pictures already"
    frames[2].close()
    assert live.why_not(LOSS, ME) == ""


def test_each_viewer_has_its_own_places(live):
    """Another browser on the same machine, or the same on another one."""
    frames = [opened(live, numbered(number)) for number in range(4)]
    assert live.why_not(LOSS, YOU) == live.why_not(LOSS, ("10.0.0.1", ME[1])) == ""
    assert live.why_not(LOSS, ME) and frames


def test_there_may_be_no_streams_at_all():
    """An application may do without, as WSGI ones do unless told otherwise."""
    assert Live(0).why_not(LOSS, ME) == "there are no live pictures here"


# -- threads: the watcher and its viewers


class Plot:
    """A plot that is drawn when it is told to: counts its drawings."""

    def __init__(self):
        self.number = 0
        self.drawn = 0
        self.error = None

    def look(self):
        if self.error:
            raise self.error
        self.drawn += 1
        number = self.number
        return picture(number, volatile=False), lambda: number == self.number


@pytest.fixture
def plot():
    return Plot()


@pytest.fixture
def lively(monkeypatch):
    """Streams with watchers' threads, all of which have ended in the end."""
    hasten(monkeypatch)
    live = Live(4)
    yield live
    live.close()
    for stream in list(live.streams):
        live.leave(stream)
    assert eventually(lambda: not watchers())


def first(frames):
    """The first chunk with a frame in it."""
    return next(filter(None, frames))


def watchers():
    return [thread for thread in threading.enumerate() if thread.name == "watcher"]


def test_one_drawing_serves_all_viewers(lively, plot):
    """One watcher, one thread, one drawing for each change."""
    viewers = [lively.frames(LOSS, (f"10.0.0.{number}", ""), source_of(plot.look)) for number in range(20)]
    assert {first(frames) for frames in viewers} == {PART + b"picture 0\r\n" + PART}
    assert plot.drawn == 1 and len(watchers()) == 1
    plot.number = 1
    assert {first(frames) for frames in viewers} == {b"picture 1\r\n" + PART}
    assert plot.drawn == 2


def test_each_picture_has_a_watcher_of_its_own(lively, plot):
    """Other arguments are another picture."""
    first(lively.frames(LOSS, ME, source_of(plot.look)))
    first(lively.frames(OTHER, ME, source_of(plot.look)))
    assert set(lively.watchers) == {LOSS, OTHER} and plot.drawn == 2


def test_nothing_is_watched_when_the_last_viewer_has_left(lively, plot):
    """The thread ends; the next viewer gets a new one."""
    frames = lively.frames(LOSS, ME, source_of(plot.look))
    first(frames)
    frames.close()
    assert eventually(lambda: not lively.watchers and not watchers())
    plot.number = 1
    assert b"picture 1" in first(lively.frames(LOSS, ME, source_of(plot.look)))


def test_a_page_that_is_reloaded_finds_its_watcher_still_there(lively, plot, monkeypatch):
    """And its frame without another drawing."""
    monkeypatch.setattr(plotsrv, "LINGER_SECONDS", 60)
    for _ in range(3):
        frames = lively.frames(LOSS, ME, source_of(plot.look))
        assert b"picture 0" in first(frames)
        frames.close()
    assert plot.drawn == 1
    monkeypatch.setattr(plotsrv, "LINGER_SECONDS", 0)


def test_closing_ends_all_streams(lively, plot):
    """Each within a heartbeat."""
    viewers = [lively.frames(LOSS, (f"10.0.0.{number}", ""), source_of(plot.look)) for number in range(3)]
    for frames in viewers:
        first(frames)
    lively.close()
    assert [list(filter(None, frames)) for frames in viewers] == [[], [], []]
    assert not lively.streams


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_the_streams_of_a_watcher_that_dies_end(lively, plot):
    """Whatever it died of: the next page begins anew, and who comes later gets a live picture."""
    plot.error = OSError("Too many open files")
    chunks = list(itertools.islice(lively.frames(LOSS, ME, source_of(plot.look)), 100))
    assert len(chunks) < 100 and not any(chunks)
    assert eventually(lambda: not watchers())
    plot.error = None
    assert b"picture 0" in first(itertools.islice(lively.frames(LOSS, ME, source_of(plot.look)), 100))


def test_a_watcher_that_begins_while_the_plot_fails_knows_the_last_good_picture(clock):
    """What the cache kept is shown with the error on it, rather than nothing."""
    watcher = Watcher(LiveSource(lambda: (failure(), lambda: True), lambda good, failed: picture(9), picture(1)))
    watcher.left_at = START
    watcher.watch()
    assert watcher.frame.image == b"picture 9"
