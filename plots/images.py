"""Pictures that something else wrote, shown as they are."""

import re
from pathlib import Path
from typing import Annotated

from plotsrv import Glob

PICTURE_FILES = Glob("*.png", "*.jpg", "*.jpeg", "*.gif", "*.svg", "*.webp")

# What an SVG may begin with: byte order mark, spaces, declarations, comments, a document type. Matched
# possessively (++, *+), so that no file makes the search slow.
PROLOGUE = (
    rb"(?:\xef\xbb\xbf)?"
    rb"(?>\s++|<\?.*?\?>|<!--.*?-->|<!DOCTYPE[^>\[]*(?:\[[^\]]*\]\s*)?>)*+"
)

# How the bytes of each kind of picture begin, and what they hold once they have been written to their end.
PICTURES = {
    "PNG": (rb"\x89PNG\r\n\x1a\n", rb"IEND\xaeB`\x82"),
    "JPEG": (rb"\xff\xd8\xff", rb"\xff\xd9"),
    "GIF": (rb"GIF8[79]a", rb";\0*\Z"),
    "WebP": (rb"RIFF.{4}WEBP", rb""),  # it tells its length instead
    "SVG": (PROLOGUE + rb"<svg\b", rb"</svg\s*>"),
}


def plot_image(file_path: Annotated[Path, PICTURE_FILES] = Path("latest")) -> bytes:
    """A picture from the data folders

    Whatever a program saved there, say with savefig("loss.png"), and always its newest state.

    Parameters
    ----------
    file_path
        A PNG, JPEG, GIF, SVG or WebP file, or latest for the one that was written last.
    """
    picture = file_path.read_bytes()
    if not picture:
        raise ValueError(f"{file_path} is empty; wait until the picture has been written.")
    kind = picture_kind(picture)
    if kind is None:
        raise ValueError(f"{file_path} is not a picture; choose a file of the kind {', '.join(PICTURES)}.")
    if not is_whole(picture, kind):
        raise ValueError(f"{file_path} is a half-written {kind}; wait until the rest of it is there.")
    return picture


def picture_kind(picture: bytes) -> str | None:
    """The kind of picture that these bytes begin, whatever the file is called."""
    return next((kind for kind, (start, _) in PICTURES.items() if re.match(start, picture, re.DOTALL)), None)


def is_whole(picture: bytes, kind: str) -> bool:
    """Whether the picture has been written to its end."""
    if kind == "WebP":
        return len(picture) >= 8 + int.from_bytes(picture[4:8], "little")
    return re.search(PICTURES[kind][1], picture) is not None
