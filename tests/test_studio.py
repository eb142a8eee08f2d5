"""The studio: what a query asks for, and the drawing that comes of it. No socket, no render process."""

import os
import re
import time

import pytest
from site_of_fakes import NOW, PICTURE, Site, Tags, make_request, plots_of, refresh_of

import plotsrv
from plotsrv import Drawing, Input, QueueFull


@pytest.fixture
def site(tmp_path):
    return Site(tmp_path)


def look(site, target):
    """What a watcher sees: the drawing, and whether it still is current."""
    request = make_request(target)
    return site.application.studio.look(site.gallery.plots[request.path[1:].removesuffix(".live")], request.query)


def test_a_look_is_current_until_what_was_read_changes(site):
    """The file, or the code."""
    path = site.file("a.csv")
    site.reads(path)
    drawing, is_current = look(site, "/mine/log.live?file_path=a.csv")
    assert drawing.image == PICTURE and is_current()
    site.file("a.csv", "longer than before")
    assert not is_current()
    site.reads(path)
    _, is_current = look(site, "/mine/log.live?file_path=a.csv")
    assert is_current()
    site.gallery.version += 1
    assert not is_current()


def test_a_look_at_a_slow_drawing_ends_with_a_change_too(site):
    """It answers a progress page for a while; who watches gets the next one."""
    path = site.file("a.csv")
    site.reads(path, seconds=10.0, drawn_at=time.time())
    _, is_current = look(site, "/mine/log.live?file_path=a.csv")
    assert is_current()
    site.reads(site.file("a.csv", "longer than before"), image=b"the next picture")
    assert not is_current()
    assert look(site, "/mine/log.live?file_path=a.csv")[0].image == b"the next picture"


def test_a_look_at_a_failure_is_current_as_long(site):
    """A plot that failed is not called over and over, but again when its file changes."""
    site.reads(site.file("a.csv"), status=500, error="ValueError: half a line")
    drawing, is_current = look(site, "/mine/log.live?file_path=a.csv")
    assert drawing.status == 500 and is_current()
    site.file("a.csv", "a whole line\n")
    assert not is_current()


def test_a_look_for_a_file_is_current_until_it_is_there(site):
    """And when it is, it is drawn."""
    drawing, is_current = look(site, "/mine/log.live?file_path=a.csv")
    assert (drawing.status, drawing.volatile) == (404, False) and is_current()
    site.file("a.csv")
    assert not is_current()


def test_a_look_at_the_latest_file_is_current_until_there_is_a_newer_one(site, monkeypatch):
    """A new run takes the old one's place, a second later at the latest."""
    monkeypatch.setattr(plotsrv, "LATEST_SECONDS", 0)
    path = site.file("a.csv")
    os.utime(path, (1, 1))
    site.reads(path)
    _, is_current = look(site, "/other/newest.live")
    assert is_current()
    site.file("b.csv")
    assert not is_current()


def test_a_look_takes_the_plot_as_it_is_now(site):
    """An edit gave it another parameter: those who watch get it drawn by the new code."""
    old = site.gallery.plots["mine/clock"]
    (edited,) = plots_of("mine", "def plot_clock(freq: float = 1.0): ...")
    site.gallery.plots["mine/clock"] = edited
    site.application.studio.look(old, {"freq": ("2",)})
    assert site.renderer.jobs[0].texts == {"freq": ("2",)}


def test_a_look_at_a_plot_that_is_gone_goes_on(site):
    """While its file is being saved, for instance."""
    old = site.gallery.plots.pop("mine/clock")
    drawing, _ = site.application.studio.look(old, {})
    assert drawing.image == PICTURE


def test_a_look_with_wrong_arguments_is_a_failure(site):
    """An edit may have made them so."""
    drawing, is_current = look(site, "/mine/line.live?freq=1&freq=2")
    assert drawing.status == 400 and not is_current() and not site.renderer.jobs


def test_an_error_is_written_on_the_last_good_picture(site):
    """In the render process, with the time that the picture is from."""
    site.draws(image=b"with a remark")
    good, failed = Drawing(PICTURE, drawn_at=NOW), Drawing(status=500, error="ValueError: no such luck.")
    assert site.application.studio.remarked(good, failed) == plotsrv.replace(good, image=b"with a remark")
    (job,) = site.renderer.jobs
    assert (job.task, job.picture) == ("remark", PICTURE)
    assert re.fullmatch(r"ValueError: no such luck\. The picture is from 2023-11-1\d [\d:]{8} [+-]\d{4}\.", job.remark)


@pytest.mark.parametrize("answer", [QueueFull("32 drawings are waiting already."), Drawing(status=500, error="no")])
def test_a_picture_that_cannot_be_written_on_stays_as_it_is(site, answer):
    """Rather an old picture than none."""
    site.renderer.answer = answer
    good = Drawing(PICTURE)
    assert site.application.studio.remarked(good, Drawing(status=500, error="no")) is good


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("/mine/line", "/mine/line?refresh_every=live", True),
        ("/mine/line?n=1&freq=2", "/mine/line?freq=2&n=1", True),
        ("/mine/line", "/mine/line?nonsense=1", True),
        ("/mine/line?n=1", "/mine/line?n=2", False),
        ("/mine/line", "/mine/line?width=500", False),
        ("/mine/line", "/other/line", False),
    ],
)
def test_viewers_of_the_same_picture_share_a_watcher(site, one, other, same):
    """The same plot and arguments, whatever else their pages were asked for."""
    names = []
    for target in (one, other):
        request = make_request(target)
        names.append(
            plotsrv.stream_name(site.application.studio.asked(site.gallery.plots[request.path[1:]], request.query))
        )
    assert (names[0] == names[1]) == same


# -- runs


def run_in(site, name, age=0, **told):
    """A run as a look at the data folders finds it; its log is there."""
    path = site.file(name)
    os.utime(path, (time.time() - age,) * 2)
    return dict(path=str(path), name=name, format="CSV", changed=time.time() - age, **told)


@pytest.fixture
def runs(site):
    """Three runs, newest first."""
    site.renderer.runs = [run_in(site, f"runs/{name}.csv", age) for age, name in enumerate("abc")]
    return site


def texts_of(site, target):
    """What the plot of a page is called with, its files by their names below the data folder."""
    site.page(target)
    ((name, texts),) = site.renderer.jobs[-1].texts.items()
    return name, [os.path.relpath(text, site.folder) for text in texts]


def test_the_latest_run_is_shown_where_none_is_named(runs):
    """And so it is where latest is asked for."""
    assert texts_of(runs, "/training/run") == ("run", ["runs/a.csv"])
    assert texts_of(runs, "/training/run?run=latest") == ("run", ["runs/a.csv"])


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("runs=runs/b.csv&runs=latest", ["b", "a"]),
        ("runs=runs/*.csv", ["a", "b", "c"]),
        ("runs=runs/[bc].csv&runs=runs/b.csv", ["b", "c"]),
        ("runs=*/c.*", ["c"]),
        ("", ["a", "b", "c"]),
        ("runs=", ["a", "b", "c"]),
    ],
)
def test_several_runs_are_named_one_by_one_or_by_a_pattern(runs, query, names):
    """Each of them counts once."""
    assert texts_of(runs, f"/training/compare?{query}") == ("runs", [f"runs/{name}.csv" for name in names])


def test_a_pattern_matches_files_that_are_no_runs(runs):
    """The plot will say what is the matter with them."""
    runs.file("prose/readme.md")
    assert texts_of(runs, "/training/compare?runs=prose/*.md") == ("runs", ["prose/readme.md"])


@pytest.mark.parametrize("target", ["/training/run", "/training/compare?runs=none/*.csv"])
def test_where_there_is_no_run_yet_the_page_waits_for_it(site, target):
    """It refreshes itself every few seconds."""
    page = site.page(target, status=404)
    assert "Waiting for " in page and refresh_of(page) == plotsrv.AWAITED_SECONDS


def test_a_run_outside_the_data_folders_is_refused(runs, tmp_path_factory, monkeypatch):
    """Whatever the look has found."""
    monkeypatch.setattr(plotsrv, "RUNS_SECONDS", 0)
    outside = tmp_path_factory.mktemp("outside") / "x.csv"
    outside.write_text("1")
    assert runs.get(f"/training/run?run={outside}").status == 403
    runs.renderer.runs = [dict(path=str(outside), name="x.csv", format="CSV", changed=0.0)]
    assert runs.get("/training/run").status == 404


def test_the_form_offers_the_runs_newest_first(runs):
    """With format and age; the latest before all of them."""
    page = Tags(runs.page("/training/run/form"))
    offered = page.all("option")[:4]
    assert [each["value"] for each in offered] == ["latest", *(f"runs/{name}.csv" for name in "abc")]
    assert offered[1]["label"] == "runs/a.csv (CSV, 0 s ago)"


def test_runs_are_looked_for_every_other_second_at_most(runs, monkeypatch):
    """However often they are asked for."""
    for _ in range(5):
        runs.page("/")
    assert runs.renderer.looks == 1
    monkeypatch.setattr(plotsrv, "RUNS_SECONDS", 0)
    runs.page("/")
    assert runs.renderer.looks == 2


def test_a_look_that_fails_leaves_the_runs_of_before(runs, monkeypatch):
    """And the gallery tells why; it is not tried again at once."""
    monkeypatch.setattr(plotsrv, "RUNS_SECONDS", 0)
    runs.page("/")
    runs.application.studio.runs.accept(plotsrv.FoundRuns(left_out=("The render process died.",)))
    looks = runs.renderer.looks
    page = runs.page("/")
    assert "runs/a.csv" in page and "The render process died." in page and runs.renderer.looks == looks


# -- half-written files


def test_a_drawing_that_fails_on_a_file_just_being_written_is_made_again(site, monkeypatch):
    """A moment later the whole file is there, and nobody has seen an error."""
    path = site.file("a.csv")
    site.reads(path)
    site.page("/mine/log?file_path=a.csv")
    site.file("a.csv", "1,2\n3")
    site.fails(inputs=(Input.of(str(path)),))
    whole = Drawing(b"\x89PNG\r\n\x1a\n the whole")
    monkeypatch.setattr(
        time, "sleep", lambda seconds: (site.file("a.csv", "1,2\n3,4\n"), site.draws(image=whole.image))
    )
    assert site.get("/mine/log.png?file_path=a.csv").body == whole.image


def failing(site, age, good):
    """How often a plot is drawn that fails on a file of that age, in seconds; it may have gone well before."""
    path = site.file("a.csv")
    site.reads(path)
    if good:
        site.page("/mine/log?file_path=a.csv")
    site.file("a.csv", "broken for good")
    os.utime(path, (time.time() - age,) * 2)
    site.fails(inputs=(Input.of(str(path)),))
    site.renderer.jobs.clear()
    site.page("/mine/log?file_path=a.csv", status=200 if good else 500)
    return len(site.renderer.jobs)


@pytest.mark.parametrize(("age", "good", "drawings"), [(0, True, 2), (0, False, 1), (60, True, 1)])
def test_an_error_that_lasts_is_told(site, monkeypatch, age, good, drawings):
    """At once where the file is an old one, or the plot has never gone well."""
    monkeypatch.setattr(plotsrv, "HALF_FILE_PAUSES", (0.001,))
    assert failing(site, age, good) == drawings
    site.renderer.jobs.clear()
    site.file("a.csv", "broken for longer")
    site.fails(inputs=(Input.of(str(site.folder / "a.csv")),))
    site.page("/mine/log?file_path=a.csv", status=200 if good else 500)
    assert len(site.renderer.jobs) == 1


def test_the_form_for_several_runs_offers_all_of_them(runs):
    """That is what it stands at where all is the default."""
    page = Tags(runs.page("/training/compare/form"))
    offered = {each["value"]: "checked" in each for each in page.all("input") if each["type"] == "checkbox"}
    assert list(offered)[:3] == ["latest", "*", "runs/a.csv"] and offered["*"] and not offered["latest"]


def test_a_run_is_called_by_what_finds_it_again(runs, tmp_path_factory):
    """Its path below the data folder; all of it where another data folder has the same; "." for such a folder."""
    other = tmp_path_factory.mktemp("other")
    (other / "runs").mkdir()
    same = other / "runs" / "a.csv"
    same.write_text("1")
    runs.application.studio.folders.folders.append(str(other))
    paths = [str(same), str(runs.folder / "runs/a.csv"), str(runs.folder), str(other / ".hidden/x.csv")]
    found = [plotsrv.Run(path, "?", "CSV", -float(place)) for place, path in enumerate(paths)]
    runs.application.studio.runs.accept(plotsrv.FoundRuns(tuple(found)))
    assert [run.name for run in runs.application.studio.runs.runs] == [str(same), "runs/a.csv", "."]
    assert f">{runs.folder.name}</a>" in runs.page("/")


def test_a_look_that_did_not_reach_all_runs_takes_none_away(runs):
    """Another process may have looked further before; what is gone is gone."""
    runs.page("/")
    newer = plotsrv.Run(str(runs.file("runs/d.csv")), "runs/d.csv", "CSV", time.time() + 1)
    (runs.folder / "runs/b.csv").unlink()
    runs.application.studio.runs.accept(plotsrv.FoundRuns((newer,), ("2 older logs were not looked at yet.",)))
    assert [run.name for run in runs.application.studio.runs.runs] == ["runs/d.csv", "runs/a.csv", "runs/c.csv"]
    runs.application.studio.runs.accept(plotsrv.FoundRuns((newer,)))
    assert [run.name for run in runs.application.studio.runs.runs] == ["runs/d.csv"]


def test_a_name_with_brackets_is_a_name_before_it_is_a_pattern(runs):
    """As hydra writes them: the run that was chosen in the form is drawn, and not one that the pattern matches."""
    runs.renderer.runs.append(run_in(runs, "runs/lr0/log.csv"))
    runs.renderer.runs.append(run_in(runs, "runs/lr[0.1]/log.csv"))
    assert texts_of(runs, "/training/compare?runs=runs/lr[0.1]/log.csv") == ("runs", ["runs/lr[0.1]/log.csv"])


def test_all_runs_are_awaited_where_there_are_other_files_only(site):
    """Nobody means those."""
    site.file("readme.md")
    assert "Waiting for a training log" in site.page("/training/compare", status=404)


def test_the_numbers_of_a_huge_figure_are_not_kept(site, monkeypatch):
    """They would stay in the server's memory."""
    monkeypatch.setattr(plotsrv, "KEPT_BYTES", 10)
    site.reads(site.file("a.csv"), image=b"x,y\n" * 10, content_type=plotsrv.DATA_TYPES["csv"])
    for _ in range(2):
        assert site.get("/mine/log.csv?file_path=a.csv").status == 200
    assert len(site.renderer.jobs) == 2


def test_the_latest_run_is_looked_for_before_it_is_told(runs, monkeypatch):
    """After a night, too, it is not that of the evening."""
    runs.page("/")
    monkeypatch.setattr(plotsrv, "RUNS_SECONDS", 0)
    runs.renderer.runs = [run_in(runs, "runs/new.csv")]
    assert texts_of(runs, "/training/run") == ("run", ["runs/new.csv"])
