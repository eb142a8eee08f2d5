"""What is tried to get at a file outside the data folders, as it goes on the wire; and the folder it is tried on.

A *vector* is one try: the text of a query's value. A *canary* is a file that must never be read: whatever comes out
of one, as text, as a number or within a picture, is known by one of CANARIES. The families of vectors are named after
the entries of the catalogue of attacks, F1 to F10; each is tried in every one of ENCODINGS.
"""

import base64
import binascii
import functools
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import cycle, product
from pathlib import Path
from urllib.parse import quote, unquote

CANARY_WORD = "canary_7f3a91"  # the name of a column, and in the environment of the server
CANARY_NUMBER = "98765.4375"  # a float and its text are the same
CANARY = f"step,{CANARY_WORD}\n" + "".join(f"{step},{CANARY_NUMBER}\n" for step in range(1, 9))
CANARIES = (CANARY_WORD.encode(), CANARY_NUMBER.encode(), b"root:x:0:", b"kept from all")
PIXEL = binascii.unhexlify(  # a whole PNG of one pixel
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c489"
    "0000000d49444154789c6360606060000000050001a5f645400000000049454e44ae426082"
)

READABLE = ("x.csv", "sub/y.csv")  # what a browser may ask for
HIDDEN = (".env", ".hidden/canary.csv", ".git/config", ".ssh/id_rsa", ".streamlit/secrets.toml", "sub/.env")
SAFE = "/\\:~$;=@!'()*,"  # what a query's value may hold as it is


@dataclass(frozen=True)
class Vector:
    """One try: its entry in the catalogue, its encoding, and the text of the value on the wire."""

    entry: str
    encoding: str
    query: str

    @property
    def text(self) -> str | None:
        """What a server that decodes once, and strictly, makes of it; None where it is no UTF-8."""
        try:
            return unquote(self.query.replace("+", " "), errors="strict")
        except UnicodeDecodeError:
            return None


# ---- The folder ----


def planted(top: Path) -> Path:
    """A data folder with good files, and with canaries that are hidden, beside it, and behind links."""
    data = top / "data"
    (data / "sub").mkdir(parents=True)
    for name in READABLE:
        (data / name).write_text("step,loss\n1,0.5\n2,0.25\n3,0.125\n")
    (data / "x.png").write_bytes(PIXEL)
    evil = top / "data_evil"  # its name begins like the data folder's
    evil.mkdir()
    for file in (top / "canary.csv", top / ".env", evil / "canary.csv", *(data / name for name in HIDDEN)):
        file.parent.mkdir(exist_ok=True)
        file.write_text(CANARY)
    (top / "canary.png").write_bytes(PIXEL + b"kept from all")
    links = {
        "link.csv": top / "canary.csv",
        "relative.csv": "../data_evil/canary.csv",
        "chain.csv": "link.csv",
        "hidden.csv": ".env",
        "folder": evil,
        "up": top,
        "root": "/",
        "environ.csv": "/proc/self/environ",
        "loop.csv": "loop.csv",
        "loop_a": "loop_b",
        "loop_b": "loop_a",
    }
    for name, target in links.items():
        (data / name).symlink_to(target)
    return data


def leaked(body: bytes) -> bool:
    """Is there anything of a canary in an answer, also where it stands in a picture within a page?"""
    inline = re.findall(rb"base64,([A-Za-z0-9+/=]+)", body)
    return any(word in part for part in (body, *map(base64.b64decode, inline)) for word in CANARIES)


# ---- Encodings ----


def plain(text: str) -> str:
    """As a careless client sends it: only what would end the value, or the line, is escaped."""
    return quote(text, safe=SAFE, errors="surrogatepass")


def with_each(dot: str = ".", slash: str = "/") -> Callable[[str], str]:
    """The encoding that writes dots and slashes in another way."""
    return lambda text: plain(text).replace("/", slash).replace(".", dot)


def mixed(text: str) -> str:
    """Dots and slashes in all ways by turns."""
    ways = {".": cycle(["%2e", ".", "%2E", "%252e"]), "/": cycle(["%2f", "/", "%5c", "\\", "%2F"])}
    return "".join(next(ways[letter]) if letter in ways else letter for letter in plain(text))


ENCODINGS: dict[str, Callable[[str], str]] = {
    "raw": plain,
    "%2e": with_each("%2e"),
    "%252e": with_each("%252e"),
    "..%2f": with_each(slash="%2f"),
    "..%5c": with_each(slash="%5c"),
    "overlong": with_each("%c0%ae", "%c0%af"),
    "mixed": mixed,
}


# ---- Families ----

DEPTHS = (1, 2, 3, 4, 5, 6, 8, 12, 40)
PREFIXES = ("", "./", "sub/../", "nothing/../", "x.csv/../", "sub/../sub/../", ".//", "/")
TARGETS = ("canary.csv", "etc/passwd", "nothing.csv", "data_evil/canary.csv")
OTHER_DOTS = (
    "....//", "..;/", "..\\", "..../", ".. /", "..\u200b/", "‥/", "．．/", "..∕", "..％2f", "%2e%2e/", "..%00/",
)  # fmt: skip


def climbing(data: Path) -> Iterator[str]:
    """F1: up, and down again to something else."""
    for depth, prefix, target in product(DEPTHS, PREFIXES, TARGETS):
        yield prefix + "../" * depth + target
    yield from ("..", "../", "../..", "sub/" + "../sub/" * 500 + "../../canary.csv", "sub/../" * 550 + "../canary.csv")
    yield from (f"link.csv{end}" for end in ("", "/", "/.", "/../canary.csv"))
    yield from (
        "relative.csv", "chain.csv", "folder/canary.csv", "folder", "up/canary.csv", "up/data_evil/canary.csv",
        "root/etc/passwd", "root/proc/self/environ", "environ.csv", "sub/../link.csv", "loop.csv", "loop_a/x.csv",
    )  # fmt: skip
    for dots in OTHER_DOTS:
        yield from (dots * depth + "canary.csv" for depth in (1, 3))


def absolute(data: Path) -> Iterator[str]:
    """F2: where the machine's own tree begins, and where another system's would."""
    outside = str(data.parent)
    yield from (f"{start}{outside}/canary.csv" for start in ("", "/", "//", "/.", "/..", " ", "\t", "/x/..", "file:"))
    yield from (f"{data}/../canary.csv", f"{data}/sub/../../canary.csv", f"{data}_evil/canary.csv", f"{data}/.env")
    for path in ("/etc/passwd", "/etc/shadow", "/root/.ssh/id_rsa", "/proc/self/environ", "/dev/stdin", "/"):
        yield from (path, "/" + path, "//" + path, "/.." + path, "/./" + path, path + "/", "sub/" + "../" * 30 + path)
    for path in ("C:\\windows\\win.ini", "C:/windows/win.ini", "C:win.ini", "C:", "/windows/win.ini", "\\win.ini"):
        yield from (path, f"\\\\?\\{path}", f"\\\\.\\{path}", f"/{path}", f"./{path}")


def beside(data: Path) -> Iterator[str]:
    """F3: a folder whose name begins like the data folder's."""
    for prefix, name in product((*PREFIXES, f"{data.parent}/"), ("data_evil", "data_evil/canary.csv", "data_evil/.")):
        yield prefix + ("" if prefix.startswith(str(data.parent)) else "../") + name
    yield from (f"../{data.name}{end}/canary.csv" for end in ("_evil", "_evil/", "_evil/.", "_evil/../data_evil"))


def no_names(data: Path) -> Iterator[str]:
    """F5: what is no file's name here, or none on another system."""
    for odd in ("\0", "\0.png", "%00", "\n", "\r\n", "\x1b[2J", "\x7f", "\u202e", "\ufeff", "\ud800", "a" * 5000):
        yield from (odd + "../canary.csv", "../canary.csv" + odd, ".." + odd + "/canary.csv")
    for name in ("CON", "NUL", "aux.csv", "COM1", "LPT1.csv", "x.csv:ads", "x.csv::$DATA", "x.csv.", "x.csv "):
        yield from (name, f"../{name}", f"sub/../../{name}")
    yield from (f"../canary.csv{end}" for end in (".", "..", " ", "/", "/.", ";", "?", "#", "::$DATA", "\\"))


def expanding(data: Path) -> Iterator[str]:
    """F6: what a shell would make something else of."""
    for start in ("~", "~root", "~nobody", "$HOME", "${HOME}", "%USERPROFILE%", "$(pwd)", "`pwd`", "~+", "~-"):
        yield from (start, f"{start}/canary.csv", f"{start}/../canary.csv", f"{start}/.ssh/id_rsa", f"./{start}/x")


def hidden(data: Path) -> Iterator[str]:
    """F8: hidden files and folders within the data folder."""
    for prefix, name in product(("", "./", "sub/../", "nothing/../", f"{data}/", "../data/", "hidden/../"), HIDDEN):
        yield prefix + name
    yield from ("hidden.csv", "sub/../.hidden/../.env", ".hidden/../x.csv", ".hidden", "...", ".../x.csv", "sub/.\\x")


SCHEMES = (
    "http", "HTTP", "https", "ftp", "file", "FILE", "s3", "gs", "smb", "jar:http", "ws", "gopher", "ldap", "data",
    "javascript", "hdfs", "sftp", "simplecache::http", "zip", "view-source:http",
)  # fmt: skip


def addresses(data: Path, host: str) -> Iterator[str]:
    """F10: what is on another machine, or is said to be."""
    for scheme in SCHEMES:
        yield from (f"{scheme}://{host}/canary.csv", f"{scheme}:{data.parent}/canary.csv", f"{scheme}:///etc/passwd")
    for start in ("//", "\\\\", "/\\", "\\/", " http://", "\thttp://", "http:/", "http:\\\\", "http:", "url:http://"):
        yield from (f"{start}{host}/canary.csv", f"{start}u:p@{host}/canary.csv")
    yield from ("\\\\?\\UNC\\host\\share\\x.csv", "//?/UNC/host/share/x.csv", "file://localhost/etc/passwd", "data:,1")


FAMILIES: dict[str, Callable[[Path], Iterator[str]]] = {
    "F1": climbing,
    "F2": absolute,
    "F3": beside,
    "F5": no_names,
    "F6": expanding,
    "F8": hidden,
    "F10": lambda data: addresses(data, "127.0.0.1:9"),
}
LONGEST = 7500  # characters on the wire, so that the rest of the request's line has room


@functools.cache
def vectors(data: Path) -> list[Vector]:
    """All the tries on a data folder that `planted` made; no two of them are the same on the wire."""
    found: dict[str, Vector] = {}
    for (entry, family), (name, encoded) in product(FAMILIES.items(), ENCODINGS.items()):
        for text in family(data):
            query = encoded(text)
            if len(query) <= LONGEST:
                found.setdefault(query, Vector(entry, name, query))
    return list(found.values())


def is_within(path: str, data: Path) -> bool:
    """Does a file that is there lie in the data folder in truth, and hidden nowhere? The rule, told once more."""
    inside = os.path.relpath(os.path.realpath(path), os.path.realpath(data)).split(os.sep)
    return not any(part.startswith(".") and part != "." for part in inside)
