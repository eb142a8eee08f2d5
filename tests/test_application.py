"""The application: which URL shows what, and with which status. No socket, no render process."""

import concurrent.futures
import json
import os
import re
import time

import pytest
from site_of_fakes import (
    ELEMENT,
    NOW,
    PERSON,
    PICTURE,
    Site,
    Tags,
    checked,
    eventually,
    hasten,
    is_form,
    make_request,
    plots_of,
    refresh_of,
)

import plotsrv
from plotsrv import Drawing, Flight, HTTPError, Input, QueueFull


@pytest.fixture(autouse=True)
def no_moment(monkeypatch):
    """Files change here more often than once in a millisecond."""
    monkeypatch.setattr(plotsrv, "MOMENT_SECONDS", 0)


@pytest.fixture
def site(tmp_path):
    return Site(tmp_path)


@pytest.fixture
def live(site, monkeypatch):
    """A site whose live pictures do not keep a test waiting; afterwards none is watched any more."""
    hasten(monkeypatch)
    yield site
    site.application.live.close()
    assert eventually(lambda: not site.application.live.watchers)


# -- the URLs


def test_the_root_is_the_gallery(site):
    """All plots by module, each a link to its page and to its form."""
    page = site.page("/")
    links = [each["href"] for each in Tags(page).all("a")]
    for wanted in ("./mine/line", "./mine/line/form", "./mine/clock", "./sub.training/loss", "./need", "./need/form"):
        assert wanted in links
    assert "./mine/clock/form" not in links
    assert "A line that rises" in page
    assert refresh_of(page) is None


def test_a_file_that_cannot_be_imported_is_a_card_in_the_gallery(site):
    """Its error and traceback stand above the plots that work."""
    site.gallery.broken = {"/plots/bad.py": plotsrv.Broken("bad.py", "SyntaxError: <oops>", "line 3 of bad.py")}
    page = site.page("/")
    assert "bad.py" in page and "SyntaxError: &lt;oops&gt;" in page and "line 3 of bad.py" in page
    assert "./mine/line" in page


def test_an_empty_gallery_tells_how_to_write_a_plot(site):
    """Where there is no plot yet, the first page is the manual."""
    site.gallery.plots = {}
    page = site.page("/")
    assert "plots/mine.py" in page and "def plot_mine(freq: float = 1.0):" in page


def test_a_gallery_that_is_still_importing_says_so_and_looks_again(site):
    """The page does not wait for slow imports, and shows what is known already."""
    site.gallery.settled, site.gallery.awaited = False, ["slow.py"]
    page = site.page("/")
    assert "slow.py" in page and refresh_of(page) == 1
    assert max(site.gallery.waited) <= plotsrv.GLANCE_SECONDS


@pytest.mark.parametrize("path", ["/mine/line", "/need/form", "/sub.training/loss", "/other/newest"])
def test_module_and_name_is_the_page_of_a_plot(site, path):
    """The picture stands in the page itself, so that a refresh never blanks it."""
    site.file("a.csv")
    page = site.page(path)
    (image,) = Tags(page).all("img")
    assert image["src"].startswith("data:image/png;base64,") and image["alt"]
    assert not is_form(page)
    assert [job.format for job in site.renderer.jobs] == ["png"]


def test_a_page_links_to_its_form_and_its_pictures_with_the_same_arguments(site):
    """What is on the screen can be changed, and taken away."""
    links = [each["href"] for each in Tags(site.page("/mine/line?freq=2.5&title=a%26b")).all("a")]
    query = "?freq=2.5&title=a%26b"
    for ending in ("/form", ".png", ".svg", ".pdf"):
        assert f"../mine/line{ending}{query}" in links
    assert "../" in links


def test_a_page_tells_when_it_was_drawn_how_long_it_took_and_what_was_printed(site):
    """Times are absolute, with the offset from UTC, so that an unchanged page stays the same."""
    site.draws(image=PICTURE, output="epoch <7>")
    page = site.page("/mine/clock")
    assert re.search(r"2023-11-1\d \d\d:\d\d:\d\d [+-]\d{4} in 0\.50 s", page)
    assert "epoch &lt;7&gt;" in page
    assert site.page("/mine/clock") == page


def test_a_methods_plot_has_a_path_without_module(site):
    """A handler class's plot_need is at /need."""
    site.page("/need?n=3")
    (job,) = site.renderer.jobs
    assert (job.subject.holder, job.texts) == ("Mine", {"n": ("3",)})


def test_form_is_the_form_filled_with_the_query(site):
    """Nothing is drawn, and nothing refreshes itself while somebody types."""
    page = site.page("/mine/line/form?freq=2.5&title=a%22b&bold=0&n=x")
    tags = Tags(page)
    assert tags.control("freq")["value"] == "2.5"
    assert tags.control("title")["value"] == 'a"b'
    assert "checked" not in tags.control("bold")
    assert tags.control("n")["value"] == "x"
    assert "aria-invalid" not in tags.control("n")
    assert [each["action"] for each in tags.all("form")] == ["../../mine/line"]
    assert refresh_of(page) is None and not site.renderer.jobs


def test_an_exact_path_wins_over_form(site):
    """need.py has plot_form: /need/form is its page, though /need is a plot with a form."""
    assert not is_form(site.page("/need/form"))
    assert site.renderer.jobs[0].subject.function == "plot_form"


@pytest.mark.parametrize(
    ("ending", "content_type"), [(".png", "image/png"), (".svg", "image/svg+xml"), (".pdf", "application/pdf")]
)
@pytest.mark.parametrize("accept", [PERSON, ELEMENT])
def test_an_ending_is_the_picture_alone(site, ending, content_type, accept):
    """In the format of the ending, with a file name to save it under."""
    site.draws(image=b"picture", content_type=content_type)
    response = site.get("/mine/line" + ending, accept=accept)
    assert (response.status, response.content_type, response.body) == (200, content_type, b"picture")
    assert response.headers["Content-Disposition"] == f'inline; filename="mine_line{ending}"'
    assert site.renderer.jobs[0].format == ending[1:]


def test_a_picture_that_the_plot_made_itself_keeps_its_type(site):
    """plot_x may return JPEG bytes: served at .png as what they are; there are no other formats."""
    site.draws(image=b"\xff\xd8\xff", content_type="image/jpeg", own=True)
    response = site.get("/mine/clock.png")
    assert response.content_type == "image/jpeg"
    assert response.headers["Content-Disposition"].endswith('.jpeg"')
    page = site.page("/mine/clock")
    assert "clock.png" in page and "clock.svg" not in page


def test_plots_json_is_the_gallery_for_programs(site):
    """It waits until all files are described."""
    response = site.get("/plots.json")
    assert (response.status, response.content_type) == (200, "application/json")
    assert "mine/line" in json.loads(response.body)["plots"]
    assert site.gallery.waited == [plotsrv.SLOW_SECONDS]


# -- the seed's URLs


@pytest.mark.parametrize(
    ("query", "shows"),
    [
        ("mode=paramcheck&graph=plot_log", "form"),
        ("mode=paramcheck&graph=log", "form"),
        ("mode=paramcheck&graph=mine/log", "form"),
        ("mode=paramcheck&graph=plot_clock", "page"),
        ("mode=plotpage&graph=plot_log&file_path=run.csv&refresh_every=60", "page"),
        ("mode=plot&graph=plot_log&file_path=run.csv", "picture"),
        ("mode=plot&graph=plot_clock", "picture"),
    ],
)
def test_the_seeds_urls_keep_working(site, query, shows):
    """mode=paramcheck, plotpage and plot are form, page and picture; without parameters, form is page."""
    site.file("run.csv")
    response = site.get("/?" + query)
    assert response.status == 200
    if shows == "picture":
        assert response.body == PICTURE
    else:
        assert is_form(response.body.decode()) == (shows == "form")


def test_the_seeds_page_refreshes_as_asked_and_notes_nothing(site):
    """mode and graph are no unknown query keys."""
    site.file("run.csv")
    page = site.page("/?mode=plotpage&graph=plot_log&file_path=run.csv&refresh_every=7")
    assert refresh_of(page) == 7
    assert "Nothing here is called" not in page
    assert site.renderer.jobs[0].texts == {"file_path": (str(site.folder / "run.csv"),)}


@pytest.mark.parametrize("mode", ["paramcheck", "plotpage"])
def test_a_graph_that_several_modules_have_is_answered_with_their_list(site, mode):
    """plot_line is in mine.py and in other.py."""
    links = [each["href"] for each in Tags(site.page(f"/?mode={mode}&graph=plot_line")).all("a")]
    assert {"./mine/line", "./other/line"} <= set(links)
    assert not any("clock" in link for link in links)


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("mode=plot&graph=plot_line", 404),
        ("mode=plot&graph=plot_nothing", 404),
        ("mode=plot", 404),
        ("mode=plotpage&graph=__init__", 404),
        ("mode=paramcheck&graph=plot_", 404),
        ("mode=dance&graph=plot_log", 400),
    ],
)
def test_a_seeds_url_that_means_nothing_is_refused(site, query, status):
    """A picture cannot be several; a mode is one of three."""
    assert site.get("/?" + query).status == status


# -- 404


@pytest.mark.parametrize(
    "path",
    [
        "/nothing",
        "/mine",
        "/mine/",
        "/mine/line/",
        "/mine//line",
        "/mine/plot_line",
        "/MINE/LINE",
        "/mine/line.gif",
        "/mine/line.png/form",
        "/mine/line\u200b",
        "/mine/ｌine",
        "/mine/__init__",
        "/mine/line.__globals__",
        "/plotsrv/os",
        "/../../etc/passwd",
        "//mine/line",
        "/\0",
        "/form",
        "/.png",
    ],
)
def test_what_is_no_plot_is_not_found(site, path):
    """Names are looked up in the gallery as they are; nothing is guessed, nothing is drawn."""
    assert site.get(path).status == 404
    assert not site.renderer.jobs


@pytest.mark.parametrize("path", ["/mine/lin", "/mine/lnie", "/mine/lin.png", "/mine/lin/form"])
def test_an_unknown_plot_is_told_the_nearest_name(site, path):
    """A slip of the keyboard is mended by the message."""
    assert "Did you mean mine/line?" in site.page(path, 404)


def test_the_url_is_not_echoed_by_a_404(site):
    """What came from the browser is no part of the page."""
    marker = "\"'><svg onload=alert(1)>{{7*7}}"
    for path in (f"/{marker}", f"/mine/{marker}", f"/mine/line/{marker}"):
        page = site.page(path, 404)
        assert "onload" not in page and "{{7*7}}" not in page


def test_a_plot_whose_file_is_still_being_imported_is_awaited_and_then_503(site):
    """Retry-After says when to come back."""
    site.gallery.settled, site.gallery.awaited = False, ["slow.py"]
    response = site.get("/slow/plot")
    assert (response.status, response.headers["Retry-After"]) == (503, "1")
    assert b"slow.py" in response.body
    assert site.gallery.waited[-1] == plotsrv.SLOW_SECONDS


# -- the form and its errors


@pytest.mark.parametrize("path", ["/mine/need", "/need", "/mine/log"])
def test_a_required_argument_that_is_missing_asks_for_it(site, path):
    """Where nothing was asked yet, the page is the form, without a reproach."""
    page = site.page(path)
    assert is_form(page) and "Please correct" not in page
    assert not site.renderer.jobs


@pytest.mark.parametrize("query", ["color=blue", "n=", "n=&color=blue", "refresh_every=5"])
def test_a_required_argument_missing_from_a_query_with_others_is_an_error(site, query):
    """Somebody filled in the form, and left out what it cannot do without."""
    page = site.page("/mine/need?" + query, 400)
    tags = Tags(page)
    assert tags.control("n")["aria-invalid"] == "true"
    assert tags.control("n")["aria-describedby"] == "n-error"
    assert "n: required" in "".join(tags.words)
    assert not site.renderer.jobs


def test_errors_in_the_form_come_back_beside_their_fields_with_the_typed_text(site):
    """All of them at once, as the render process found them; status 400."""
    site.fails(400, "The arguments are wrong.", errors={"freq": "'<x>' is not a number", "n": "'2.5' is not whole"})
    page = site.page("/mine/line?freq=%3Cx%3E&n=2.5&title=kept", 400)
    tags = Tags(page)
    assert tags.control("freq")["value"] == "<x>" and tags.control("freq")["aria-invalid"] == "true"
    assert tags.control("n")["value"] == "2.5" and tags.control("n")["aria-invalid"] == "true"
    assert tags.control("title")["value"] == "kept" and "aria-invalid" not in tags.control("title")
    assert "<x>" not in page and "is not a number" in page and "is not whole" in page
    assert refresh_of(page) is None


@pytest.mark.parametrize(
    ("target", "errors"),
    [
        ("/mine/line.png?n=x", {"n": "'x' is not a whole number"}),
        ("/mine/need.png", {}),
        ("/mine/line.png?n=1&n=2", {}),
    ],
)
def test_wrong_arguments_of_a_picture_are_a_400_too(site, target, errors):
    """An <img> is told by a picture, a person by the form."""
    if errors:
        site.fails(400, "The arguments are wrong.", errors=errors)
    response = site.get(target, accept=ELEMENT)
    assert (response.status, response.content_type) == (400, "image/svg+xml")
    assert b"n: " in response.body
    assert is_form(site.page(target, 400))


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("freq=1&freq=2", "freq"),
        ("n=1&n=1", "n"),
        ("title=&title=a", "title"),
        ("refresh_every=1&refresh_every=2", "refresh_every"),
        ("refresh_every=abc", "refresh_every"),
        ("refresh_every=-1", "refresh_every"),
        ("refresh_every=nan", "refresh_every"),
        ("refresh_every=86401", "refresh_every"),
        ("width=10", "width"),
        ("width=live", "width"),
        ("width=4001", "width"),
        ("width=1.5", "width"),
        ("height=0", "height"),
        ("dpi=401", "dpi"),
        ("dpi=19", "dpi"),
        ("dpi=" + "9" * 5000, "dpi"),
    ],
)
def test_what_is_wrong_whatever_the_type_is_found_before_drawing(site, query, field):
    """A scalar given twice, or the page's own fields out of bounds: 400, beside the field."""
    page = site.page("/mine/line?" + query, 400)
    assert Tags(page).control(field)["aria-invalid"] == "true"
    assert not site.renderer.jobs


@pytest.mark.parametrize(
    ("path", "query", "texts"),
    [
        ("/mine/line", "bold=0&bold=1", {}),
        ("/mine/line", "bold=0", {"bold": ("0",)}),
        ("/mine/line", "bold=1", {}),
        ("/mine/kinds", "kinds=&kinds=b&kinds=c", {"kinds": ("b", "c")}),
        ("/mine/kinds", "kinds=&kinds=a", {}),
        ("/mine/kinds", "kinds=", {"kinds": ()}),
    ],
)
def test_the_hidden_pair_of_a_bool_and_fields_of_several_values_may_come_twice(site, path, query, texts):
    """A check box sends 0 always and 1 where it is ticked; its default of True can be switched off."""
    site.page(f"{path}?{query}")
    assert site.renderer.jobs[0].texts == texts


@pytest.mark.parametrize(
    ("query", "texts"),
    [
        ("", {}),
        ("freq=1.0&bold=0&bold=1&title=line&n=3", {}),
        ("freq=", {}),
        ("freq=2.0&title=line", {"freq": ("2.0",)}),
        ("title=", {"title": ("",)}),
    ],
)
def test_absent_means_the_default_and_empty_the_empty_text_only_for_text(site, query, texts):
    """Arguments that say nothing but the default are dropped."""
    site.page("/mine/line?" + query)
    assert site.renderer.jobs[0].texts == texts


def test_equal_drawings_have_equal_keys(site):
    """Defaults, order and how often a page refreshes make no other drawing; arguments, size and format do."""
    same = ["", "?freq=1.0", "?n=3&title=line", "?title=line&n=3", "?refresh_every=5", "?unknown=1"]
    others = ["?freq=2", "?n=4", "?width=500", "?height=500", "?dpi=50", "?bold=0"]
    for query in (*same, *others):
        site.page("/mine/line" + query)
    assert len(set(site.renderer.keys[: len(same)])) == 1
    assert len(set(site.renderer.keys)) == 1 + len(others)
    site.get("/mine/line.png")
    assert site.renderer.keys[-1] == site.renderer.keys[0]
    site.get("/mine/line.svg")
    assert site.renderer.keys[-1] not in site.renderer.keys[:-1]


def test_new_code_makes_new_drawings(site):
    """The version of the user's code is part of the key."""
    site.page("/mine/clock")
    site.gallery.version += 1
    site.page("/mine/clock")
    assert len(set(site.renderer.keys)) == 2


def test_modules_that_a_drawing_loaded_are_watched(site):
    """What a plot imports while it draws is part of its code."""
    module = Input.of(str(site.file("shared.py")))
    site.draws(image=PICTURE, code=(module,))
    site.page("/mine/clock")
    assert set(site.gallery.watched) == {module}


# -- the page's own fields


@pytest.mark.parametrize(
    ("query", "seconds"), [("", 60), ("refresh_every=", 60), ("refresh_every=5", 5), ("refresh_every=0.5", 0.5)]
)
def test_a_page_refreshes_itself_as_asked(site, query, seconds):
    """Every minute where nothing is said."""
    assert refresh_of(site.page("/mine/clock?" + query)) == seconds


def test_refresh_every_0_means_never(site):
    """The page has no meta refresh, and does not claim to have one."""
    page = site.page("/mine/clock?refresh_every=0")
    assert refresh_of(page) is None and "refreshes itself" not in page


def test_width_height_and_dpi_go_to_the_picture(site):
    """The size of a picture is the page's field; the plot knows nothing of it."""
    site.page("/mine/line?width=500&height=400&dpi=50")
    (job,) = site.renderer.jobs
    assert job.lens.items() >= {"width": 500, "height": 400, "dpi": 50}.items() and job.texts == {}


def test_a_plots_own_parameter_wins_over_the_pages(site):
    """Where a plot has a parameter width, width is the plot's."""
    site.page("/mine/sized?width=7&dpi=low&height=400")
    (job,) = site.renderer.jobs
    assert job.lens.items() >= {"width": None, "height": 400, "dpi": None}.items()
    assert job.texts == {"width": ("7",), "dpi": ("low",)}


def test_unknown_query_keys_are_a_note_with_the_nearest_name(site):
    """No error: the plot is drawn, and the page says what was not understood."""
    page = site.page("/mine/line?frq=2&%3Cb%3E=1&__proto__=x")
    assert "Nothing here is called frq. Did you mean freq?" in page
    assert "Nothing here is called &lt;b&gt;." in page
    assert site.renderer.jobs[0].texts == {}


# -- files


def test_a_file_is_found_in_the_data_folders(site):
    """The plot gets the real path."""
    path = site.file("runs/a.csv")
    site.page("/mine/log?file_path=runs/a.csv")
    assert site.renderer.jobs[0].texts == {"file_path": (str(path),)}


def test_a_file_that_is_not_there_yet_is_awaited(site):
    """404 with its name, looked for again every few seconds."""
    target = "/mine/log?file_path=runs/x.csv"
    page = site.page(target, 404)
    assert "Waiting for runs/x.csv" in page
    assert 0 < refresh_of(page) <= 5
    assert not site.renderer.jobs
    site.file("runs/x.csv")
    assert Tags(site.page(target)).all("img")


def test_a_file_that_went_away_leaves_the_last_good_picture(site):
    """While a log is being replaced, the page shows what there was."""
    path = site.file("x.csv")
    site.page("/mine/log?file_path=x.csv")
    path.unlink()
    response = site.get("/mine/log?file_path=x.csv")
    assert (response.status, response.headers["X-Plotsrv-Error"]) == (200, "Not Found")
    assert "Waiting for x.csv" in response.body.decode() and Tags(response.body.decode()).all("img")


def test_a_picture_of_a_file_that_is_not_there_yet_says_so(site):
    """An <img> shows what is awaited."""
    response = site.get("/mine/log.png?file_path=x.csv", accept=ELEMENT)
    assert (response.status, response.content_type) == (404, "image/svg+xml")
    assert b"Waiting for x.csv" in response.body


@pytest.mark.parametrize("ending", ["", "/form", ".png"])
@pytest.mark.parametrize("path", ["../x.csv", "/etc/passwd", ".env", "a/../../x.csv"])
def test_a_file_outside_the_data_folders_is_refused(site, path, ending):
    """403 with the option that would allow it; the same whether or not the file exists."""
    page = site.page(f"/mine/log{ending}?file_path={path}", 403)
    assert "outside the data folders" in page and "python plotsrv.py FOLDER" in page
    assert not site.renderer.jobs


@pytest.mark.parametrize("text", ["/etc/passwd", "~/x", "../x", "http://evil.example/"])
def test_a_text_that_could_be_a_file_elsewhere_is_refused(site, text):
    """A parameter that is plain text is not for paths."""
    assert site.get(f"/mine/line?title={text}").status == 403
    assert not site.renderer.jobs


@pytest.mark.parametrize("text", ["http://evil.example/x.csv", "a%00b", "a" * 5000])
def test_what_is_no_file_name_is_an_error_beside_its_field(site, text):
    """400, and the typed text is kept."""
    tags = Tags(site.page(f"/mine/log?file_path={text}", 400))
    assert tags.control("file_path")["aria-invalid"] == "true"


def test_a_form_offers_the_files_there_are(site):
    """Newest first, with size and age; hidden ones are not offered."""
    for age, name in enumerate(["new.csv", "runs/old.csv", ".secret.csv"]):
        os.utime(site.file(name), (time.time() - 100 * age,) * 2)
    options = [each["value"] for each in Tags(site.page("/mine/log/form")).all("option") if "csv" in each["value"]]
    assert options == ["new.csv", "runs/old.csv"]


def test_latest_is_the_newest_file(site):
    """A default of 'latest' is resolved at every drawing, so each newest file is a drawing of its own."""
    os.utime(site.file("a.csv"), (1, 1))
    site.page("/other/newest")
    site.file("b.csv")
    site.page("/other/newest")
    assert [job.texts["file_path"] for job in site.renderer.jobs] == [
        (str(site.folder / "a.csv"),),
        (str(site.folder / "b.csv"),),
    ]


# -- drawings that fail, or take long


def test_a_failed_drawing_without_a_good_one_shows_the_error(site):
    """500, with the traceback and what was printed; the page goes on refreshing, and recovers by itself."""
    site.fails(traceback='File "mine.py", line 3', output="epoch 7")
    page = site.page("/mine/clock", 500)
    for text in ("ValueError: no such luck", 'File "mine.py", line 3'.replace('"', "&quot;"), "epoch 7"):
        assert text in page
    assert refresh_of(page) == 60 and not Tags(page).all("img")
    site.draws(image=PICTURE)
    assert "no such luck" not in site.page("/mine/clock")


def test_a_failed_drawing_keeps_the_last_good_picture(site):
    """200 with X-Plotsrv-Error; the error stands above the picture, which is marked as an old one."""
    site.page("/mine/clock")
    site.fails(traceback="line 3")
    response = site.get("/mine/clock")
    page = response.body.decode()
    assert response.status == 200 and response.headers["X-Plotsrv-Error"] == "Internal Server Error"
    assert page.index("no such luck") < page.index("data:image/png") < page.index("last good picture")


def test_the_last_good_picture_outlives_a_change_of_the_code(site):
    """An edit with a mistake in it does not blank the page."""
    site.page("/mine/clock")
    site.gallery.version += 1
    site.fails()
    assert Tags(site.page("/mine/clock")).all("img")


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (500, "ValueError: no such luck"),
        (500, "The render process died: it was ended by signal 11 (SIGSEGV)."),
        (504, "Not done within 30 s, so it was ended. --timeout SECONDS allows more."),
    ],
)
def test_a_failed_picture_is_a_picture_of_its_message(site, status, error):
    """For an <img>: SVG with the true status, even where a good one was there; a person gets the page."""
    site.get("/mine/clock.png")
    site.fails(status, error)
    response = site.get("/mine/clock.png", accept=ELEMENT)
    assert (response.status, response.content_type) == (status, "image/svg+xml")
    assert response.headers["X-Plotsrv-Error"]
    text = " ".join(re.findall(r">([^<]+)<", response.body.decode()))
    assert " ".join(text.split()) == error
    page = site.page("/mine/clock.png", status)
    assert error in page


@pytest.mark.parametrize("ending", ["", ".png", ".svg", ".pdf"])
def test_a_deadline_that_passed_is_504(site, ending):
    """The message names the option that allows more time."""
    site.fails(504, "Not done within 30 s, so it was ended. --timeout SECONDS allows more.")
    assert "--timeout" in site.page("/mine/clock" + ending, 504)


@pytest.mark.parametrize("ending", ["", ".png"])
@pytest.mark.parametrize("accept", [PERSON, ELEMENT])
def test_a_full_queue_is_503_with_retry_after(site, ending, accept):
    """Page and picture alike tell when to try again."""
    site.renderer.answer = QueueFull("32 drawings are waiting already.")
    response = site.get("/mine/clock" + ending, accept=accept)
    assert response.status == 503 and int(response.headers["Retry-After"]) > 0
    assert b"are waiting already" in response.body


def test_a_format_that_the_plot_cannot_give_is_404(site):
    """A plot that makes a PNG itself has no SVG."""
    site.fails(404, "This plot makes its picture itself, as image/png: there is no SVG of it.")
    assert site.get("/mine/clock.svg", accept=ELEMENT).status == 404


@pytest.fixture
def slow(site, monkeypatch):
    """A site whose drawings have been under way for 7 s."""
    monkeypatch.setattr(plotsrv, "SLOW_SECONDS", 0.01)
    return site


def test_a_slow_drawing_gets_a_page_with_its_progress_at_once(slow):
    """It says how long it has been drawing, and asks again every second."""
    slow.renderer.answer = None
    page = slow.page("/mine/clock?refresh_every=30")
    assert "Drawing for 7 s" in page and refresh_of(page) == 1
    assert Tags(page).all("progress") and not Tags(page).all("img")


def test_a_slow_drawing_shows_the_last_good_picture_and_how_long_that_took(slow):
    """The old picture stays, with a bar against the time it took last."""
    slow.draws(image=PICTURE, seconds=10.0)
    slow.page("/mine/clock")
    slow.renderer.answer = None
    page = slow.page("/mine/clock")
    (bar,) = Tags(page).all("progress")
    assert (bar["value"], bar["max"]) == ("7.0", "10.0")
    assert "Updating for 7 s; it took 10 s last time." in page and Tags(page).all("img")


def test_a_slow_drawing_that_has_come_answers_for_as_long_as_it_took(slow):
    """Whoever waits at a progress page sees its outcome, rather than the next progress."""
    slow.draws(image=PICTURE, seconds=10.0, drawn_at=time.time())
    slow.page("/mine/clock")
    slow.renderer.answer = None
    assert not Tags(slow.page("/mine/clock")).all("progress")


@pytest.mark.parametrize("refresh", ["0", "60"])
def test_a_progress_page_refreshes_itself_whatever_was_asked(slow, refresh):
    """Even a page that never refreshes has to show what came of its drawing."""
    slow.renderer.answer = None
    assert refresh_of(slow.page("/mine/clock?refresh_every=" + refresh)) == 1


# -- what has not changed


def tag_of(response):
    return response.headers["ETag"]


def again(site, target, tag, **changes):
    """The response to somebody who holds what has this tag."""
    return site.get(target, if_none_match=tag, **changes)


def test_an_unchanged_page_is_the_same_byte_for_byte(site):
    """However often it is asked for, and without a second drawing."""
    site.reads(site.file("a.csv"))
    target = "/mine/log?file_path=a.csv"
    assert site.page(target) == site.page(target)
    assert tag_of(site.get(target)) == tag_of(site.get(target))
    assert len(site.renderer.jobs) == 1


@pytest.mark.parametrize("ending", ["", ".png", ".svg", ".pdf"])
def test_who_holds_an_unchanged_page_or_picture_is_told_so(site, ending):
    """304, with no body, and neither type nor length."""
    site.reads(site.file("a.csv"))
    target = f"/mine/log{ending}?file_path=a.csv"
    tag = tag_of(site.get(target))
    response = again(site, target, tag)
    assert (response.status, tag_of(response)) == (304, tag)


@pytest.mark.parametrize("ending", ["", ".png"])
def test_who_holds_something_else_gets_the_whole(site, ending):
    """Another tag, and none, are the same to us."""
    site.reads(site.file("a.csv"))
    target = f"/mine/log{ending}?file_path=a.csv"
    for held in ('"' + "0" * 24 + '"', "", '""', "nonsense"):
        assert again(site, target, held).status == 200


@pytest.mark.parametrize("ending", ["", ".png"])
def test_a_change_of_what_the_plot_read_makes_another_tag(site, ending):
    """The page and the picture are drawn anew."""
    path = site.file("a.csv")
    site.reads(path)
    target = f"/mine/log{ending}?file_path=a.csv"
    tag = tag_of(site.get(target))
    site.reads(site.file("a.csv", "1,2\n3,4\n"), image=PICTURE + b"2", drawn_at=NOW + 5)
    response = again(site, target, tag)
    assert response.status == 200 and tag_of(response) != tag
    assert len(site.renderer.jobs) == 2


def test_a_page_that_was_drawn_anew_is_another_though_the_picture_is_the_same(site):
    """It tells when it was drawn; the picture alone is unchanged."""
    path = site.file("a.csv")
    site.reads(path)
    tags = {ending: tag_of(site.get(f"/mine/log{ending}?file_path=a.csv")) for ending in ("", ".png")}
    site.reads(site.file("a.csv", "1,2\n3,4\n"), drawn_at=NOW + 5)
    statuses = [again(site, f"/mine/log{ending}?file_path=a.csv", tag).status for ending, tag in tags.items()]
    assert statuses == [200, 304]


def test_a_volatile_plot_is_drawn_anew_each_time(site):
    """Nothing tells that it would come out the same; where its picture did, that is not sent again."""
    tag = tag_of(site.get("/mine/clock.png"))
    assert again(site, "/mine/clock.png", tag).status == 304
    assert len(site.renderer.jobs) == 2


def test_new_code_makes_another_tag(site):
    """What the page says of the plot may have changed."""
    site.reads()
    tag = tag_of(site.get("/mine/clock"))
    site.gallery.version += 1
    assert again(site, "/mine/clock", tag).status == 200


@pytest.mark.parametrize("query", ["?refresh_every=5", "?nonsense=1", "?width=500", "?refresh_every=live"])
def test_pages_of_different_queries_have_different_tags(site, query):
    """Also where the drawing is the same."""
    site.reads()
    assert tag_of(site.get("/mine/clock")) != tag_of(site.get("/mine/clock" + query))


def test_a_server_that_was_started_anew_knows_no_older_tags_of_pages(site, tmp_path):
    """Its pages may look different."""
    site.reads()
    later = Site(tmp_path)
    later.application.started += 1
    later.reads()
    assert again(later, "/mine/clock", tag_of(site.get("/mine/clock"))).status == 200


def test_a_failure_has_no_tag(site):
    """It is told in full each time, whatever is held."""
    site.fails()
    assert "ETag" not in site.get("/mine/clock").headers


@pytest.mark.parametrize("ending", ["", ".png"])
def test_a_failure_is_never_unchanged(site, ending):
    """Not even for a client that holds anything at all."""
    site.fails()
    assert again(site, "/mine/clock" + ending, "*").status == 500


def test_a_page_with_the_last_good_picture_has_a_tag_of_its_own(site):
    """It is unchanged for as long as the error and the picture are."""
    path = site.file("a.csv")
    site.reads(path)
    target = "/mine/log?file_path=a.csv"
    good = tag_of(site.get(target))
    path.unlink()
    bad = tag_of(site.get(target))
    assert bad != good
    assert again(site, target, bad).status == 304 and again(site, target, good).status == 200


def test_a_progress_page_has_no_tag(slow):
    """It tells the time so far, and is another each second."""
    slow.renderer.answer = None
    assert "ETag" not in dict(slow.application.respond(make_request("/mine/clock")).header_fields())


def test_access_is_decided_before_a_tag_is_looked_at(site):
    """A stranger does not learn whether something has changed."""
    site.reads()
    tag = tag_of(site.get("/mine/clock"))
    assert again(site, "/mine/clock", tag, owner=False).status == 401
    assert again(site, "/mine/clock", tag, host="evil.example").status == 421


def test_many_viewers_of_one_plot_cost_one_drawing(site):
    """Page and picture, whoever asks, for as long as nothing changes."""
    site.reads(site.file("a.csv"))
    for target in ("/mine/log?file_path=a.csv", "/mine/log.png?file_path=a.csv") * 10:
        assert site.get(target).status == 200
    assert len(site.renderer.jobs) == 1


def test_a_drawing_that_was_begun_before_a_change_does_not_answer_who_asks_after_it(site):
    """Who joins it while it is under way gets the next one."""
    path = site.file("a.csv")
    outdated = Drawing(b"outdated", inputs=(Input.of(str(path)),), volatile=False)
    site.reads(site.file("a.csv", "longer than before"))
    under_way = concurrent.futures.Future()
    under_way.set_result(outdated)
    flights = [Flight(under_way, time.time() - 1)]
    submit = site.renderer.submit
    site.renderer.submit = lambda *asked: flights.pop() if flights else submit(*asked)
    assert site.get("/mine/log.png?file_path=a.csv").body == PICTURE


# -- what the page tells of its inputs


def test_a_page_tells_what_was_read(site):
    """Paths as they are below the data folder, with size and time of the last change."""
    path = site.file("runs/a.csv", "x" * 2_000)
    os.utime(path, (NOW, NOW))
    site.reads(path)
    page = site.page("/mine/log?file_path=runs/a.csv")
    assert re.search(r"runs/a.csv: 2 kB, last changed 2023-11-1\d \d\d:\d\d:\d\d [+-]\d{4}", page)
    assert str(site.folder) not in page


def drawn_at_ages(site, *ages, **changes):
    """A page whose file was found so many seconds old, one drawing after the other."""
    path = site.file("a.csv")
    for age in ages:
        os.utime(path, (time.time() - age,) * 2)
        site.reads(path, **changes)
        response = site.get("/mine/log?file_path=a.csv")
    return response


def test_a_file_that_used_to_change_often_and_does_no_longer_is_told(site):
    """In the page, in its title, and by another tag."""
    before = drawn_at_ages(site, 720, 715, 710)
    response = drawn_at_ages(site, 705)
    page = response.body.decode()
    assert "No change for over 8 min; it used to change every 5 s." in page
    assert "<title>⚠ stalled – log</title>" in page
    assert (
        tag_of(response) != tag_of(before) and again(site, "/mine/log?file_path=a.csv", tag_of(response)).status == 304
    )


@pytest.mark.parametrize(
    ("ages", "changes"),
    [
        ((705,), {}),
        ((720, 715, 710), {}),
        ((30, 20, 10, 0), {}),
        ((2700, 1800, 900, 700), {}),
        ((720, 715, 710, 705), {"volatile": True}),
    ],
    ids=["seen once", "seen too seldom", "still changing", "changing seldom", "volatile"],
)
def test_a_silence_that_is_nothing_unusual_is_not_told(site, ages, changes):
    """Ten times the usual interval is, for a file that was seen to change often enough."""
    page = drawn_at_ages(site, *ages, **changes).body.decode()
    assert "o change for" not in page and "<title>●" in page


def test_the_title_carries_what_the_drawing_tells(site):
    """The value of its first line."""
    site.draws(image=PICTURE, headline="loss 0.123")
    assert "<title>● loss 0.123 – clock</title>" in site.page("/mine/clock")


def test_the_last_good_picture_tells_when_it_is_from(site):
    """Through an error, and while a file is not there."""
    path = site.file("a.csv")
    site.reads(path)
    site.page("/mine/log?file_path=a.csv")
    path.unlink()
    page = site.page("/mine/log?file_path=a.csv")
    assert re.search(r"last good picture, drawn 2023-11-1\d \d\d:\d\d:\d\d", page)
    assert "<title>… waiting – log</title>" in page


# -- live


def stream_of(site, target="/mine/clock.live", **changes):
    """The response of a live picture; its chunks are taken by the test."""
    response = site.get(target, accept=ELEMENT, **changes)
    assert (response.status, response.content_type) == (200, plotsrv.LIVE_TYPE)
    return response


def first_chunk(response):
    """The first chunk with something in it."""
    return next(filter(None, response.body))


def test_a_live_page_has_its_stream_with_the_same_arguments(site):
    """And the picture behind it; it renews itself every minute."""
    page = site.page("/mine/line?freq=2.5&refresh_every=live")
    (image,) = Tags(page).all("img")
    assert image["src"] == "../mine/line.live?freq=2.5&refresh_every=live"
    assert "url(data:image/png;base64," in image["style"]
    assert refresh_of(page) == plotsrv.RENEW_SECONDS


def test_a_live_picture_is_a_stream_of_frames(live):
    """Each a part of its own; no cache and no proxy holds it back."""
    response = stream_of(live)
    assert response.endless and response.headers["X-Accel-Buffering"] == "no"
    part = b"--frame\r\nContent-Type: image/png\r\n\r\n"
    assert first_chunk(response) == part + PICTURE + b"\r\n" + part
    response.close()


def test_a_page_and_its_stream_cost_one_drawing(live):
    """As long as nothing changes."""
    live.reads(live.file("a.csv"))
    live.page("/mine/log?file_path=a.csv&refresh_every=live")
    for _ in range(3):
        assert PICTURE in first_chunk(stream_of(live, "/mine/log.live?file_path=a.csv&refresh_every=live"))
    assert len(live.renderer.jobs) == 1


def test_a_stream_shows_a_change_of_its_file(live):
    """A frame with the new picture."""
    path = live.file("a.csv")
    live.reads(path)
    response = stream_of(live, "/mine/log.live?file_path=a.csv")
    first_chunk(response)
    live.reads(live.file("a.csv", "longer than before"), image=b"the next picture")
    assert b"the next picture" in first_chunk(response)


def test_a_stream_shows_a_file_that_was_awaited(live):
    """Until it is there, nothing is drawn, and nothing sent."""
    response = stream_of(live, "/mine/log.live?file_path=a.csv")
    assert next(response.body) == next(response.body) == b"" and not live.renderer.jobs
    live.reads(live.file("a.csv"))
    assert PICTURE in first_chunk(response)


def test_head_of_a_live_picture_opens_no_stream(site):
    """Nothing is drawn or watched."""
    response = site.get("/mine/clock.live", method="HEAD")
    assert (response.status, response.body, response.content_type) == (200, b"", plotsrv.LIVE_TYPE)
    assert not site.application.live.streams and not site.renderer.jobs


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("/mine/nothing.live", 404),
        ("/mine/need.live", 400),
        ("/mine/line.live?freq=1&freq=2", 400),
        ("/mine/line.live?refresh_every=often", 400),
        ("/mine/log.live?file_path=../x", 403),
    ],
)
def test_a_live_picture_that_cannot_be_is_a_picture_of_the_reason(site, target, status):
    """With its status, as any other picture."""
    response = site.get(target, accept=ELEMENT)
    assert (response.status, response.content_type) == (status, "image/svg+xml")
    assert not site.application.live.watchers


def test_a_browser_has_four_streams_and_the_fifth_page_refreshes_itself(live):
    """Of six connections to a host, some are left for pages; another browser is another viewer."""
    streams = [stream_of(live, f"/mine/line.live?n={number}") for number in range(1, 5)]
    for each in streams:
        first_chunk(each)
    page = live.page("/mine/line?n=5&refresh_every=live")
    assert refresh_of(page) == plotsrv.FALLBACK_SECONDS and "this browser has 4 live pictures already" in page
    assert Tags(page).all("img")[0]["src"].startswith("data:")
    refused = live.get("/mine/line.live?n=5", accept=ELEMENT)
    assert (refused.status, refused.headers["Retry-After"]) == (503, "5")
    assert b"this browser has 4 live pictures already" in refused.body
    assert "line.live" in live.page("/mine/line?n=5&refresh_every=live", user_agent="another")
    assert "line.live" in live.page("/mine/line?n=4&refresh_every=live")
    streams[0].close()
    assert "line.live" in live.page("/mine/line?n=5&refresh_every=live")


def test_a_page_becomes_live_again_when_the_reason_is_gone(live):
    """Why it has no stream is part of its tag."""
    live.reads()
    target = "/mine/line?n=5&refresh_every=live"
    streams = [stream_of(live, f"/mine/line.live?n={number}") for number in range(1, 5)]
    for each in streams:
        first_chunk(each)
    tag = tag_of(live.get(target))
    assert again(live, target, tag).status == 304
    streams[0].close()
    assert again(live, target, tag).status == 200


def test_an_application_may_have_no_streams(site):
    """Its live pages refresh themselves."""
    site.application.live.limit = 0
    page = site.page("/mine/clock?refresh_every=live")
    assert refresh_of(page) == 2 and "there are no live pictures here" in page
    assert site.get("/mine/clock.live", accept=ELEMENT).status == 503


@pytest.mark.parametrize(("content_type", "is_live"), [("image/jpeg", True), ("image/svg+xml", False)])
def test_only_pictures_of_pixels_are_live(site, content_type, is_live):
    """Browsers show no SVG in a stream."""
    site.draws(image=PICTURE, content_type=content_type, own=True)
    page = site.page("/mine/clock?refresh_every=live")
    assert ("clock.live" in page) == is_live == ("no live pictures of this kind" not in page)


def test_a_live_page_with_an_error_reloads_itself(site):
    """Every 2 s, with the last good picture inline."""
    site.page("/mine/clock?refresh_every=live")
    site.fails()
    page = site.page("/mine/clock?refresh_every=live")
    assert refresh_of(page) == 2 and "no such luck" in page
    assert Tags(page).all("img")[0]["src"].startswith("data:")


def test_the_seeds_page_may_be_live_too(site):
    """Its stream has the new kind of URL."""
    page = site.page("/?mode=plotpage&graph=plot_clock&refresh_every=live")
    assert Tags(page).all("img")[0]["src"] == "./mine/clock.live?refresh_every=live"


def test_a_plots_own_refresh_every_makes_no_live_page(site):
    """Where a plot has a parameter of that name, it is the plot's."""
    (plot,) = plots_of("own", "def plot_own(refresh_every: str = 'a'): ...")
    site.gallery.plots[plot.path] = plot
    page = site.page("/own/own?refresh_every=live")
    assert refresh_of(page) == 60 and "own.live" not in page
    assert site.renderer.jobs[0].texts == {"refresh_every": ("live",)}


def test_thin_goes_to_the_picture(site):
    """It is the page's field, as the size is."""
    site.page("/mine/line?thin=0")
    site.page("/mine/line")
    assert [(job.lens["thin"], job.texts) for job in site.renderer.jobs] == [(False, {}), (True, {})]


# -- the runs in the gallery


def run_of(name, changed=NOW, **told):
    return dict(path=f"/data/{name}", name=name, format="CSV", changed=changed, **told)


def runs_found(site, *runs):
    """A site where a look at the data folders finds these."""
    site.folders.folders[:] = ["/data"]
    site.renderer.runs = list(runs)
    return site.page("/")


def test_the_gallery_shows_the_runs_above_the_plots(site):
    """Each leads to its curves, live, and tells its state, last values, format and last change."""
    told = dict(values=(("val_loss", 0.31415926), ("acc", 1.0)), state="growing", note="best val_loss 0.3 at epoch 7")
    page = runs_found(site, run_of("a b/metrics.csv", **told), run_of("old.csv"))
    links = [each["href"] for each in Tags(page).all("a")]
    assert links[1:3] == [
        "./training/run?run=a+b%2Fmetrics.csv&refresh_every=live",
        "./training/run?run=old.csv&refresh_every=live",
    ]
    assert Tags(page).all("th")[5]["title"] == told["note"]
    assert "<td>● growing</td><td>val_loss 0.3142, acc 1</td><td>CSV</td>" in page
    assert re.search(r"<td>2023-11-1\d \d\d:\d\d:\d\d [+-]\d{4}", page)
    assert refresh_of(page) == plotsrv.GALLERY_SECONDS


def test_a_gallery_that_has_not_changed_is_not_sent_again(site):
    """It reloads itself each minute, and may list thousands of runs."""
    runs_found(site, run_of("a.csv"))
    tag = dict(site.get("/").header_fields())["ETag"]
    assert site.get("/", if_none_match=tag).status == 304
    site.application.studio.runs.accept(plotsrv.FoundRuns((plotsrv.Run("/data/b.csv", "b.csv", "CSV", NOW),)))
    assert site.get("/", if_none_match=tag).status == 200


def test_many_runs_are_folded(site):
    """The newest are in sight."""
    page = runs_found(site, *(run_of(f"{number}.csv") for number in range(100)))
    assert f"and {100 - plotsrv.RUNS_SHOWN} more" in Tags(page).words


def test_the_gallery_does_not_wait_for_the_runs(site, monkeypatch):
    """It comes again in a second while they are looked for."""
    monkeypatch.setattr(plotsrv, "GLANCE_SECONDS", 0.01)
    site.renderer.runs = None
    page = site.page("/")
    assert "Looking for training runs" in page and refresh_of(page) == 1 and "./mine/line" in page


def test_a_gallery_without_runs_says_nothing_of_them(site):
    """Nor one without the plot that shows them."""
    assert "Runs" not in Tags(site.page("/")).words
    del site.gallery.plots["training/run"]
    assert "old.csv" not in runs_found(site, run_of("old.csv"))


# -- HEAD


@pytest.mark.parametrize("path", ["/mine/line", "/mine/line.png", "/mine/line.svg", "/mine/line.pdf"])
def test_head_draws_nothing(site, path):
    """And claims no length of what was not drawn."""
    response = site.get(path, method="HEAD")
    assert (response.status, response.body) == (200, b"")
    assert "Content-Length" not in dict(response.header_fields())
    assert not site.renderer.jobs


@pytest.mark.parametrize("path", ["/", "/mine/line/form", "/plots.json", "/nothing", "/mine/need", "/mine/need?n="])
def test_head_is_like_get_where_nothing_is_drawn(site, path):
    """Status and header fields are those of GET."""
    heads = [dict(site.get(path, method=method).header_fields(), Date="") for method in ("GET", "HEAD")]
    assert heads[0] == heads[1]


# -- who may ask, and how refusals look


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        (dict(host="evil.example"), 421),
        (dict(sec_fetch_site="cross-site"), 403),
        (dict(owner=False), 401),
        (dict(target="/token"), 401),
        (dict(target="/nothing"), 404),
    ],
)
def test_refusals_are_short_pages_that_tell_what_to_do(site, changes, status):
    """With a title that names the status, and a link back to the gallery."""
    target = changes.pop("target", "/mine/line")
    page = site.page(target, status, **changes)
    assert f"<h1>{status} " in page and 'role="alert"' in page
    assert not site.renderer.jobs


@pytest.mark.parametrize(
    ("changes", "status"),
    [(dict(host="evil.example"), 421), (dict(sec_fetch_site="same-site"), 403), (dict(owner=False), 401)],
)
def test_access_is_decided_before_anything_else(site, changes, status):
    """A stranger does not learn which plots there are, nor which arguments are wrong."""
    for target in ("/", "/nothing", "/mine/line?n=1&n=2", "/mine/log?file_path=../x", "/plots.json", "/?mode=x"):
        assert site.get(target, **changes).status == status


def test_a_picture_that_is_refused_is_a_picture(site):
    """An <img> shows why it shows nothing."""
    response = site.get("/mine/line.png", accept=ELEMENT, host="evil.example")
    assert (response.status, response.content_type) == (421, "image/svg+xml")
    assert b"--allow-host" in response.body


def test_the_token_is_exchanged_for_a_cookie_by_the_only_redirect(site):
    """303 to the gallery, relative, so that the token leaves the address bar."""
    site.access.token = "secret"
    response = site.get("/token?token=secret", owner=False)
    assert (response.status, response.headers["Location"], response.body) == (303, "./", b"")
    cookie = response.headers["Set-Cookie"].partition(";")[0]
    assert "secret" not in cookie
    assert site.get("/", owner=False, cookie=cookie).status == 200


def test_an_embedder_may_frame_pages_and_show_pictures(site):
    """--allow-embed names the one site, in the policy of every response."""
    site.access.embedder = "https://wiki.example"
    for target in ("/mine/line", "/mine/line.png", "/nothing"):
        response = site.application.respond(make_request(target, referer="https://wiki.example/page"))
        policy = response.headers["Content-Security-Policy"]
        assert "frame-ancestors https://wiki.example" in policy
        assert response.headers["Cross-Origin-Resource-Policy"] == "cross-origin"


@pytest.mark.parametrize("request_", [None, make_request("/mine/line"), make_request("/mine/line.png", accept=ELEMENT)])
@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 413, 414, 421, 431, 500, 501, 503, 504, 505])
def test_every_refusal_has_its_message_and_the_standing_headers(site, status, request_):
    """Also the one of a request that could not be read at all."""
    response = checked(site.application.refusal(HTTPError(status, "What to <do>.", Retry_After="1"), request_))
    assert response.status == status and response.headers["Retry-After"] == "1"
    assert b"What to &lt;do&gt;." in response.body


def test_a_message_is_escaped_wherever_it_is_shown(site):
    """The marker in every place that comes from a browser or a plot, through every page."""
    marker = "\"'><svg onload=alert(1)>"
    quoted = "%22'%3E%3Csvg%20onload=alert(1)%3E"
    site.draws(image=PICTURE, output=marker)
    targets = [f"/mine/line?title={quoted}", f"/mine/line/form?title={quoted}&freq={quoted}", f"/mine/line?{quoted}=1"]
    pages = [site.page(target) for target in targets]
    site.fails(error=marker, traceback=marker, output=marker)
    pages += [site.page("/mine/sized", 500), site.get("/mine/sized.png", accept=ELEMENT).body.decode()]
    site.fails(400, marker, errors={"freq": marker})
    pages += [site.page(f"/mine/line?freq={quoted}", 400), site.page(f"/mine/log?file_path={quoted}", 404)]
    site.gallery.broken = {"x": plotsrv.Broken(marker, marker, marker)}
    for page in (*pages, site.page("/")):
        assert "<svg onload" not in page and 'value=""' + "'" not in page
        assert not [1 for tag, attributes in Tags(page).elements if "onload" in attributes]


def test_closing_ends_the_renderer(site):
    """An application that is closed leaves no render process behind."""
    site.application.close()
    assert site.renderer.closed


def test_closing_ends_the_streams(live):
    """Their threads keep nothing waiting."""
    response = stream_of(live)
    first_chunk(response)
    live.application.close()
    assert not any(response.body)


def test_all_errors_are_told_at_once_also_those_that_only_a_render_process_finds(site):
    """A required argument that is missing and a number that is none stand on one page."""
    site.renderer.wrong = {"color": "'x' is not a colour"}
    page = site.page("/mine/need?color=x", 400)
    assert "n: required" in page.replace("</a>", "") and "is not a colour" in page.replace("&#x27;", "'")


def test_a_refused_path_keeps_the_form_and_what_was_typed(site):
    """403, the reason beside the field, the other texts as they were."""
    page = site.page("/mine/log?file_path=../x&refresh_every=7", 403)
    assert "outside the data folders" in page and 'value="../x"' in page and 'value="7"' in page


def test_a_page_that_waits_for_an_import_tries_again_by_itself(site):
    """503 with Retry-After, and a meta refresh: nobody needs to press a key."""
    site.gallery.settled, site.gallery.awaited = False, ["slow.py"]
    assert refresh_of(site.page("/slow/x", 503)) == 1


def test_an_error_of_the_seeds_picture_is_a_picture(site):
    """mode=plot is asked for by an <img> too."""
    response = site.get("/?mode=plot&graph=plot_nothing", accept="image/png")
    assert (response.status, response.content_type) == (404, "image/svg+xml")


def test_errors_are_not_held_back_while_all_processes_are_busy(site, monkeypatch):
    """What the server itself found wrong is told without the rest."""
    monkeypatch.setattr(plotsrv, "SLOW_SECONDS", 0.01)
    busy = Flight(concurrent.futures.Future(), NOW)
    monkeypatch.setattr(site.renderer, "submit", lambda key, job: busy)
    assert "required" in site.page("/mine/need?color=blue", 400)


def test_a_page_that_is_asked_for_twice_in_a_moment_is_looked_at_once(site, monkeypatch):
    """Whoever holds it is told so at once; another query, another tag, or a moment later, is looked at again."""
    path = site.file("a.csv")
    site.reads(path)
    tag = tag_of(site.get("/mine/line"))
    assert again(site, "/mine/line", tag).status == 304
    os.utime(path, (2, 2))
    monkeypatch.setattr(plotsrv, "MOMENT_SECONDS", 60)
    assert again(site, "/mine/line", tag).status == 304
    assert again(site, "/mine/line", '"another"').status == 200
    assert again(site, "/mine/line?freq=2", tag).status == 200
    monkeypatch.setattr(plotsrv, "MOMENT_SECONDS", 0)
    site.draws(image=PICTURE + b" drawn anew")
    assert again(site, "/mine/line", tag).status == 200
