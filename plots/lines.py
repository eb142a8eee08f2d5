"""What a line of a log says: which of its numbers are values of which names, and which tell where it stands.

The vocabulary: a *key* is what a number's name is written as, *strong* before a colon or an equals sign ("loss: 0.5"),
*weak* before a blank ("loss 0.5"). An *x word* ("Epoch 3/30") tells the point; an x *within* another begins anew with
each of it ("[Epoch 3/30] [Batch 20/938]"). A *part* ("[eval]", "Test:") is what all keys behind it are of. *Noise*
is what has numbers but no values: dates, times, bars, places in the source.

Everything is about one line by itself: this file knows no other line, but for the heading of its table.
"""

import re
from dataclasses import dataclass, field

from .curves import TELLING
from .metrics import part_and_base, role_of

LONGEST_LINE = 4000
LONGEST_KEY = 60
WORDS_OF_A_KEY = 6
WORDS_OF_A_WEAK_KEY = 4

DELIMITER = "\x01"  # what noise is overwritten with; no key goes across it
PLAIN = r"(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
THOUSANDS = r"[1-9]\d{0,2}(?:,\d{3})+(?:\.\d+)?"
NOT_A_NUMBER = r"(?i:nan|inf(?:inity)?|n/a|none|null)(?![\w/])"
MISSING = ("n/a", "none", "null")
UNIT = r"(?:%|(?:[a-zA-Zµ]{1,3}|secs?|mins?|epochs?|tok(?:ens?)?|samples?|imgs?|images?)(?:/[a-zA-Z]+)?(?![\w@]))"
MEASURES = (  # by their units: "step_avg: 93.58ms" is no metric, whatever its name says
    ("time", re.compile(r"(?:[nuµm]?s|secs?|mins?|h)(?:/[a-zA-Z]+)?")),
    ("memory", re.compile(r"[KMGT]i?B")),
)
NUMBER = re.compile(
    rf"(?<![\w@.])(?P<number>(?:(?<![\w)\]])[-+])?(?:{THOUSANDS}|{PLAIN}|{NOT_A_NUMBER}))(?!\d|:\d|\.\d|,\d)"
    rf"(?:{UNIT}|(?![\w@]))"
)
AVERAGE = re.compile(rf"\s*(?:\(\s*[-+]?{PLAIN}\s*%?\)|(?:\+/?-|±|\+)\s*{PLAIN})")  # 0.5 (0.6), 0.5 + 0.1
OF_ALL = re.compile(r"\s*(?:/|\bof\b|\bout of\b)\s*(?P<all>\d+)(?![\w.])(?:\s*\(\s*\d+\.?\d*\s*%\s*\))?")
WITHIN = re.compile(
    r"\s*\]?\s*(?:[:,|-]\s*)?\[\s*(?P<n>\d+)\s*/\s*(?P<all>\d+)\s*(?:\([^)]*\))?\s*\]"
    r"|\s*:\s+(?P<n2>\d+)\s*/\s*(?P<all2>\d+)\s"
)
INTEGER = re.compile(r"\d+(?:,\d{3})*\Z")

BLANKED = re.compile(
    r"(?:\b(?:np|numpy|torch|jnp)\.)?\b(?:float|int|tensor|array|bfloat)\d*\("
    r"|,\s*(?:device|dtype|grad_fn)=[^)]*\)"
)
NOISE = re.compile(
    r"""
      \d+%\|.*?\|[^\[\]]*\[[^\[\],]*(?:,[^\[\],]*(?:it|s|B)/(?:it|s))?             # a bar of tqdm
    | \d+(?:/\d+)?(?:it|B)?\ \[\d\d:\d\d[^\[\],]*(?:,[^\[\],]*(?:it|s|B)/(?:it|s))?
    | \[[=>.\ -]{5,}\] | [━╸╺╺]{3,}[━╸╺\ ]*                                         # bars of Keras
    | ^\s*\d+/(?:\d+|Unknown)(?=\s+(?:-\s|\[|━|\d+s\s)|\s*$)
    | ^\s*[IWEF]\d{4,8}\ \d\d:\d\d:\d\d\.\d+\s+\d+\ [^\s\]]+:\d+\]                 # glog
    | \[(?:rank|default|gpu|worker)[\ _]?\d+\]:?
    | (?<![\w/.-])\d{4}[-/.]\d\d?[-/.]\d\d?(?:[T_\ ]?(?=\d|[\s,\]:)]|$))           # dates
    | (?<![\w/.-])\d\d?[-/.]\d\d?[-/.](?:\d{4}|\d\d)(?=[\s,T\]])
    | (?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]*\s+\d\d?(?:,?\s+\d{4})?(?=[\s,]+\d\d:)
    | (?<![\w.:])(?:\d+\ days?,\ )?\d{1,3}:\d\d(?::\d\d)?(?:[.,]\d+)?Z?(?![\w:])   # times, with what dates end in
    | (?<![\w.])\d+\s?h(?:\s?\d+\s?m(?:in)?)?(?:\s?\d+\s?s)?(?!\w) | (?<![\w.])\d+\s?m(?:in)?\s?\d+\s?s(?!\w)
    | (?<!\w)(?:DEBUG|INFO|WARNING|WARN|ERROR|CRITICAL|SUCCESS|TRACE)(?::[\w.]+:)?(?![\w:])
    | \(?[\w./<>-]+\.(?:py|cc|cpp|cu|h)[:\ ]\d+\)?\]?:? | [\w.<>]+:[\w<>]+:\d+(?=\s)        # places in the source
    | \(\*[^)]*\) | 0x[0-9a-fA-F]+ | https?://\S+
    """,
    re.VERBOSE,
)

PARTS = r"train(?:ing)?|val(?:id(?:ation)?)?|eval(?:uation)?|test(?:ing)?|dev"
PART = re.compile(
    rf"(?:^|[\s\[(|>\x01*=#-])['\"]?(?P<part>{PARTS})"
    r"(?:_inner|\ (?:set|net\ output|phase|stats|results|metrics|step))?(?:\ ?\#\d+)?"
    rf"['\"]?(?=\s*[\])|>\x01\t]|\s*:(?!\s*['\"]?[-+.\d])|\s+[-=*]+\s|\s*$)",
    re.IGNORECASE | re.VERBOSE,
)
SHORT = {"tra": "train", "val": "val", "eva": "eval", "tes": "test", "dev": "dev"}

SURE_X = r"epoch|ep|iter|iteration|itr|step|global[ _]?step|timestep|total[ _]timesteps|episode|update"
SURE_X += "|training_iteration"
UNSURE_X = r"e|it|batch|round|epochs|iters|iterations|steps|episodes|updates|timesteps|#"  # settings are named so, too
X_WORD = re.compile(rf"(?i)(?:^|(?<=[^\w])|(?<=train_)|(?<=trainer/))(?P<word>{SURE_X}|{UNSURE_X})\s*(?:\(\w+\)|#)?$")
LEAD = re.compile(
    rf"(?i)^(?:(?P<part>{PARTS})|start(?:ing|ed)?|begin(?:ning)?|finish(?:ed|ing)?|end(?: of)?|complet(?:ed|ing)"
    r"|current|at|after|for|in|on|of|running|results|the|summary|done|and|during|[^\w\s]|\s|evaluating|validating)*$"
)
JOINING = re.compile(r"(?i)[\s,(]*(?:at|after|for|in|on|of|@|-)?\s*(?:the\s)?$")
FAMILIES = {
    "epoch": ("epoch", "ep", "e", "epochs"),
    "step": ("step", "iter", "iteration", "itr", "it", "global_step", "globalstep", "update", "updates", "iters",
             "iterations", "steps", "training_iteration", "timestep", "timesteps", "#"),
    "batch": ("batch",), "episode": ("episode", "episodes"), "round": ("round",),
    "total": ("total_timesteps",),
}  # fmt: skip
FAMILY_OF = {word: family for family, words in FAMILIES.items() for word in words}
FULL_NAMES = {"ep": "epoch", "itr": "iteration", "it": "iteration", "global step": "global_step",
              "globalstep": "global_step", "total timesteps": "total_timesteps", "timestep": "timesteps"}  # fmt: skip

BOOSTING = re.compile(r"^(?:\x01|\s)*\[(?P<n>\d+)\]\s+(?=\S)|^(?:\x01|\s)*(?P<n2>\d+):\s+(?=[a-zA-Z])")
N_OF_ALL = re.compile(
    r"^(?:[\s|:-]|\[?\x01\]?)*+[\[(]?\s*(?P<n>\d+)\s*/\s*(?P<all>\d+)\s*[\])]?(?=[\s:,|-])"  # [3/30] loss=0.5
)
EPOCH_AND_BATCH = re.compile(r"^\s*\[\s*(?P<n>\d+),\s*(?P<n2>\d+)\](?=\s*\w)")
TWO_BRACKETS = re.compile(
    rf"(?:^|[\s\x01])(?:(?:{PARTS})[:\s]\s*)?\[\s*(?P<n>\d+)\s*/\s*(?P<all>\d+)\s*\]"
    r"\s*\[\s*(?P<n2>\d+)\s*/\s*(?P<all2>\d+)\s*\]",
    re.IGNORECASE,
)
DARKNET = re.compile(
    rf"\s*(\d+): ({PLAIN}|-?nan), ({PLAIN}|-?nan) avg(?: loss)?, ({PLAIN}) rate, ({PLAIN}) seconds, (\d+) images"
)
DARKNET_NAMES = ("loss", "avg loss", "rate", "seconds", "images")
HEADING = re.compile(rf"(?i)(?:^|[\s\x01|-])((?:{PARTS})(?:\s*\|\s*(?:{PARTS}))+)\s*\|?\s*$")
TABLE_ROW = re.compile(r"(?:.*\x01)?[\s|-]*(?P<key>[A-Za-z][^|\x01]*?)\s*\|(?P<cells>(?:\s*[^|\s]+\s*\|?)+)$")
REPEATS = re.compile(r"(?i)best iteration is:?\s*$")
SUMMARY = re.compile(r"['\"]train_runtime['\"]:")  # the last line of Hugging Face's Trainer is about the whole run

NUMBERED = re.compile(r"\S*(?:[-_./]\d++(?!'s)\S*|\.[a-z]\w*)\s(?=\S)")  # ckpt_100.pt
PROSE = re.compile(r"(?i)(?<!\w)(from|to|than|improve[ds]?|decreased|increased|reached|below|above)(?!\w)")
STRIPPED = " \t-\u2013\u2014*\u2022>\"'`.!~&+^\\("
SEPARATOR = re.compile(r"(?P<sep>\s*(?:[:=\u2192]|->)+>?)?(?P<open>[\s\"'(\[{]*)$")
SEGMENT = re.compile(rf"[^,;|\t{{}}\[\]<>{DELIMITER}]*$")
CUT = re.compile(r"\s[-\u2013\u2014*=]+\s|\s{2,}|:\s|[:=](?=[^\s])|\.\s|[\"'`]\s*:|->|=>|\u2192|(?<=%)\s(?=\w)")
LISTED = re.compile(rf"[\s)]*[,\s][\s(]*{NUMBER.pattern}")
BARE_PART = re.compile(rf"(?i)(?:(?:{PARTS})/)?(?:{PARTS}|learn|best)")
PROGRESS = re.compile(rf"(?i)(?:^|[\s\x01*(])(?:{PARTS})\)?\s*:?\s*\[\s*(?P<n>\d+)\s*/\s*(?P<all>\d+)\s*\]")

Span = tuple[int, int]


@dataclass
class Reading:
    """What one line says, by the places of its numbers; where a name's number says NaN or infinity, its value."""

    values: list[tuple[str, Span | float]] = field(default_factory=list)
    shares: dict[str, Span] = field(default_factory=dict)  # of a name whose value is n of N: where N stands
    points: list[tuple[str, Span]] = field(default_factory=list)
    totals: list[tuple[str, Span]] = field(default_factory=list)
    within: tuple[str, Span, Span | None] | None = None
    progress: tuple[Span, Span] | None = None  # n and N of a validation: only its last line counts
    keys: list[Span] = field(default_factory=list)  # whose digits belong to the names
    heading: tuple[str, ...] = ()
    repeats: bool = False  # the next line is an old one

    @property
    def says_something(self) -> bool:
        """Whether lines like it are worth being read."""
        return bool(self.values or self.points or self.within or self.repeats)


def reading_of(line: str, heading: tuple[str, ...] = ()) -> Reading:
    """What a line says; `heading` names the parts in the columns of the table that it may be a row of."""
    if len(line) > LONGEST_LINE:
        return Reading()
    if found := DARKNET.match(line):
        values = [(name, found.span(group)) for group, name in enumerate(DARKNET_NAMES, 2)]
        return Reading(values, points=[("iteration", found.span(1))])
    text = blanked(line)
    if found := HEADING.search(text):
        return Reading(heading=tuple(short(part.strip()) for part in found[1].split("|")))
    if REPEATS.search(text):
        return Reading(repeats=True)
    if SUMMARY.search(text):
        return Reading()
    if heading and (found := TABLE_ROW.match(text)) and (reading := table_row(found, heading)):
        return reading
    return Scan(text).reading


def blanked(line: str) -> str:
    """A line of the same length, in which what wraps numbers is blank, and noise is delimiters."""
    if "(" in line:
        line = BLANKED.sub(lambda found: " " * len(found[0]), line)
    return NOISE.sub(lambda found: DELIMITER * len(found[0]), line)


def short(part: str) -> str:
    """The name of a part as it stands before a slash."""
    return SHORT[part[:3].lower()]


def table_row(found: re.Match, heading: tuple[str, ...]) -> Reading | None:
    """The row of a table with a column for each part: "loss | 0.365 | 0.560"."""
    numbers = list(re.finditer(r"[^|\s]+", found["cells"]))
    if len(numbers) != len(heading):
        return None
    key, at = key_of(found["key"])
    reading = Reading(keys=[(found.start("key") + at[0], found.start("key") + at[1])])
    for part, cell in zip(heading, numbers, strict=True):
        if number := NUMBER.fullmatch(cell[0]):
            start = found.start("cells") + cell.start()
            note(reading, named(part, key), (start, start + len(number["number"])), number["number"])
    return reading


def note(reading: Reading, name: str, span: Span, number: str) -> None:
    """Add a value, unless the line says it is missing."""
    word = number.lower().lstrip("+-")
    if word not in MISSING and all(name != other for other, _ in reading.values):
        reading.values.append((name, float(number) if word[0] in "ni" else span))


def named(part: str, key: str) -> str:
    """A key with its part before it, where it does not say that itself."""
    if not part or part_and_base(key)[0] or BARE_PART.fullmatch(key) or (part == "train" and role_of(key) == "hidden"):
        return key
    return f"{part}/{key}"


class Scan:
    """One pass over a line, from number to number; what is between two of them is the key of the second."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.reading = Reading()
        self.parts = [(found.end(), short(found["part"])) for found in PART.finditer(text)]
        self.weak: list[tuple[str, Span, str]] = []  # taken where the line says something surely
        self.unsure: list[tuple[str, Span, Span | None]] = []
        self.rest = ""  # what an x word left of the key before it: "loss at step 5: 0.1"
        self.end = 0  # of the number before, with all that belongs to it
        self.beginning()
        while found := NUMBER.search(text, self.end):
            self.number(found)
        self.decide()

    # -- the beginning of the line

    def beginning(self) -> None:
        """Take the x that stands in brackets or before a colon, without a word."""
        for pattern in (TWO_BRACKETS, EPOCH_AND_BATCH, BOOSTING, PROGRESS, N_OF_ALL):
            if found := pattern.search(self.text):
                self.end = found.end()
                break
        else:
            return
        if pattern is TWO_BRACKETS:
            self.take_x("epoch", found.span("n"), found.span("all"))
            self.take_within("iter", found.span("n2"), found.span("all2"))
        elif pattern is EPOCH_AND_BATCH:
            self.unsure.append(("epoch", found.span("n"), None))
            self.take_within("batch", found.span("n2"), None)
        elif pattern is BOOSTING:
            self.unsure.append(("iteration", found.span("n") if found["n"] else found.span("n2"), None))
        elif pattern is N_OF_ALL:
            self.unsure.append(("step", found.span("n"), found.span("all")))
        else:
            self.take_within("iter", found.span("n"), found.span("all"))

    # -- numbers

    def number(self, found: re.Match) -> None:
        """Take a number, with its key, its share of all, and what follows it in its list."""
        before, span = self.text[self.end : found.start()], found.span("number")
        start = self.end
        self.end = found.end()
        separator = SEPARATOR.search(before)
        key, at = key_of(before[: separator.start()])
        strong = bool(separator["sep"])
        if key and self.is_x(key, span, strong):
            return
        if strong and not key and self.rest:
            key, at, self.rest = self.rest, (0, 0), ""
        all_of = OF_ALL.match(self.text, self.end)
        if key and not ("(" in separator["open"] and not strong):
            self.value(key, span, found["number"], strong, "[" in separator["open"], all_of)
            self.reading.keys.append((start + at[0], start + at[1]))
        follows = all_of or AVERAGE.match(self.text, self.end)
        self.end = max(self.end, follows.end() if follows else 0)

    def value(self, key: str, span: Span, number: str, strong: bool, listed: bool, all_of: re.Match | None) -> None:
        """Take the value of a key, or all values of its list."""
        words = key.split()
        role = role_of(key)
        if len(key) > LONGEST_KEY or len(words) > (WORDS_OF_A_KEY if strong else WORDS_OF_A_WEAK_KEY):
            return
        if role == "other" and not is_telling(key):
            key += next((f" {what}" for what, unit in MEASURES if unit.fullmatch(self.text, span[1], self.end)), "")
        if not strong and not is_fit(key, role, number):
            return
        name = named(self.part(), key)
        if all_of:
            if role != "score":
                return
            self.reading.shares[name] = all_of.span("all")
        if listed and (more := self.listed()):
            for number_in_list, (each, text) in enumerate([(span, number), *more]):
                note(self.reading, f"{name}/{number_in_list}", each, text)
        elif strong or role in ("loss", "score"):
            note(self.reading, name, span, number)
        else:
            self.weak.append((name, span, number))

    def listed(self) -> list[tuple[Span, str]]:
        """The numbers that follow in the list."""
        more = []
        while found := LISTED.match(self.text, self.end):
            more.append((found.span("number"), found["number"]))
            self.end = found.end()
        return more

    def part(self) -> str:
        """The part that was named last."""
        return next((part for end, part in reversed(self.parts) if end <= self.end), "")

    # -- x words

    def is_x(self, key: str, span: Span, strong: bool) -> bool:
        """Take a number that an x word stands before."""
        found = X_WORD.search(key)
        if not found or not is_place(self.text[slice(*span)], found["word"]):
            return False
        before = key[: found.start()]
        lead = LEAD.match(before)
        if not lead and (strong or role_of(before.strip()) not in ("loss", "score")):
            return False
        if lead and lead["part"]:
            self.parts.append((self.end, short(lead["part"])))
        self.rest = "" if lead else JOINING.sub("", before).strip()
        self.end_of_x(found, span)
        return True

    def end_of_x(self, found: re.Match, span: Span) -> None:
        """Take an x, with its total and the x within it."""
        name = FULL_NAMES.get(found["word"].lower(), found["word"])
        if found["word"].lower() == "ep" and TELLING.search(self.text):
            name = "episode"
        all_of = OF_ALL.match(self.text, self.end)
        total = all_of.span("all") if all_of else None
        self.end = all_of.end() if all_of else self.end
        in_part = re.search(r"\((\w+)\)$", found[0])
        if in_part and in_part[1].lower()[:3] in SHORT:
            self.parts.append((self.end, short(in_part[1])))
        if name_of(name) == "batch" or (in_part and name_of(name) != "epoch" and self.part() != "train"):
            self.take_within(name, span, total)
        elif re.fullmatch(UNSURE_X, found["word"], re.IGNORECASE):
            self.unsure.append((name, span, total))
        else:
            self.take_x(name, span, total)
            if FAMILY_OF.get(name_of(name)) == "epoch" and (inner := WITHIN.match(self.text, self.end)):
                n, every = ("n", "all") if inner["n"] else ("n2", "all2")
                self.take_within("iter", inner.span(n), inner.span(every))
                self.end = inner.end()

    def take_x(self, name: str, span: Span, total: Span | None) -> None:
        """Note an x and its total; a line has one of each family."""
        family = FAMILY_OF.get(name_of(name), name)
        if any(FAMILY_OF.get(name_of(other), other) == family for other, _ in self.reading.points):
            return
        self.reading.points.append((name, span))
        if total:
            self.reading.totals.append((name, total))

    def take_within(self, name: str, span: Span, total: Span | None) -> None:
        """Note an x that begins anew with each epoch; that of a validation is its progress only."""
        if self.part() in ("", "train"):
            self.reading.within = self.reading.within or (name, span, total)
        elif total:
            self.reading.progress = (span, total)

    # -- the end of the line

    def decide(self) -> None:
        """Take what is weak or unsure, if the line says something else."""
        reading = self.reading
        telling = any(is_telling(name) for name, _ in reading.values) or any(is_telling(name) for name, *_ in self.weak)
        if reading.points or reading.within or telling:
            for name, span, number in self.weak:
                note(reading, name, span, number)
        if telling:
            for name, span, total in self.unsure:
                if not reading.points or name_of(name) not in FAMILIES["step"]:
                    self.take_x(name, span, total)
                elif total:
                    self.take_within(name, span, total)
                else:
                    note(reading, name, span, self.text[slice(*span)])
        if reading.within and not telling and not reading.within[2]:
            reading.within = None


def is_telling(name: str) -> bool:
    """Whether it is a loss, a score, a reward, or a part by itself, as in "train 3.70 val 3.64"."""
    return role_of(name) in ("loss", "score") or bool(TELLING.search(name) or BARE_PART.fullmatch(name))


def is_place(number: str, word: str) -> bool:
    """Whether a number may be an x: a whole one, or a part of an epoch."""
    return bool(INTEGER.match(number)) or (FAMILY_OF.get(name_of(word)) == "epoch" and not number[-1].isalpha())


def is_fit(key: str, role: str, number: str) -> bool:
    """Whether a weak key may be one: a loss or a score, or a single word before a number."""
    if PROSE.search(key):
        return False
    return role in ("loss", "score") or (not number[-1].isalpha() and (role == "hidden" or " " not in key))


def name_of(word: str) -> str:
    """An x word as the families know it."""
    return word.lower().replace(" ", "_")


def key_of(before: str) -> tuple[str, Span]:
    """The last of what may be a key, and where it is."""
    stripped = before.rstrip(" \t\"'`]")
    head = stripped if before[len(stripped) :].strip(" \t") else before.rstrip(" \t")
    start = SEGMENT.search(head).start()
    for cut in CUT.finditer(head, start):
        start = cut.end()
    key = head[start:].strip(STRIPPED)
    if found := list(NUMBERED.finditer(key)):
        key = key[found[-1].end() :].strip(STRIPPED)  # a file or a place in it, not a part of the name
    if key.count("(") < key.count(")"):
        key = key[key.rindex(")") + 1 :].strip(STRIPPED)
    at = head.rfind(key)
    return (" ".join(key.split()) if re.search(r"[^\W\d]|^#$", key) else ""), (at, at + len(key))
