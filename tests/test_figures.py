"""Figures: from what a plot returns to bytes."""

import base64
import builtins
import io
import os

import matplotlib
import numpy
import pytest
from matplotlib import pyplot
from matplotlib.figure import Figure

import plotsrv
from plots import figures

PNG, SVG, PDF = b"\x89PNG\r\n", b"<?xml", b"%PDF"
FORMATS = {"png": (PNG, "image/png"), "svg": (SVG, "image/svg+xml"), "pdf": (PDF, "application/pdf")}


@pytest.fixture(autouse=True)
def close_figures():
    """Figures that a test leaves open end with it."""
    yield
    pyplot.close("all")


def figure():
    """A small figure that belongs to no pyplot, quickly drawn."""
    fig = Figure(figsize=(1, 1), dpi=50)
    fig.add_axes((0, 0, 1, 1)).plot([1, 3, 2])
    return fig


def two_axes():
    return Figure(figsize=(1, 1), dpi=50).subplots(1, 2)


def size_of(png: bytes) -> tuple[int, int]:
    """Width and height from a PNG's header."""
    return int.from_bytes(png[16:20]), int.from_bytes(png[20:24])


def picture(result, format="png", width=None, height=None, dpi=None):
    if own := plotsrv.own_picture_of(result, format):
        return *own, True
    return *plotsrv.picture_of(result, format, width, height, dpi), False


# -- the library: figure_bytes and data_uri


@pytest.mark.parametrize(("format", "expected"), FORMATS.items(), ids=FORMATS)
def test_a_figure_becomes_the_bytes_of_its_format(format, expected):
    """PNG, SVG and PDF, each with its content type."""
    image, content_type = plotsrv.figure_bytes(figure(), format)
    assert (image[: len(expected[0])], content_type) == expected


def test_png_is_the_default_format():
    """figure_bytes(figure) is a PNG."""
    assert plotsrv.figure_bytes(figure())[1] == "image/png"


@pytest.mark.parametrize("format", FORMATS)
def test_equal_drawings_have_equal_bytes(format):
    """No date, no random id: the same figure drawn again is the same picture."""
    assert plotsrv.figure_bytes(figure(), format) == plotsrv.figure_bytes(figure(), format)


def test_different_drawings_have_different_bytes():
    """A changed line is a changed picture."""
    changed = figure()
    changed.axes[0].lines[0].set_ydata([3, 1, 2])
    assert plotsrv.figure_bytes(changed) != plotsrv.figure_bytes(figure())


def test_a_data_uri_is_the_same_picture_as_text():
    """For <img src>, without a second request."""
    head, _, text = plotsrv.data_uri(figure(), "svg").partition(",")
    assert head == "data:image/svg+xml;base64"
    assert base64.b64decode(text) == plotsrv.figure_bytes(figure(), "svg")[0]


def pyplot_with_a_figure():
    pyplot.figure(figsize=(1, 1), dpi=50)
    return pyplot


RESULTS = {
    "a Figure": figure,
    "Axes": lambda: figure().axes[0],
    "an array of Axes": two_axes,
    "an array of Axes in two dimensions": lambda: Figure(figsize=(1, 1), dpi=50).subplots(2, 2),
    "a list of Axes": lambda: list(two_axes()),
    "Axes in a subfigure": lambda: Figure(figsize=(1, 1), dpi=50).subfigures(1, 2)[0].subplots(),
    "a subfigure": lambda: Figure(figsize=(1, 1), dpi=50).subfigures(1, 2)[0],
    "the lines that plot returns": lambda: figure().axes[0].plot([1, 2]),
    "the pyplot module": pyplot_with_a_figure,
}


@pytest.mark.parametrize("result", RESULTS.values(), ids=RESULTS)
def test_what_stands_for_a_figure_is_drawn(result):
    """Whatever matplotlib hands around, its figure is meant."""
    assert plotsrv.figure_bytes(result())[0].startswith(PNG)


def test_a_seaborn_grid_is_drawn():
    """Anything with savefig is a figure."""
    seaborn = pytest.importorskip("seaborn")
    grid = seaborn.FacetGrid(__import__("pandas").DataFrame({"x": [1, 2]}), height=1)
    assert picture(grid, width=200)[0].startswith(PNG)


@pytest.mark.parametrize(
    "result",
    [1, 0.5, "text", [], {}, object(), numpy.float64(1), numpy.array([1.0, 2.0]), numpy.array([]), [1, 2], None],
    ids=lambda each: repr(each).partition(" at ")[0],
)
def test_what_is_no_figure_is_a_type_error(result):
    """The message says what came and what to return, at once."""
    with pytest.raises(TypeError, match="return a figure"):
        plotsrv.figure_bytes(result)


def test_an_unknown_format_is_refused():
    """The formats there are, are named."""
    with pytest.raises(ValueError, match="png, svg, pdf"):
        plotsrv.figure_bytes(figure(), "bmp")


def test_an_error_while_drawing_is_raised_before_anything_is_sent():
    """It can still become another answer."""
    fig = figure()
    fig.axes[0].set_title("$\\nosuchcommand$")
    with pytest.raises(ValueError, match="nosuchcommand"):
        plotsrv.figure_bytes(fig)


@pytest.mark.parametrize("format", FORMATS)
def test_no_file_is_written(format, monkeypatch, tmp_path):
    """Drawing happens in memory."""
    opened = []
    plain = builtins.open

    def watched(file, mode="r", *args, **kwargs):
        if set(mode) & set("wax+"):
            opened.append(file)
        return plain(file, mode, *args, **kwargs)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(builtins, "open", watched)
    monkeypatch.setattr(io, "open", watched)
    plotsrv.data_uri(figure(), format)
    assert opened == []
    assert os.listdir(tmp_path) == []


def test_the_users_settings_stay_as_they_are():
    """matplotlib's rcParams are the same after drawing."""
    before = dict(matplotlib.rcParams)
    plotsrv.figure_bytes(figure(), "svg")
    assert dict(matplotlib.rcParams) == before


# -- what a plot returned


def test_a_plot_that_returns_none_means_the_open_figure():
    """plt.plot(...) without return is enough."""
    pyplot.figure(figsize=(2, 1), dpi=50)
    image, content_type, own = picture(None)
    assert (size_of(image), content_type, own) == ((100, 50), "image/png", False)


def test_a_plot_that_returns_none_and_leaves_no_figure_is_an_error():
    """The message says what to return."""
    with pytest.raises(TypeError, match="return the figure"):
        picture(None)


OWN = {
    "image/png": PNG + b"\n",
    "image/jpeg": b"\xff\xd8\xff\xe0 ...",
    "image/gif": b"GIF89a ...",
    "image/webp": b"RIFF\x00\x00\x00\x00WEBPVP8 ",
    "application/pdf": b"%PDF-1.7 ...",
    "image/svg+xml": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
}


@pytest.mark.parametrize(("content_type", "image"), OWN.items(), ids=OWN)
def test_bytes_of_a_picture_are_served_as_they_are(content_type, image):
    """A picture made by the plot itself keeps its bytes and has its own type."""
    assert picture(image) == (image, content_type, True)
    assert picture(bytearray(image)) == (image, content_type, True)


@pytest.mark.parametrize("text", ["<svg/>", "\n  <svg/>", "<?xml version='1.0'?><svg/>"])
def test_svg_may_be_text(text):
    """An SVG is text, and may be returned so."""
    assert picture(text) == (text.encode(), "image/svg+xml", True)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "CMYK", "F"])
def test_a_pil_image_becomes_a_png(mode):
    """Whatever its colour mode, Pillow's image is shown."""
    image = pytest.importorskip("PIL.Image").new(mode, (3, 2))
    png, content_type, own = picture(image)
    assert (size_of(png), content_type, own) == ((3, 2), "image/png", True)


@pytest.mark.parametrize("result", [b"", b"hello", b"<html>", b"RIFF\x00\x00\x00\x00WAVE", b"BM"])
def test_bytes_that_are_no_picture_are_refused(result):
    """A browser would show nothing, so the error does."""
    with pytest.raises(TypeError, match="no PNG"):
        picture(result)


@pytest.mark.parametrize(("image", "format"), [("image/jpeg", "svg"), ("image/png", "pdf"), ("image/svg+xml", "pdf")])
def test_a_picture_of_its_own_has_no_other_format(image, format):
    """A JPEG cannot be had as SVG; the message says so."""
    with pytest.raises(plotsrv.WrongFormat, match=image.replace("+", r"\+")):
        picture(OWN[image], format)


def test_a_picture_of_its_own_may_be_asked_for_in_its_own_format():
    """An SVG is served at .svg as well as at .png."""
    assert picture(OWN["image/svg+xml"], "svg")[1] == picture(OWN["image/svg+xml"], "png")[1] == "image/svg+xml"


def test_a_mosaic_is_drawn():
    """plt.subplot_mosaic gives Axes by name."""
    figure = Figure(figsize=(1, 1), dpi=50)
    assert plotsrv.figure_of(figure.subplot_mosaic("AB")) is figure


# -- the headline: what a tab in the background tells


def lined(*values, label=None, title=""):
    """A figure with a line through these values, and another line."""
    fig = Figure()
    axes = fig.subplots()
    axes.plot(values, label=label)
    axes.plot([7, 8, 9], label="other")
    axes.set_title(title)
    return fig


def titled(title="", suptitle=""):
    fig = Figure()
    fig.subplots().set_title(title)
    fig.suptitle(suptitle)
    return fig


@pytest.mark.parametrize(
    ("fig", "expected"),
    [
        (lined(0.5, 0.12345, label="loss"), "loss 0.123"),
        (lined(0.5, 0.12345), "0.123"),
        (lined(0.5, numpy.nan, label="loss"), "loss 0.5"),
        (lined(0.5, numpy.inf, label="loss"), "loss 0.5"),
        (lined(1, 123456, label="steps", title="a title"), "steps 1.23e+05"),
        (lined(numpy.nan, label="loss"), "loss nan"),
        (lined("a", "b", title="words"), "words"),
        (titled("a title"), "a title"),
        (titled("a title", "the whole"), "the whole"),
        (titled("two\nlines"), "two"),
        (titled("x" * 500), "x" * 80),
        (Figure(), ""),
    ],
    ids=[
        "label",
        "no label",
        "nan",
        "inf",
        "large",
        "only nan",
        "words",
        "title",
        "suptitle",
        "lines",
        "long",
        "empty",
    ],
)
def test_the_headline_is_the_last_value_of_the_first_line_or_else_the_title(fig, expected):
    """As far as it is a number; in few letters."""
    assert figures.headline(fig) == expected


@pytest.mark.parametrize("result", RESULTS.values(), ids=RESULTS)
def test_the_canvas_is_the_figure_itself_whatever_stands_for_it(result):
    """Its axes are what thinning and the headline look at."""
    assert plotsrv.canvas_of(result()).axes is not None


# -- remarks


def test_a_remark_stands_on_the_lower_edge_of_the_picture():
    """What has gone wrong since it was drawn; the rest of the picture is as it was."""
    image = pytest.importorskip("PIL.Image")
    plain = Figure(figsize=(6, 4), dpi=100)
    picture = plotsrv.figure_bytes(plain)[0]
    before = numpy.asarray(image.open(io.BytesIO(picture)).convert("RGB"))
    after = numpy.asarray(image.open(io.BytesIO(figures.remarked(picture, "ValueError: no such luck"))))
    changed = numpy.flatnonzero((before != after).any(axis=(1, 2)))
    assert before.shape == after.shape and changed.max() == 399 and 300 < changed.min() < 390


@pytest.mark.parametrize("text", ["", "x" * 5000, "word " * 1000, "Füße über 漢字 \udcff", "two\nlines", "$\\no$"])
@pytest.mark.parametrize("side", [1, 20, 300])
def test_any_remark_can_be_written_on_any_picture(side, text):
    """However long the text is, and however small the picture."""
    image = pytest.importorskip("PIL.Image")
    memory = io.BytesIO()
    image.new("RGBA", (side, side)).save(memory, "PNG")
    assert size_of(figures.remarked(memory.getvalue(), text)) == (side, side)


# -- thinning, where it is to be had


def test_where_plotsrv_stands_alone_figures_are_drawn_as_they_are():
    """plots/figures.py is optional; what it is asked for in vain is told."""
    plain = plotsrv.PlainFigures
    lens = plain.Lens(smooth=0.5, logx=None, theme="")
    with lens.theme_context(), plain.thinning(True) as thinned:
        thinned.fit(figure(), 100)
    assert thinned.notes == () and plain.Lens().apply(figure()) == plain.notes_of(figure()) == []
    assert lens.apply(figure()) == ["Not applied: smooth. The file plots/figures.py is missing beside plotsrv.py."]
    for table_of in (plain.csv_of, lambda fig: plain.json_of(fig, [])):
        with pytest.raises(plotsrv.WrongFormat, match="missing"):
            table_of(figure())


def test_a_figure_is_fitted_with_its_final_size_before_it_is_saved():
    """What can be seen depends on the pixels there are."""
    fitted = []
    fig = Figure(figsize=(4, 2), dpi=50)
    plotsrv.picture_of(fig, "png", 300, None, 100, fit=lambda figure, dots: fitted.append((figure, dots)))
    [(canvas, dots)] = fitted
    assert canvas is fig and dots == 100 and list(fig.get_size_inches()) == [3, 1.5]


# -- the size


@pytest.mark.parametrize(
    ("asked", "pixels"),
    [
        ({}, (200, 100)),
        ({"width": 300, "height": 60}, (300, 60)),
        ({"width": 300}, (300, 150)),
        ({"height": 300}, (600, 300)),
        ({"dpi": 100}, (400, 200)),
        ({"width": 300, "height": 60, "dpi": 100}, (300, 60)),
    ],
    ids=str,
)
def test_a_picture_has_the_size_asked_for(asked, pixels):
    """Pixels are pixels; with only one side given the shape stays, and dpi alone makes everything bigger."""
    assert size_of(picture(Figure(figsize=(4, 2), dpi=50), **asked)[0]) == pixels


def test_the_size_is_that_of_the_figure_whatever_stands_for_it():
    """Axes, and the pyplot module, are resized by their figure."""
    assert size_of(picture(figure().axes[0], width=80, height=40)[0]) == (80, 40)
    assert size_of(picture(pyplot_with_a_figure(), width=80, height=40)[0]) == (80, 40)


@pytest.mark.parametrize("settings", [{"savefig.dpi": 300}, {"savefig.bbox": "tight"}], ids=str)
def test_the_users_savefig_settings_do_not_change_the_size_asked_for(settings):
    """width and height mean pixels of the picture, not of something cut or blown up."""
    with matplotlib.rc_context(settings):
        assert size_of(picture(figure(), width=80, height=40)[0]) == (80, 40)


def test_too_many_pixels_are_refused_before_drawing(monkeypatch):
    """A picture that would not fit into memory is an error, not a crash."""
    fig = Figure(figsize=(100, 100), dpi=100)
    monkeypatch.setattr(fig, "savefig", lambda *args, **kwargs: pytest.fail("it was drawn"))
    with pytest.raises(ValueError, match="10000 x 10000 pixels"):
        picture(fig)


# -- the lens, and the numbers


def test_a_picture_that_a_plot_makes_itself_tells_that_nothing_is_applied():
    """Neither smoothing nor size; at the defaults it says nothing."""
    asked = {"smooth": 0.9, "logx": None, "xlim": "", "width": 300, "thin": True}
    drawing = plotsrv.drawing_of(lambda: plotsrv.figure_bytes(figure())[0], "png", asked)
    assert drawing.own and drawing.notes == ("Not applied: smooth, width. This plot makes its picture itself.",)
    assert plotsrv.drawing_of(lambda: plotsrv.figure_bytes(figure())[0], "png", {"smooth": 0, "thin": True}).notes == ()


def test_a_figure_without_lines_has_no_numbers():
    """It says so, rather than giving an empty file."""
    with pytest.raises(plotsrv.WrongFormat, match="no lines"):
        plotsrv.drawing_of(Figure, "csv", {})
    assert plotsrv.drawing_of(figure, "csv", {}).image.startswith(b"x,")


def test_each_wrong_text_of_the_lens_is_told_at_its_field():
    """All of them at once."""
    with pytest.raises(plotsrv.FormErrors) as wrong:
        plotsrv.drawing_of(figure, "png", {"xlim": "a", "theme": "drak", "smooth": 0.5})
    assert set(wrong.value.errors) == {"xlim", "theme"} and "dark" in wrong.value.errors["theme"]
