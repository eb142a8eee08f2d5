"""plots/images.py: pictures that something else wrote are shown as they are."""

import functools
import importlib.util
import io
import os
from pathlib import Path

os.environ["MPLBACKEND"] = "agg"

import pytest
from matplotlib.figure import Figure
from PIL import Image

ROOT = Path(__file__).parent.parent


@pytest.fixture
def images(monkeypatch):
    """The module, loaded from its file beside plotsrv.py."""
    monkeypatch.syspath_prepend(ROOT)
    spec = importlib.util.spec_from_file_location("plots_images", ROOT / "plots" / "images.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@functools.cache
def picture(kind):
    """A small picture of this kind, from the program that people use for it."""
    file = io.BytesIO()
    if kind == "SVG":
        figure = Figure()
        figure.subplots().plot([1, 2])
        figure.savefig(file, format="svg")
    else:
        Image.effect_noise((40, 30), 50).save(file, kind)
    return file.getvalue()


KINDS = ["PNG", "JPEG", "GIF", "WebP", "SVG"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_picture_is_returned_as_it_is(images, tmp_path, kind):
    """The bytes of the file are the picture; nothing is drawn anew."""
    path = tmp_path / "loss.png"  # its name tells nothing
    path.write_bytes(picture(kind))
    assert images.plot_image(path) == picture(kind)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("share", [0.5, 0.9])
def test_a_half_written_picture_says_so(images, tmp_path, kind, share):
    """The error is clear, so that the last good picture can stay."""
    path = tmp_path / "loss.png"
    path.write_bytes(picture(kind)[: int(len(picture(kind)) * share)])
    with pytest.raises(ValueError, match=rf"loss\.png is a half-written {kind}"):
        images.plot_image(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"loss\.png is empty; wait"),
        (b"iteration,loss\n1,0.5\n", r"loss\.png is not a picture; choose .* PNG, JPEG, GIF, WebP, SVG"),
        (b"<html><svg></svg></html>", "not a picture"),
        (b"<?xml version='1.0'?><rss><svg></svg></rss>", "not a picture"),
        (b"RIFF\x10\0\0\0WAVEfmt ", "not a picture"),
        (b"<!-- <svg> -->" * 5000, "not a picture"),
    ],
)
def test_what_is_no_picture_is_refused(images, tmp_path, content, message):
    """The first bytes decide, not the name."""
    path = tmp_path / "loss.png"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        images.plot_image(path)


@pytest.mark.parametrize(
    "svg",
    [
        b"<svg></svg>",
        b"\xef\xbb\xbf<?xml version='1.0'?>\n<!-- by <hand> -->\n<!DOCTYPE svg>\n<svg width='1'>\n</svg>\n",
        b'<!DOCTYPE svg [ <!ENTITY ns "http://example.org/"> ]><svg></svg>',
        b"\n <svg\nxmlns='http://www.w3.org/2000/svg'></svg >",
    ],
)
def test_an_svg_may_begin_with_declarations_and_comments(images, tmp_path, svg):
    """Every drawing program has its own way to begin."""
    path = tmp_path / "drawing.svg"
    path.write_bytes(svg)
    assert images.plot_image(path) == svg


def test_the_newest_picture_is_the_default(images):
    """The signature offers the pictures by their endings, and latest among them."""
    assert images.plot_image.__defaults__ == (Path("latest"),)
    [glob] = images.plot_image.__annotations__["file_path"].__metadata__
    assert glob is images.PICTURE_FILES
