"""Forms: a signature becomes fields, and texts become arguments."""

import collections
import dataclasses
import datetime
import enum
import functools
import inspect
import ipaddress
import math
import typing
import uuid
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Annotated, Any, Literal, Optional, Union

import matplotlib.colors  # noqa: F401 (colours and colormaps are looked up where matplotlib is loaded)
import numpy
import pandas
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import plotsrv

EMPTY = inspect.Parameter.empty
few = settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])


class Color(enum.Enum):
    RED = 1
    DARK_BLUE = "blue"


class Shape(enum.Enum):
    ROUND = 1
    FLAT = 2


@dataclasses.dataclass
class Optimizer:
    lr: float = 0.1
    steps: int = 10
    name: Literal["sgd", "adam"] = "sgd"


@dataclasses.dataclass
class Point:
    x: float
    y: float = 0.0


class bound(SimpleNamespace):
    """A hint as annotated_types or pydantic have them, known by its attributes alone."""

    __hash__ = object.__hash__


def plot(annotation: Any = EMPTY, default: Any = EMPTY, name: str = "x", doc: str = "") -> Callable:
    """A function of one parameter that returns what it was given."""
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    signature = inspect.Signature([inspect.Parameter(name, kind, default=default, annotation=annotation)])

    def function(*args, **kwargs):
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return bound.arguments[name]

    function.__signature__ = signature
    function.__annotations__ = {} if annotation is EMPTY else {name: annotation}
    function.__doc__ = doc
    return function


def field_of(annotation: Any = EMPTY, default: Any = EMPTY, name: str = "x", doc: str = "") -> plotsrv.Field:
    return plotsrv.form_of(plot(annotation, default, name, doc))[0].field


def fields_of(function: Callable) -> dict[str, plotsrv.Field]:
    return {entry.field.name: entry.field for entry in plotsrv.form_of(function)}


def read(annotation: Any, *texts: str, default: Any = EMPTY, name: str = "x", doc: str = "") -> Any:
    """What the function is called with where these texts are typed."""
    return plotsrv.bind_arguments(plot(annotation, default, name, doc), {name: texts})()


def called(function: Callable, **texts: str) -> Any:
    return plotsrv.bind_arguments(function, {name.replace("__", "."): (text,) for name, text in texts.items()})()


def errors_of(function: Callable, texts: Mapping[str, tuple[str, ...]]) -> Mapping[str, str]:
    with pytest.raises(plotsrv.FormErrors) as caught:
        plotsrv.bind_arguments(function, texts)
    return caught.value.errors


def error_of(annotation: Any, *texts: str, default: Any = EMPTY, name: str = "x") -> str:
    return errors_of(plot(annotation, default, name), {name: texts})[name]


def same(value: Any, expected: Any) -> bool:
    """Equal, and of the same type: True is not 1."""
    return value == expected and type(value) is type(expected)


# -- every form


def test_fields_stand_in_the_order_of_the_signature():
    """The form asks for what the function asks for, in its order."""
    assert list(fields_of(lambda b, a=1, *, c="x": None)) == ["b", "a", "c"]


def test_a_label_is_the_name_in_words():
    """Underscores of a name are blanks in its label."""
    assert field_of(int, 1, "batch_size").label == "batch size"


def test_a_parameter_without_default_is_required():
    """What has no default must be typed."""
    assert field_of(int).required
    assert not field_of(int, 1).required
    assert errors_of(plot(int), {}) == {"x": "required"}


def test_a_default_is_shown_and_left_to_the_function():
    """A field shows its default, and the function itself supplies it."""
    assert field_of(float, 1.5).texts == ("1.5",)
    assert plotsrv.bind_arguments(plot(float, 1.5), {})() == 1.5


def test_all_errors_come_at_once_each_with_its_field():
    """Every wrong field is told, not only the first."""

    def f(epochs: int, lr: float = 0.1, kind: Literal["a", "b"] = "a", *, needed: str):
        return locals()

    errors = errors_of(f, {"epochs": ("ten",), "lr": ("fast",), "kind": ("c",)})
    assert errors == {
        "epochs": "'ten' is not a whole number",
        "lr": "'fast' is not a number",
        "kind": "'c' is not one of a, b",
        "needed": "required",
    }


def test_a_long_wrong_text_is_cut_in_the_message():
    """The message quotes no more than the beginning of what was typed."""
    assert len(error_of(int, "z" * 5000)) < 120


def test_binding_does_not_call_the_plot():
    """The plot is called only when the bound call is."""
    calls = []

    def f(x: int = 1):
        calls.append(x)

    call = plotsrv.bind_arguments(f, {"x": ("2",)})
    assert calls == []
    call()
    assert calls == [2]


# -- the table: which control a kind has

CONTROLS = [
    (bool, True, "checkbox"),
    (int, 1, "number"),
    (float, 1.0, "text"),
    (complex, 1j, "text"),
    (str, "a", "text"),
    (str, "a\nb", "textarea"),
    (str, "a" * 61, "textarea"),
    (dict, {"a": 1}, "textarea"),
    (dict[str, int], {"a": 1}, "textarea"),
    (typing.Dict[str, int], {"a": 1}, "textarea"),  # noqa: UP006
    (Mapping[str, int], {"a": 1}, "textarea"),
    (Literal["a", "b"], "a", "radios"),
    (Literal[1, 2, 3, 4], 1, "radios"),
    (Literal[1, 2, 3, 4, 5], 1, "select"),
    (Color, Color.RED, "select"),
    (Path, Path("a.csv"), "text"),
    (list[int], [1], "text"),
    (list[int], [1, 2, 3, 4, 5, 6], "textarea"),
    (Sequence[float], (1.0,), "text"),
    (set[str], {"a"}, "text"),
    (tuple[int, ...], (1,), "text"),
    (tuple[int, str], (1, "a"), "group"),
    (set[Literal["a", "b"]], {"a"}, "checkboxes"),
    (list[Literal["a", "b"]], ["a"], "checkboxes"),
    (set[Color], {Color.RED}, "checkboxes"),
    (list[Path], [], "checkboxes"),
    (Optimizer, Optimizer(), "group"),
    (datetime.date, datetime.date(2024, 1, 2), "date"),
    (datetime.time, datetime.time(1, 2), "time"),
    (datetime.datetime, datetime.datetime(2024, 1, 2), "datetime-local"),
    (datetime.timedelta, datetime.timedelta(1), "text"),
    (pandas.Timestamp, pandas.Timestamp("2024-01-02"), "datetime-local"),
    (pandas.Timedelta, pandas.Timedelta("1h"), "text"),
    (numpy.int64, numpy.int64(1), "number"),
    (numpy.float64, numpy.float64(1), "text"),
    (numpy.bool_, numpy.bool_(True), "checkbox"),
    (numpy.dtype, numpy.dtype("float32"), "select"),
    (Decimal, Decimal("1.5"), "text"),
    (Fraction, Fraction(1, 2), "text"),
    (uuid.UUID, uuid.UUID(int=1), "text"),
    (ipaddress.IPv4Address, ipaddress.IPv4Address("1.2.3.4"), "text"),
    (ipaddress.IPv6Network, ipaddress.IPv6Network("::/64"), "text"),
    (range(0, 10), 1, "select"),
    (range(0, 1000), 1, "number"),
    (bool | None, None, "select"),
    (int | str, 1, "text"),
    (Annotated[str, "color"], "red", "text"),
    (Annotated[str, "color"], "#ff0000", "color"),
    (Annotated[str, "multiline"], "a", "textarea"),
    (Annotated[str, "secret"], "a", "none"),
    (Annotated[str, ["a", "b"]], "a", "select"),
    (Callable[[int], int], None, "none"),
    (ModuleType, math, "none"),
]


@pytest.mark.parametrize(("annotation", "default", "control"), CONTROLS, ids=lambda each: str(each)[:40])
def test_an_annotation_decides_the_control(annotation, default, control):
    """Each annotation of the table has its control."""
    assert field_of(annotation, default).control == control


UNANNOTATED = [row for row in CONTROLS if row[1] is not None and isinstance(row[0], type) and row[0] is type(row[1])]


@pytest.mark.parametrize(("annotation", "default", "control"), UNANNOTATED, ids=lambda each: str(each)[:40])
def test_without_annotation_the_type_of_the_default_decides(annotation, default, control):
    """x=1 is the same to the form as x: int = 1."""
    assert field_of(EMPTY, default).control == control


def test_an_annotation_goes_before_the_type_of_the_default():
    """x: float = 1 is a float."""
    assert same(read(float, "2", default=1), 2.0)


def test_any_leaves_the_decision_to_the_default():
    """Any says nothing, so the default speaks."""
    assert field_of(Any, 3).control == "number"


# -- int


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("7", 7),
        ("-7", -7),
        ("+7", 7),
        (" 7 ", 7),
        ("1_000", 1000),
        ("1e6", 10**6),
        ("1E+3", 1000),
        ("1.5e1", 15),
        ("007", 7),
        ("1e23", 10**23),
        ("9" * 256, int("9" * 256)),
    ],
)
def test_an_int_takes_what_people_type(text, value):
    """Underscores and an integral exponent are understood, and nothing is rounded."""
    assert same(read(int, text), value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ten",
        "1.5",
        "1.0",
        "1__0",
        "_1",
        "1_",
        "1e-1",
        "1.55e1",
        "0x10",
        "٣",
        "१२",
        "1 000",
        "1,000",
        "9" * 257,
        "nan",
    ],
)
def test_an_int_refuses_the_rest(text):
    """No other alphabet's digits, no fraction, no doubled underscore, at most 256 characters."""
    assert "is not a whole number" in error_of(int, text)


def test_an_int_field_has_the_keyboard_of_numbers():
    """The browser's own number field, in steps of one."""
    assert field_of(int, 1).attributes == {"inputmode": "numeric", "step": "1"}


def test_a_numpy_int_is_of_its_own_type_and_range():
    """np.int8 gives an np.int8, and 300 is too much for one."""
    assert same(read(numpy.int8, "30"), numpy.int8(30))
    assert "300" in error_of(numpy.int8, "300")


# -- float


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1.0),
        ("1e-4", 1e-4),
        (".5", 0.5),
        ("5.", 5.0),
        ("0,5", 0.5),
        ("1,25", 1.25),
        ("1,0000", 1.0),
        ("-1_000.5", -1000.5),
        ("1,5e3", 1500.0),
    ],
)
def test_a_float_takes_exponents_and_a_decimal_comma(text, value):
    """A comma before other than three digits is a decimal comma."""
    assert same(read(float, text), value)


@pytest.mark.parametrize("text", ["1,000", "0,500", "1,000,000", "1,000.5", "1.000,5", "1,000e3"])
def test_a_comma_that_could_group_thousands_is_refused(text):
    """Nobody knows whether 1,000 is one or a thousand."""
    assert "without a comma" in error_of(float, text)


@pytest.mark.parametrize("text", ["", "fast", "1__0", "٣.٥", "1 2", "0x1p3", "1" * 257])
def test_a_float_refuses_what_is_no_number(text):
    """The rest is no number."""
    assert "is not a number" in error_of(float, text)


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "Infinity", "1e999"])
def test_a_float_must_be_finite(text):
    """nan and inf are refused, an overflow too."""
    assert "finite" in error_of(float, text)


def test_a_default_of_inf_allows_inf_and_nan():
    """Where the default is one of them, they may be typed."""
    assert read(float, "-inf", default=math.inf) == -math.inf
    assert math.isnan(read(float, "nan", default=math.inf))
    assert read(float, "inf", default=math.nan) == math.inf


def test_a_float_field_is_text_with_the_decimal_keyboard():
    """A number field would not take 1e-4."""
    shown = field_of(float, 1e-4)
    assert (shown.control, shown.attributes["inputmode"], shown.texts) == ("text", "decimal", ("0.0001",))


@pytest.mark.parametrize(("default", "text"), [(1, "1"), (0.5, "0.5"), (numpy.float64(0.5), "0.5"), (1e300, "1e+300")])
def test_a_float_default_is_shown_as_people_write_it(default, text):
    """No np.float64(…) in a form."""
    assert field_of(float, default).texts == (text,)


# -- bool


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", True),
        ("true", True),
        ("True", True),
        ("on", True),
        ("YES", True),
        ("0", False),
        ("off", False),
        ("no", False),
    ],
)
def test_a_bool_is_read_by_its_own_words(text, value):
    """1, true, on, yes and their opposites, in any case."""
    assert read(bool, text) is value


def test_bool_of_the_text_False_is_False():
    """bool("False") is True in Python; a form must not fall into that trap."""
    assert read(bool, "False") is False
    assert read(EMPTY, "False", default=True) is False


def test_a_bool_default_of_True_can_be_switched_off():
    """A bool default of True can be switched off."""
    assert field_of(bool, True).texts == ("1",)
    assert read(bool, "0", default=True) is False


def test_a_word_that_is_neither_yes_nor_no_is_refused():
    """maybe is no bool."""
    assert error_of(bool, "maybe") == "'maybe' is not yes or no"


@pytest.mark.parametrize(("text", "value"), [("", None), ("1", True), ("0", False)])
def test_an_optional_bool_has_three_choices(text, value):
    """None, yes and no are chosen from a list."""
    assert [choice for choice, _ in field_of(bool | None, None).choices] == ["", "1", "0"]
    assert read(bool | None, text, default=None) is value


# -- str


def test_a_str_is_taken_letter_by_letter():
    """Blanks, quotes and digits stay as they are."""
    assert read(str, " 1_000 'x' ") == " 1_000 'x' "


def test_an_empty_text_is_an_empty_str():
    """Emptying a text field means the empty text, not the default."""
    assert field_of(str, "a").empty == "value"
    assert read(str, "", default="a") == ""


@pytest.mark.parametrize("text", ["a\nb", "a\rb", "a\x00b", "a\x1b[31m", "a\x7f", "a\x85", "a\udc80", "a" * 4097])
def test_a_line_of_text_has_no_control_characters(text):
    """One line, at most 4,096 characters, of which the tab alone is a control character."""
    assert "is not text" in error_of(str, text)


def test_a_text_of_several_lines_keeps_them():
    """In a textarea a line's end is \\n, whatever the browser sends."""
    assert read(str, "a\r\nb\n\tc", default="1\n2") == "a\nb\n\tc"
    assert read(Annotated[str, "multiline"], "a\r\nb") == "a\nb"


# -- choices


def test_a_literal_gives_the_typed_member():
    """A text becomes the member that looks like it, of the member's type."""
    kind = Literal[1, "two", True, None]
    assert [read(kind, text) for text in ("1", "two", "True", "None")] == [1, "two", True, None]


def test_members_of_a_literal_that_look_alike_are_told_apart_by_number():
    """Of Literal[1, "1"], text 0 is the first and text 1 the second."""
    shown = field_of(Literal[1, "1"], "1")
    assert [text for text, _ in shown.choices] == ["0", "1"]
    assert shown.texts == ("1",)
    assert same(read(Literal[1, "1"], "0"), 1)
    assert same(read(Literal[1, "1"], "1"), "1")


def test_an_enum_is_chosen_by_name():
    """Names are sent, and shown in words; values are the code's affair."""
    assert field_of(Color, Color.RED).choices == (("RED", "RED"), ("DARK_BLUE", "DARK BLUE"))
    assert read(Color, "DARK_BLUE") is Color.DARK_BLUE
    assert "is not one of" in error_of(Color, "blue")


@pytest.mark.parametrize("kind", [Literal["a", "b"], Color, Annotated[str, ["a", "b"]], range(3)], ids=str)
def test_what_is_not_among_the_choices_is_refused(kind):
    """A choice is checked by the server whatever the browser shows."""
    assert "99" in error_of(kind, "99")


def test_annotated_with_a_list_gives_choices():
    """Annotated[str, ["a", "b"]] is a choice; values keep their types."""
    assert field_of(Annotated[str, ["a", "b"]]).choices == (("a", "a"), ("b", "b"))
    assert same(read(Annotated[float, [0.1, 0.2]], "0.2"), 0.2)


def test_annotated_with_a_dict_gives_labelled_choices():
    """Annotated[int, {"few": 10}] shows few and gives 10."""
    shown = field_of(Annotated[int, {"few": 10, "many": 100}], 10)
    assert shown.choices == (("10", "few"), ("100", "many"))
    assert same(read(Annotated[int, {"few": 10, "many": 100}], "100"), 100)


def test_a_tuple_default_is_no_slider_and_a_list_default_no_choice():
    """What ipywidgets takes for a slider or for choices is a value here."""
    assert read(EMPTY, "4, 5", default=(0, 10)) == (4, 5)
    assert read(EMPTY, "c", default=["a", "b"]) == ["c"]
    assert field_of(EMPTY, ["a", "b"]).choices == ()


# -- files


def test_a_path_is_read_as_a_path():
    """A Path parameter gets a Path, whether the file is there or not."""
    assert same(read(Path, "runs/none.csv"), Path("runs/none.csv"))


@pytest.mark.parametrize("name", ["path", "file_path", "file", "log_file", "filename"])
def test_an_unannotated_file_name_is_handed_over_as_text(name):
    """The seed's file_path offers files, and the plot gets a str."""
    assert field_of(name=name).paths is not None
    assert same(read(EMPTY, "runs/a.csv", name=name), "runs/a.csv")


def test_an_annotated_str_is_no_file_whatever_its_name():
    """file_path: str is text."""
    assert field_of(str, name="file_path").paths is None


@pytest.mark.parametrize(
    ("annotation", "default", "name", "patterns"),
    [
        (Annotated[Path, plotsrv.Glob("logs/*.csv", "*.tsv")], EMPTY, "x", ("logs/*.csv", "*.tsv")),
        (Path, Path("logs/*.txt"), "x", ("logs/*.txt",)),
        (Path, Path("runs/a.jsonl"), "x", ("runs/*.jsonl",)),
        (Path, EMPTY, "csv_file", ("*.csv",)),
        (EMPTY, EMPTY, "log_path", ("*.log",)),
        (list[Annotated[Path, plotsrv.Glob("*.png")]], EMPTY, "x", ("*.png",)),
        (Annotated[list[Path], plotsrv.Glob("*.png")], EMPTY, "x", ("*.png",)),
        (Path | None, None, "csv_file", ("*.csv",)),
    ],
)
def test_the_files_offered_follow_glob_then_default_then_name(annotation, default, name, patterns):
    """Glob says it, else the default's own pattern, its folder and suffix, or a word of the name."""
    assert field_of(annotation, default, name).paths == patterns


def test_a_file_name_without_any_hint_offers_data_files():
    """Where nothing says which, the usual data files are offered."""
    assert "*.csv" in field_of(name="file_path").paths


@pytest.mark.parametrize("default", [Path("logs/*.csv"), Path("latest")])
def test_a_pattern_as_default_means_the_latest_file(default):
    """A default of logs/*.csv shows latest."""
    assert field_of(Path, default).texts == ("latest",)


# -- several values


@pytest.mark.parametrize(
    ("annotation", "text", "value"),
    [
        (list[int], "1, 2 3", [1, 2, 3]),
        (list[int], "1,2,", [1, 2]),
        (list[float], "1e-4 5", [1e-4, 5.0]),
        (list[str], 'a "b c" "say ""hi"""', ["a", "b c", 'say "hi"']),
        (list[str], '""', [""]),
        (list[bool], "yes no", [True, False]),
        (list, "1 a None", [1, "a", None]),
        (Sequence[int], "1 2", [1, 2]),
        (set[int], "1 2 2", {1, 2}),
        (frozenset[str], "a b", frozenset("ab")),
        (tuple[int, ...], "1 2", (1, 2)),
        (list[datetime.date], "2024-01-02 2024-01-03", [datetime.date(2024, 1, 2), datetime.date(2024, 1, 3)]),
        (list[int], "[]", []),
        (list[Annotated[int, range(10)]], "3 4", [3, 4]),
        (list[list[int]], '"1, 2" 3', [[1, 2], [3]]),
        (list[tuple[int, str]], '"1, a" "2, b"', [(1, "a"), (2, "b")]),
    ],
)
def test_a_list_is_one_text_separated_by_commas_or_blanks(annotation, text, value):
    """Quotes hold together what contains a separator."""
    assert same(read(annotation, text), value)


def test_the_message_about_a_list_names_the_item():
    """Which of the items is wrong is told."""
    assert error_of(list[int], "1, two, 3") == "item 2: 'two' is not a whole number"


def test_quotes_of_a_list_must_match():
    """A lone quote is an error, with what to write instead."""
    assert "quotes" in error_of(list[str], 'a "b')


def test_checkboxes_give_each_item():
    """Several values come as several texts; no value but the hidden marker is the empty list."""
    kind = list[Literal["a", "b", "c"]]
    assert read(kind, "a", "c") == ["a", "c"]
    assert plotsrv.bind_arguments(plot(kind, ["a"]), {"x": ()})() == []
    assert read(set[Color], "RED") == {Color.RED}
    assert read(list[Path], "a.csv", "b.csv") == [Path("a.csv"), Path("b.csv")]
    assert error_of(kind, "a", "z") == "item 2: 'z' is not one of a, b, c"


def test_a_list_of_annotated_choices_is_a_list_of_checkboxes():
    """list[Annotated[str, ["a", "b"]]] is as good as list[Literal["a", "b"]]."""
    kind = list[Annotated[str, ["a", "b"]]]
    assert field_of(kind, ["a"]).control == "checkboxes"
    assert read(kind, "a", "b") == ["a", "b"]


def test_checkboxes_without_default_are_not_required():
    """None checked is an answer."""
    assert not field_of(set[Color]).required
    assert plotsrv.bind_arguments(plot(set[Color]), {})() == set()


def test_an_unannotated_list_takes_the_type_of_its_items():
    """x=[1, 2] is a list of whole numbers."""
    assert error_of(EMPTY, "1, b", default=[1, 2]) == "item 2: 'b' is not a whole number"
    assert read(EMPTY, "1, b", default=[1, "a"]) == [1, "b"]


@pytest.mark.parametrize("default", [(1, 2), [1, 2]])
def test_an_unannotated_sequence_keeps_its_type(default):
    """A tuple stays a tuple."""
    assert same(read(EMPTY, "3", default=default), type(default)([3]))


def test_a_default_of_a_type_derived_from_tuple_is_shown():
    """A namedtuple as default is no reason to refuse the plot."""
    size = collections.namedtuple("size", "width height")(3, 4)
    assert plotsrv.bind_arguments(plot(EMPTY, size), {})() == size


# -- groups


def test_a_fixed_tuple_is_a_group_of_fields():
    """tuple[int, str] asks for x.0 and x.1."""
    shown = field_of(tuple[int, str], (1, "a"))
    assert [(part.name, part.control, part.texts) for part in shown.parts] == [
        ("x.0", "number", ("1",)),
        ("x.1", "text", ("a",)),
    ]
    function = plot(tuple[int, str], (1, "a"))
    assert called(function, x__0="5", x__1="b") == (5, "b")
    assert called(function, x__1="b") == (1, "b")
    assert plotsrv.bind_arguments(function, {})() == (1, "a")
    assert errors_of(function, {"x.0": ("no",)}) == {"x.0": "'no' is not a whole number"}


def test_a_fixed_tuple_without_default_requires_each_of_its_fields():
    """Which of the parts is missing is told."""
    assert all(part.required for part in field_of(tuple[int, int]).parts)
    assert errors_of(plot(tuple[int, int]), {"x.1": ("5",)}) == {"x.0": "required"}


@pytest.mark.parametrize(
    ("annotation", "default"),
    [
        (tuple[int, int], None),
        (tuple[int, int] | None, None),
        (Optional[tuple[int, int]], None),  # noqa: UP045
        (tuple[float, float], [8, 6]),
        (Point, None),
        (Point | None, None),
        (Point, {"x": 1}),
    ],
)
def test_a_group_with_a_default_requires_none_of_its_fields(annotation, default):
    """A group that may be left out asks for nothing."""
    assert not any(part.required for part in field_of(annotation, default).parts)
    assert plotsrv.bind_arguments(plot(annotation, default), {})() == default


def test_a_group_that_may_be_none_is_asked_for_as_a_whole_once_begun():
    """Half a pair is an error beside the missing half."""
    assert errors_of(plot(tuple[int, int] | None, None), {"x.1": ("5",)}) == {"x.0": "required"}


def test_a_dataclass_is_a_group_with_a_field_for_each_of_its_own():
    """cfg: Optimizer asks for cfg.lr, cfg.steps and cfg.name."""
    shown = field_of(Optimizer, Optimizer(lr=0.5), "cfg")
    assert [(part.name, part.label, part.texts) for part in shown.parts] == [
        ("cfg.lr", "lr", ("0.5",)),
        ("cfg.steps", "steps", ("10",)),
        ("cfg.name", "name", ("sgd",)),
    ]
    function = plot(Optimizer, Optimizer(lr=0.5), "cfg")
    assert called(function, cfg__steps="3", cfg__name="adam") == Optimizer(0.5, 3, "adam")
    assert errors_of(function, {"cfg.lr": ("x",), "cfg.name": ("y",)}).keys() == {"cfg.lr", "cfg.name"}


def test_a_dataclass_without_default_requires_what_it_requires():
    """Point needs an x, and has a y."""
    assert errors_of(plot(Point), {}) == {"x.x": "required"}
    assert called(plot(Point), x__x="1") == Point(1.0)


def test_groups_nest():
    """A dataclass within a dataclass, a pair within that."""

    @dataclasses.dataclass
    class Run:
        optimizer: Optimizer = dataclasses.field(default_factory=Optimizer)
        size: tuple[int, int] = (3, 4)

    names = [leaf.name for leaf in plotsrv.leaves([field_of(Run, Run(), "run")])]
    assert names == ["run.optimizer.lr", "run.optimizer.steps", "run.optimizer.name", "run.size.0", "run.size.1"]
    assert called(plot(Run, Run(), "run"), run__optimizer__lr="1", run__size__1="9") == Run(Optimizer(1.0), (3, 9))


def test_a_dataclass_whose_annotations_cannot_be_resolved_is_asked_for_as_text():
    """One unknown name does not cost the plot its page."""

    @dataclasses.dataclass
    class Odd:
        lr: "NoSuchType" = 3  # noqa: F821
        steps: "int" = 4

    parts = {part.label: part for part in field_of(Odd, Odd()).parts}
    assert parts["lr"].note == "type NoSuchType: given as text"
    assert parts["steps"].control == "number"


# -- dict


def test_a_dict_is_written_as_json():
    """A JSON object becomes a dict."""
    assert field_of(dict, {"a": [1, None]}).texts == ('{"a": [1, null]}',)
    assert read(dict, '{"a": {"b": 1.5}}') == {"a": {"b": 1.5}}


@pytest.mark.parametrize("text", ["[1]", "{", "1", "{'a': 1}", '{"a":' + "[" * 5000])
def test_a_dict_refuses_what_is_no_json_object(text):
    """An array, a number, half an object, or a tower of brackets is none."""
    assert "is not a JSON object" in error_of(dict, text)


@pytest.mark.parametrize("annotation", [dict[str, int], typing.Dict[str, int], Mapping[str, int]], ids=str)  # noqa: UP006
def test_every_way_to_write_dict_is_a_dict(annotation):
    """dict[...], typing.Dict[...] and Mapping[...] are the same."""
    assert read(annotation, '{"a": 1}') == {"a": 1}


# -- ranges and bounds

RANGES = {
    "as the annotation": (range(0, 101, 5), 10),
    "within Annotated": (Annotated[int, range(0, 101, 5)], 10),
    "as the default": (EMPTY, range(0, 101, 5)),
}


@pytest.mark.parametrize(("annotation", "default"), RANGES.values(), ids=RANGES)
def test_a_range_bounds_a_whole_number(annotation, default):
    """Whichever way it is written, a range gives min, max and step, and is checked."""
    shown = field_of(annotation, default)
    assert {name: shown.attributes[name] for name in ("min", "max", "step")} == {"min": "0", "max": "100", "step": "5"}
    assert shown.allowed == "0 … 100"
    assert same(read(annotation, "15", default=default), 15)
    assert error_of(annotation, "7", default=default) == "'7' is not one of 0, 5 … 100"
    assert error_of(annotation, "105", default=default) == "'105' is not one of 0, 5 … 100"


def test_a_range_as_default_starts_with_its_first():
    """Where nothing is typed, the plot gets the first number, not the range."""
    assert field_of(EMPTY, range(5, 50)).texts == ("5",)
    assert plotsrv.bind_arguments(plot(EMPTY, range(5, 50)), {})() == 5


def test_an_empty_range_refuses_everything():
    """range(5, 5) has no number in it."""
    assert "'3'" in error_of(range(5, 5), "3")


@pytest.mark.parametrize(("values", "control", "offered"), [(12, "select", 12), (13, "number", 13), (201, "number", 0)])
def test_few_numbers_are_chosen_from_a_list(values, control, offered):
    """Up to 12 are a list to choose from, up to 200 are suggested."""
    shown = field_of(range(values), 0)
    assert (shown.control, len(shown.choices)) == (control, offered)


@pytest.mark.parametrize(
    ("annotation", "good", "bad", "message"),
    [
        (Annotated[int, bound(ge=0)], "0", "-1", "is below 0"),
        (Annotated[int, bound(gt=0)], "1", "0", "is not above 0"),
        (Annotated[float, bound(le=1)], "1", "1.1", "is above 1"),
        (Annotated[float, bound(lt=1)], "0.9", "1", "is not below 1"),
        (Annotated[float, bound(gt=0, ge=None, lt=None, le=1)], "1", "0", "is not above 0"),
        (Annotated[int, bound(multiple_of=5)], "10", "11", "is not a multiple of 5"),
        (Annotated[int, bound(multiple_of=10)], str(10**17), str(10**17 + 1), "is not a multiple of 10"),
        (Annotated[float, bound(multiple_of=0.1)], "0.3", "0.35", "is not a multiple of 0.1"),
        (Annotated[str, bound(min_length=2)], "ab", "a", "is shorter than 2"),
        (Annotated[str, bound(max_length=2)], "ab", "abc", "is longer than 2"),
        (Annotated[str, bound(pattern="[a-z]+")], "ab", "Ab", "does not match [a-z]+"),
        (Annotated[str, bound(func=str.islower)], "ab", "Ab", "is refused by islower"),
        (Annotated[list[int], bound(min_length=2, max_length=3)], "1 2", "1", "this list is shorter than 2"),
        (list[Annotated[int, bound(ge=0)]], "0 1", "0 -1", "item 2: '-1' is below 0"),
        (Annotated[datetime.datetime, bound(tz=...)], "2024-01-01T00:00+00:00", "2024-01-01T00:00", "time zone"),
        (Annotated[int | None, bound(ge=0)], "", "-1", "is below 0"),
        (Annotated[int, SimpleNamespace(metadata=[bound(ge=0), bound(le=9)])], "9", "10", "'10' is "),
        (Annotated[Decimal, bound(ge=0)], "0.5", "-1", "is below 0"),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_a_bound_is_checked_and_named_in_the_message(annotation, good, bad, message):
    """What annotated_types and pydantic write is read without importing them."""
    read(annotation, good)
    assert message in error_of(annotation, bad)


def test_bounds_that_come_as_a_group_are_taken_apart():
    """annotated_types' GroupedMetadata is iterated over."""

    class Grouped:
        __is_annotated_types_grouped_metadata__ = True

        def __iter__(self):
            return iter([bound(ge=0), bound(le=9)])

    assert read(Annotated[int, Grouped()], "9") == 9
    assert "-5" in error_of(Annotated[int, Grouped()], "-5")


@pytest.mark.parametrize(
    ("hints", "attributes"),
    [
        ([bound(ge=0), bound(le=99)], {"min": "0", "max": "99", "step": "1"}),
        ([bound(gt=0), bound(lt=99)], {"min": "1", "max": "98", "step": "1"}),
        ([bound(gt=0)], {"min": "1", "step": "1"}),
        ([bound(lt=9)], {"max": "8", "step": "1"}),
        ([bound(ge=0), bound(le=99), bound(multiple_of=5)], {"min": "0", "max": "95", "step": "5"}),
        ([bound(ge=3), bound(multiple_of=5)], {"min": "5", "step": "5"}),  # browsers count steps from min
    ],
    ids=str,
)
def test_the_browser_is_told_the_bounds_of_a_whole_number(hints, attributes):
    """min, max and step let through exactly what the server takes."""
    assert field_of(Annotated[(int, *hints)], 5).attributes == {"inputmode": "numeric", **attributes}


def test_a_bounded_float_shows_its_range_in_words():
    """A text field has no min and max, so they stand beside it."""
    shown = field_of(Annotated[float, bound(ge=0, le=1)], 0.5)
    assert (shown.control, shown.allowed) == ("text", "0 … 1")
    assert "min" not in shown.attributes


def test_the_browser_is_told_the_length_and_pattern_of_a_text():
    """minlength, maxlength and pattern are the browser's own checks."""
    shown = field_of(Annotated[str, bound(min_length=2, max_length=9, pattern="[a-z]+")])
    assert shown.attributes == {"minlength": "2", "maxlength": "9", "pattern": "[a-z]+"}


@pytest.mark.parametrize("hint", ["between the peaks", SimpleNamespace(documentation="between the peaks")])
def test_text_within_annotated_is_help(hint):
    """A plain string or typing's Doc is shown beside the field."""
    shown = field_of(Annotated[int, hint], 1)
    assert "between the peaks" in (shown.help, shown.note)


# -- time

NOW = datetime.datetime.now
NEAR = datetime.timedelta(minutes=1)


@pytest.mark.parametrize("text", ["2024-01-02T03:04:05", "2024-01-02 03:04:05", "2024-01-02T03:04:05+02:00"])
def test_a_datetime_is_read_as_iso_8601(text):
    """With or without the T, and with an offset."""
    assert read(datetime.datetime, text) == datetime.datetime.fromisoformat(text)


@pytest.mark.parametrize(
    ("text", "ago"), [("now", {}), ("NOW", {}), ("-2h", {"hours": 2}), ("-1d", {"days": 1}), ("+30m", {"minutes": -30})]
)
def test_a_datetime_may_be_counted_from_now(text, ago):
    """now, two hours ago, in half an hour."""
    assert abs(read(datetime.datetime, text) - (NOW() - datetime.timedelta(**ago))) < NEAR


def test_today_is_its_midnight():
    """today is a date, and as a datetime the beginning of that day."""
    value = read(datetime.datetime, "today")
    assert (value.hour, value.minute, value.second) == (0, 0, 0)
    assert abs(value - NOW()) < datetime.timedelta(days=1) + NEAR
    assert isinstance(read(datetime.date, "today"), datetime.date)


@pytest.mark.parametrize(
    ("annotation", "text", "value"),
    [
        (datetime.date, "2024-02-29", datetime.date(2024, 2, 29)),
        (datetime.time, "12:30", datetime.time(12, 30)),
        (datetime.time, "12:30:15.5", datetime.time(12, 30, 15, 500000)),
        (datetime.timedelta, "90", datetime.timedelta(seconds=90)),
        (datetime.timedelta, "1:30:00", datetime.timedelta(hours=1, minutes=30)),
        (datetime.timedelta, "1h30m", datetime.timedelta(hours=1, minutes=30)),
        (datetime.timedelta, "1h 30 min", datetime.timedelta(hours=1, minutes=30)),
        (datetime.timedelta, "2d", datetime.timedelta(days=2)),
        (datetime.timedelta, "-1.5s", datetime.timedelta(seconds=-1.5)),
        (datetime.timedelta, "250ms", datetime.timedelta(milliseconds=250)),
        (pandas.Timestamp, "2024-01-02T03:04", pandas.Timestamp("2024-01-02 03:04")),
        (pandas.Timedelta, "1h30m", pandas.Timedelta("1h30m")),
    ],
    ids=str,
)
def test_dates_times_and_durations_are_read(annotation, text, value):
    """As the browser's controls send them, and as people write them."""
    assert same(read(annotation, text), value)


@pytest.mark.parametrize(
    ("annotation", "text"),
    [
        (datetime.date, "2024-02-30"),
        (datetime.date, "2024-01-02T00:00"),
        (datetime.date, "tomorrow"),
        (datetime.time, "25:00"),
        (datetime.datetime, "noon"),
        (datetime.datetime, "-99999999d"),
        (datetime.datetime, ""),
        (datetime.timedelta, "1h30"),
        (datetime.timedelta, "1 week"),
        (datetime.timedelta, "9999999999d"),
        (pandas.Timestamp, "noon"),
    ],
    ids=str,
)
def test_what_is_no_date_time_or_duration_is_refused(annotation, text):
    """Overflows too are an error beside the field."""
    assert " is not a d" in error_of(annotation, text) or " is not a t" in error_of(annotation, text)


def test_time_controls_go_by_seconds():
    """Without a step the browser would refuse seconds."""
    assert field_of(datetime.time, datetime.time(1)).attributes["step"] == "1"
    assert field_of(datetime.datetime, datetime.datetime(2024, 1, 1)).attributes["step"] == "1"


# -- colours and matplotlib's names


@pytest.mark.parametrize(
    ("annotation", "default", "name", "control"),
    [
        (Annotated[str, "color"], EMPTY, "x", "text"),
        (Annotated[str, "colour"], "tab:red", "x", "text"),
        (str, "red", "line_color", "text"),
        (EMPTY, "red", "colour", "text"),
        (EMPTY, "#FF0000", "x", "color"),
        (str, "#ff0000", "color", "color"),
        (str | None, None, "color", "text"),
    ],
)
def test_a_colour_is_known_by_hint_name_or_default(annotation, default, name, control):
    """A #rrggbb default gets the browser's picker, others a text with the names suggested."""
    shown = field_of(annotation, default, name)
    assert shown.control == control
    assert read(annotation, "tab:blue", default=default, name=name) == "tab:blue"
    assert error_of(annotation, "reddish", default=default, name=name) == "'reddish' is not a colour"
    assert control == "color" or ("tab:red", "tab:red") in shown.choices


def test_a_picked_colour_is_shown_in_lower_case():
    """Browsers know colours in lower case only."""
    assert field_of(EMPTY, "#FF00aa").texts == ("#ff00aa",)


@pytest.mark.parametrize(
    ("name", "default", "other"),
    [
        ("cmap", "viridis", "magma"),
        ("cmap", "viridis", "viridis_r"),
        ("colormap", "magma", "jet"),
        ("marker", "o", "^"),
        ("linestyle", "-", "--"),
    ],
)
def test_colormap_marker_and_linestyle_are_chosen_from_matplotlibs(name, default, other):
    """Known by the parameter's name, where its default is one."""
    assert field_of(EMPTY, default, name).control == "select"
    assert read(EMPTY, other, default=default, name=name) == other
    assert "is not one of" in error_of(EMPTY, "no such", default=default, name=name)


# -- other types


@pytest.mark.parametrize(
    ("annotation", "text", "value"),
    [
        (Decimal, "1.50", Decimal("1.50")),
        (Fraction, "3/4", Fraction(3, 4)),
        (complex, "1+2j", 1 + 2j),
        (uuid.UUID, "12345678-1234-5678-1234-567812345678", uuid.UUID("12345678" * 4)),
        (ipaddress.IPv4Address, "1.2.3.4", ipaddress.IPv4Address("1.2.3.4")),
        (ipaddress.IPv6Network, "::/64", ipaddress.IPv6Network("::/64")),
        (numpy.dtype, "int16", numpy.dtype("int16")),
        (numpy.float32, "0.5", numpy.float32(0.5)),
    ],
    ids=str,
)
def test_numbers_addresses_and_types_are_made_by_their_own_constructor(annotation, text, value):
    """The plot gets a Decimal, not its text."""
    assert read(annotation, text) == value
    assert isinstance(read(annotation, text), annotation)


@pytest.mark.parametrize(
    ("annotation", "text"),
    [
        (Decimal, "x"),
        (Fraction, "1/0"),
        (Fraction, "1e9999999"),
        (Decimal, "nan"),
        (Decimal, "sNaN"),
        (Annotated[Decimal, bound(ge=0)], "inf"),
        (complex, "1+"),
        (uuid.UUID, "12"),
        (ipaddress.IPv4Address, "1.2.3"),
        (numpy.dtype, "x"),
    ],
    ids=str,
)
def test_what_their_constructor_refuses_is_an_error_beside_the_field(annotation, text):
    """A division by zero too, and a fraction that would fill the memory."""
    assert repr(text) in error_of(annotation, text)


def test_an_unknown_type_is_given_the_text():
    """A class of the user's own is called with the text, and a note says so."""

    class Version:
        def __init__(self, text):
            self.parts = tuple(map(int, text.split(".")))

    shown = field_of(Version)
    assert (shown.control, shown.note) == ("text", "type Version: given as text")
    assert read(Version, "1.2").parts == (1, 2)
    assert error_of(Version, "one") == "'one' is not a Version"


@pytest.mark.parametrize(
    "annotation", ["NoSuchType", "list[NoSuchType]", "not a type", [1, 2], {"a": 1}, ("help", "option"), 5]
)
def test_an_annotation_that_is_no_type_is_given_as_text(annotation):
    """Text that cannot be resolved, a list or a tuple is never a reason to refuse the plot."""
    assert "given as text" in field_of(annotation, "a").note
    assert read(annotation, "b", default="a") == "b"


def test_annotations_written_as_text_are_resolved():
    """from __future__ import annotations changes nothing; one that fails does not spoil the others."""

    def f(
        a: "int" = 1,
        b: "NoSuchType" = 2,  # noqa: F821
        c: "Annotated[float, bound(ge=0)]" = 3.0,
        d: "Path | None" = None,
    ):
        return a, b, c, d

    shown = fields_of(f)
    assert [shown[name].control for name in "abcd"] == ["number", "text", "text", "text"]
    assert shown["d"].paths is not None
    assert called(f, a="5", c="1", d="x.csv") == (5, 2, 1.0, Path("x.csv"))
    assert "c" in errors_of(f, {"c": ("-1",)})


@pytest.mark.parametrize("alias", [typing.NewType("Epochs", int), typing.TypeVar("T", bound=int)], ids=str)
def test_a_new_type_is_read_as_what_it_stands_for(alias):
    """NewType and a bound TypeVar are seen through."""
    assert same(read(alias, "1_0"), 10)


# -- None and unions


@pytest.mark.parametrize(
    ("annotation", "text", "value"),
    [
        (int | None, "5", 5),
        (Optional[float], "0,5", 0.5),  # noqa: UP045
        (str | None, "a", "a"),
        (Path | None, "a.csv", Path("a.csv")),
        (Color | None, "RED", Color.RED),
        (Literal["a", "b"] | None, "b", "b"),
        (datetime.date | None, "2024-01-02", datetime.date(2024, 1, 2)),
        (list[int] | None, "1 2", [1, 2]),
        (int, "5", 5),
    ],
    ids=str,
)
def test_an_empty_field_is_none_where_that_is_allowed(annotation, text, value):
    """Optional, or a default of None: empty is None."""
    shown = field_of(annotation, None)
    assert (shown.texts, shown.empty, shown.required) == (("",), "value", False)
    assert same(read(annotation, text, default=None), value)
    assert read(annotation, "", default=None) is None


def test_an_optional_field_says_none_where_it_is_empty():
    """The placeholder of an empty field is none; of a list to choose from, none is the first."""
    assert field_of(int | None, None).attributes["placeholder"] == "none"
    assert field_of(Color | None, None).choices[0] == ("", "none")


def test_an_optional_list_can_be_empty_without_being_none():
    """[] is the empty list, nothing is None."""
    assert read(list[int] | None, "[]", default=None) == []


@pytest.mark.parametrize(
    ("annotation", "text", "value"),
    [
        (int | str, "5", 5),
        (str | int, "5", 5),
        (int | str, "abc", "abc"),
        (float | int, "5", 5),
        (int | float, "5.5", 5.5),
        (bool | int, "yes", True),
        (bool | float, "2", 2.0),
        (str | Path, "a.csv", Path("a.csv")),
        (datetime.date | datetime.datetime, "2024-01-02", datetime.date(2024, 1, 2)),
        (datetime.datetime | datetime.date, "2024-01-02T00:00:00", datetime.datetime(2024, 1, 2)),
        (Literal["auto"] | float, "auto", "auto"),
        (Literal["auto"] | float, "0.5", 0.5),
        (Union[int, str, None], "", None),  # noqa: UP007
        (int | list[int], "5", 5),
        (int | list[int], "1, 2", [1, 2]),
        (list[int] | None | int, "1, 2", [1, 2]),
        (float | tuple[float, float], "5", 5.0),
        (float | tuple[float, float], "1, 2", (1.0, 2.0)),
    ],
    ids=str,
)
def test_a_union_is_read_as_the_strictest_member_that_takes_it(annotation, text, value):
    """bool before int before float before date before Path before str, whatever their order."""
    assert same(read(annotation, text), value)


def test_a_union_of_choices_is_one_list():
    """Literal | Enum and two Enums are merged."""
    shown = field_of(Literal["auto"] | Color, "auto")
    assert (shown.control, [text for text, _ in shown.choices]) == ("select", ["auto", "RED", "DARK_BLUE"])
    assert read(Color | Shape, "FLAT") is Shape.FLAT


def test_a_union_tells_what_each_member_says():
    """All the reasons are given."""
    message = error_of(int | datetime.date, "soon")
    assert "a whole number" in message and "a date" in message


# -- no annotation and no default


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5", 5),
        ("-5", -5),
        ("1_000", 1000),
        ("0.5", 0.5),
        ("1e6", 1e6),
        ("1e-4", 1e-4),
        ("True", True),
        ("False", False),
        ("None", None),
        ("true", "true"),
        ("Sheet 1", "Sheet 1"),
        ("0,5", "0,5"),
        ("007", "007"),
        ("nan", "nan"),
        ("inf", "inf"),
        ("1__0", "1__0"),
        ("٣", "٣"),
    ],
)
def test_an_unannotated_none_is_read_as_python_would(text, value):
    """Numbers, True, False and None as Python writes them; the rest is text."""
    assert same(read(EMPTY, text, default=None), value)


def test_an_unannotated_none_shows_an_empty_field():
    """sheet_name=None is an empty text field."""
    shown = field_of(EMPTY, None, "sheet_name")
    assert (shown.control, shown.texts, shown.required) == ("text", ("",), False)
    assert read(EMPTY, "", default=None) is None


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        ("n_bins", "numeric"),
        ("batch_size", "numeric"),
        ("epochs", "numeric"),
        ("lr", "decimal"),
        ("dropout_rate", "decimal"),
    ],
)
def test_a_name_chooses_the_keyboard_only(name, mode):
    """epochs without a type brings up digits, and still takes text."""
    shown = field_of(name=name)
    assert (shown.control, shown.attributes["inputmode"]) == ("text", mode)
    assert read(EMPTY, "all", name=name) == "all"


def test_a_callable_default_is_shown_as_auto():
    """A default that is computed at the call has no text to show."""
    shown = field_of(EMPTY, math.sin)
    assert (shown.texts, shown.attributes["placeholder"], shown.required) == (("",), "auto", False)
    assert plotsrv.bind_arguments(plot(EMPTY, math.sin), {})() is math.sin


@pytest.mark.parametrize(
    "default", [object(), slice(1, 2), numpy.array([1, 2]), pandas.DataFrame(), b"abc", numpy.float32]
)
def test_a_default_of_any_other_type_is_no_reason_to_refuse_the_plot(default):
    """The form shows what it can, and the plot gets its own default."""
    assert plotsrv.bind_arguments(plot(EMPTY, default), {})() is default


def test_a_default_of_another_type_than_its_annotation_is_shown_as_it_is():
    """x: int = "auto" shows auto and calls with it."""
    assert field_of(int, "auto").texts == ("auto",)
    assert plotsrv.bind_arguments(plot(int, "auto"), {})() == "auto"


# -- what is not shown


@pytest.mark.parametrize(
    ("annotation", "name"),
    [(EMPTY, "password"), (str, "token"), (str | None, "api_key"), (str, "hf_token"), (Annotated[str, "secret"], "x")],
    ids=str,
)
def test_a_secret_is_never_shown(annotation, name, monkeypatch):
    """No field, no default in it, and what a URL says is not heard."""
    monkeypatch.delenv(name.upper(), raising=False)
    shown = field_of(annotation, "hunter2", name)
    assert shown.control == "none"
    assert list(plotsrv.leaves([shown])) == []
    assert "hunter2" not in str(shown)
    assert read(annotation, "typed", default="hunter2", name=name) == "hunter2"


def test_a_secret_type_is_never_shown():
    """SecretStr, pydantic's or anybody's, is a secret under any name."""
    secret = type("SecretStr", (), {"__init__": lambda self, text: None})
    assert field_of(secret, name="key").control == "none"


def test_a_secret_comes_from_the_environment(monkeypatch):
    """The environment variable of its name in capitals goes before the default."""
    monkeypatch.setenv("HF_TOKEN", "from outside")
    assert plotsrv.bind_arguments(plot(str, "default", "hf_token"), {})() == "from outside"


def test_a_secret_without_a_value_says_which_variable_to_set(monkeypatch):
    """The message names the variable."""
    monkeypatch.delenv("HF_TOKEN", raising=False)
    assert "HF_TOKEN" in errors_of(plot(str, name="hf_token"), {})["hf_token"]


def test_a_secret_within_a_dataclass_is_never_shown(monkeypatch):
    """Also cfg.token has no field, and comes from TOKEN."""

    @dataclasses.dataclass
    class Login:
        user: str = "me"
        token: str = "hunter2"

    monkeypatch.delenv("TOKEN", raising=False)
    shown = field_of(Login, Login(), "cfg")
    assert [leaf.name for leaf in plotsrv.leaves([shown])] == ["cfg.user"]
    assert "hunter2" not in str(shown.as_dict())
    assert called(plot(Login, Login(), "cfg"), cfg__user="you") == Login("you", "hunter2")
    monkeypatch.setenv("TOKEN", "from outside")
    assert called(plot(Login, Login(), "cfg"), cfg__user="you") == Login("you", "from outside")


def test_names_within_a_group_tell_as_much_as_others():
    """color within a dataclass is a colour, and csv_file offers CSV files."""

    @dataclasses.dataclass
    class Style:
        color: str = "#ff0000"
        cmap: str = "viridis"
        csv_file: Path | None = None

    color, cmap, file = field_of(Style, Style(), "style").parts
    assert (color.control, cmap.control, file.paths) == ("color", "select", ("*.csv",))


def test_a_callable_without_default_cannot_be_asked_for():
    """The message says what to do in the code."""
    assert "default in the code" in errors_of(plot(Callable[[int], int], name="f"), {})["f"]


@pytest.mark.parametrize("name", ["fig", "figure", "ax", "axes"])
@pytest.mark.parametrize("default", [EMPTY, None], ids=["without default", "default None"])
def test_figure_and_axes_are_handed_over_fresh(name, default):
    """fig and ax are not asked for: a new figure or Axes is made for each call."""
    from matplotlib import pyplot

    function = plot(EMPTY, default, name)
    assert field_of(EMPTY, default, name).control == "none"
    first, second = (plotsrv.bind_arguments(function, {})() for _ in range(2))
    pyplot.close("all")
    assert first is not second
    assert type(first).__name__ == ("Figure" if name.startswith("fig") else "Axes")


def test_figure_and_axes_are_known_by_annotation():
    """canvas: Axes is handed over as ax is, and both of a pair belong together."""
    from matplotlib import pyplot
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    def f(canvas: Axes, whole: Figure, n: int = 1, other: Axes | None = None):
        return canvas, whole, n

    assert [field.control for field in fields_of(f).values()] == ["none", "none", "number", "none"]
    canvas, whole, n = called(f, n="3")
    pyplot.close("all")
    assert (canvas.figure, n) == (whole, 3)


# -- every kind of parameter


def test_positional_only_and_keyword_only_parameters_are_bound():
    """However the function wants to be called, it is."""

    def f(a: int, b: int = 2, /, c: int = 3, *, d: int = 4):
        return a, b, c, d

    assert called(f, a="1") == (1, 2, 3, 4)
    assert called(f, a="1", d="9") == (1, 2, 3, 9)
    assert called(f, a="1", c="8") == (1, 2, 8, 4)


def test_a_later_positional_only_parameter_alone_is_bound():
    """Those before it keep their defaults."""

    def f(a=1, b=2, /):
        return a, b

    assert called(f, b="5") == (1, 5)


def variadic(a=1, *args, k=2, **kwargs):
    """Title

    Args:
        args: further values
        kwargs: further options
    """
    return a, args, k, kwargs


def test_documented_args_and_kwargs_are_lines():
    """One value a line, key=value a line, Python literals or else text."""
    shown = fields_of(variadic)
    assert [shown[name].control for name in ("args", "kwargs")] == ["textarea", "textarea"]
    texts = {"args": ("1\n'b'\n[1, 2]\nplain",), "kwargs": ("x=1\ny = word",)}
    assert plotsrv.bind_arguments(variadic, texts)() == (1, (1, "b", [1, 2], "plain"), 2, {"x": 1, "y": "word"})


def test_args_and_kwargs_need_nothing():
    """They are never required."""
    assert plotsrv.bind_arguments(variadic, {})() == (1, (), 2, {})
    assert not fields_of(variadic)["args"].required


def test_undocumented_args_and_kwargs_are_not_shown():
    """They usually serve another function."""
    assert list(fields_of(lambda a=1, *args, **kwargs: None)) == ["a"]


@pytest.mark.parametrize("text", ["x", "1=2", "a b=1"])
def test_a_line_of_kwargs_is_key_and_value(text):
    """What is no key=value is refused."""
    assert "key=value" in errors_of(variadic, {"kwargs": (text,)})["kwargs"]


def test_kwargs_cannot_overwrite_a_named_parameter():
    """a=5 among the kwargs is an error, as it is in Python."""
    assert "kwargs" in errors_of(variadic, {"kwargs": ("a=5",)})


def test_methods_and_wrapped_functions_show_their_own_parameters():
    """A bound method leaves self out, and functools.wraps is seen through."""

    class Plots:
        def plot_a(self, n: "int" = 1):
            return n

    @functools.wraps(Plots.plot_a)
    def wrapped(*args, **kwargs):
        return Plots.plot_a(*args, **kwargs)

    assert fields_of(Plots().plot_a)["n"].control == "number"
    assert list(fields_of(wrapped)) == ["self", "n"]
    assert called(Plots().plot_a, n="4") == 4
    assert called(functools.partial(Plots().plot_a), n="4") == 4


# -- docstrings

NUMPY_STYLE = """Title

    Prose about it.

    Parameters
    ----------
    a, b : float, optional
        Half a `width`. Counted from
        the middle.
    kind : {'line', 'bar chart'}
        How it looks.
    **options
        Further ones.

    Returns
    -------
    figure : Figure
        Not a parameter.
    """
GOOGLE_STYLE = """Title

    Prose about it.

    Args:
        a, b (float): Half a `width`. Counted from
            the middle.
        kind (str, optional): How it looks.
            note: not a name
        **options: Further ones.

    Returns:
        figure: Not a parameter.
    """
SPHINX_STYLE = """Title

    Prose about it.

    :param float a: Half a `width`. Counted from
        the middle.
    :param b: Half a ``width``. Counted from the middle.
    :type b: float
    :param kind: How it looks.
    :param options: Further ones.
    :returns: Not a parameter.
    """


@pytest.mark.parametrize("doc", [NUMPY_STYLE, GOOGLE_STYLE, SPHINX_STYLE], ids=["NumPy", "Google", "Sphinx"])
def test_help_comes_from_the_docstring(doc):
    """The first sentence beside the field, the rest behind it; names with commas share it, back-ticks go."""

    def f(a=None, b=None, kind=None, **options):
        return a, b, kind, options

    f.__doc__ = doc
    shown = fields_of(f)
    assert [(shown[name].help, shown[name].details) for name in "ab"] == [
        ("Half a width.", "Counted from the middle.")
    ] * 2
    assert shown["kind"].help == "How it looks."
    assert shown["options"].help == "Further ones."
    assert plotsrv.docstring_parts(doc) == ("Title", "Prose about it.")
    assert same(called(f, a="5", b="6")[:2], (5.0, 6.0))  # the docstring's type, where there is no other


def test_names_that_are_not_in_the_signature_are_ignored():
    """An outdated docstring adds no field."""
    assert list(fields_of(plot(int, 1, doc=GOOGLE_STYLE))) == ["x"]


@pytest.mark.parametrize("default", [EMPTY, None, "line"], ids=["without default", "default None", "default line"])
def test_a_set_in_a_docstring_gives_the_choices(default):
    """NumPy's {'line', 'bar chart'} is a choice where there is no annotation."""
    shown = field_of(EMPTY, default, "kind", NUMPY_STYLE)
    assert shown.control == "select"
    assert [text for text, _ in shown.choices if text] == ["line", "bar chart"]
    assert read(EMPTY, "bar chart", default=default, name="kind", doc=NUMPY_STYLE) == "bar chart"


def test_an_annotation_goes_before_the_docstring():
    """a : float in the docstring does not matter where the signature says int."""
    assert same(read(int, "5", name="a", doc=NUMPY_STYLE), 5)


@pytest.mark.parametrize("doc", [None, "", "Title", "\n  Title\n"])
def test_a_docstring_may_be_missing_or_short(doc):
    """No docstring is no help."""
    assert plotsrv.docstring_parts(doc) == ("Title" if doc and doc.strip() else "", "")


# -- the page's own fields


def test_the_page_asks_for_its_own_by_the_same_table():
    """refresh_every and the lens are a signature too."""
    shown = {field.name: field for field in plotsrv.PAGE_FIELDS}
    assert list(shown) == ["refresh_every", *plotsrv.LENS] and {"smooth", "logy", "width", "thin"} < set(plotsrv.LENS)
    assert [text for text, _ in shown["theme"].choices] == ["light", "dark"] and shown["theme"].control == "text"
    assert (shown["logx"].read(""), shown["logx"].read("1"), shown["logx"].read("0")) == (None, True, False)
    assert shown["refresh_every"].control == "select" and shown["refresh_every"].texts == ("60",)
    assert {"0", "60"} < {text for text, _ in shown["refresh_every"].choices}
    assert shown["refresh_every"].read("7") == 7.0 and shown["refresh_every"].read("live") == "live"
    assert shown["refresh_every"].choices[0][0] == "live" and shown["thin"].read("0") is False
    assert shown["width"].read("") is None
    with pytest.raises(ValueError, match="4001"):
        shown["width"].read("4001")


# -- the round trip: what a field shows for a value reads back as that value


def assert_round_trip(annotation, value, *, exactly=True):
    """The texts of a value, as default of its parameter, are read as that value again."""
    function = plot(annotation, value)
    entry = plotsrv.form_of(function)[0]
    if entry.kind.parts:
        texts = {part.name: part.texts for part in plotsrv.leaves([entry.field])}
    else:
        texts = {"x": entry.kind.texts(value)}
        if value is not None and entry.field.texts != ("",):
            assert entry.field.texts == texts["x"]
    back = plotsrv.bind_arguments(function, texts)()
    assert back == value
    assert not exactly or type(back) is type(value)


lines = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=30)
prose = st.lists(lines, min_size=2, max_size=5).map("\n".join) | st.text("ab \t", min_size=61, max_size=70)
finite = st.floats(allow_nan=False, allow_infinity=False)
offsets = st.none() | st.integers(-23, 23).map(lambda hours: datetime.timezone(datetime.timedelta(hours=hours)))
moments = st.datetimes(timezones=offsets.filter(bool)) | st.datetimes()
durations = st.timedeltas(min_value=datetime.timedelta(days=-999999998))
times = st.times()
file_names = st.text("abc./_ 0", min_size=1, max_size=12).filter(lambda text: "*" not in text).map(Path)
decimals = st.decimals(allow_nan=False, allow_infinity=False)
complexes = st.complex_numbers(allow_nan=False, allow_infinity=False)

SCALARS = {
    int: st.integers(-(10**200), 10**200),
    float: finite,
    bool: st.booleans(),
    str: lines,
    datetime.date: st.dates(),
    datetime.time: times,
    datetime.datetime: moments,
    datetime.timedelta: durations,
    Decimal: decimals,
    Fraction: st.fractions(),
    complex: complexes,
    uuid.UUID: st.uuids(),
    ipaddress.IPv4Address: st.ip_addresses(v=4),
    ipaddress.IPv6Address: st.ip_addresses(v=6),
    Color: st.sampled_from(Color),
    Literal["a", "b c", 3, True]: st.sampled_from(["a", "b c", 3, True]),
    Literal[1, "1", True, "True"]: st.sampled_from([1, "1", True, "True"]),
}
names_of_kinds = [getattr(kind, "__name__", str(kind)) for kind in SCALARS]


@pytest.mark.parametrize(("annotation", "values"), SCALARS.items(), ids=names_of_kinds)
def test_round_trip_of_a_value(annotation, values):
    """What a field shows for a value reads back as that value."""

    @few
    @given(values)
    def check(value):
        assert_round_trip(annotation, value)

    check()


@pytest.mark.parametrize("annotation", [kind for kind in SCALARS if kind is not str], ids=str)
def test_round_trip_of_a_value_that_may_be_none(annotation):
    """The same for Optional, where an empty text is None."""

    @settings(few, max_examples=8)
    @given(st.none() | SCALARS[annotation])
    def check(value):
        assert_round_trip(annotation | None, value)

    check()


ITEMS = [kind for kind in SCALARS if isinstance(kind, type) and not issubclass(kind, enum.Enum)]


@pytest.mark.parametrize("item", ITEMS, ids=[kind.__name__ for kind in ITEMS])
def test_round_trip_of_lists_tuples_and_sets(item):
    """However many values, empty texts and quotes among them."""

    @settings(few, max_examples=8)
    @given(st.lists(SCALARS[item], max_size=7))
    def check(values):
        assert_round_trip(list[item], values)
        assert_round_trip(tuple[item, ...], tuple(values))
        assert_round_trip(set[item], set(values))

    check()


@few
@given(st.lists(st.none() | st.integers(), max_size=4))
@example([None])
def test_round_trip_of_a_list_with_none_in_it(values):
    """An item that may be None is shown as an empty text in quotes."""
    assert_round_trip(list[int | None], values)


@few
@given(st.sets(st.sampled_from(Color)), st.lists(st.sampled_from(["a", "b c"]), unique=True))
def test_round_trip_of_checkboxes(colors, letters):
    """Each checked box is a value."""
    assert_round_trip(set[Color], colors)
    assert_round_trip(list[Literal["a", "b c"]], letters)


@few
@given(prose)
@example("\na\n")
def test_round_trip_of_a_long_text(text):
    """A textarea keeps its lines."""
    assert_round_trip(str, text)


@few
@given(file_names)
def test_round_trip_of_a_path(path):
    """A file's name reads back as the same Path."""
    assert read(Path, *plotsrv.form_of(plot(Path, path))[0].kind.texts(path)) == path


@few
@given(st.tuples(st.integers(), lines, st.sampled_from(Color), moments))
def test_round_trip_of_a_fixed_tuple(values):
    """Each part of a group reads back by itself."""
    assert_round_trip(tuple[int, str, Color, datetime.datetime], values)


@few
@given(st.builds(Optimizer, finite, st.integers(), st.sampled_from(["sgd", "adam"])))
def test_round_trip_of_a_dataclass(value):
    """The fields of a dataclass make an equal one."""
    assert_round_trip(Optimizer, value)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | finite | st.text(max_size=9), st.lists, max_leaves=5
)


@few
@given(st.dictionaries(st.text(max_size=9), json_values, max_size=4))
def test_round_trip_of_a_dict(value):
    """JSON holds what a dict of plain values holds."""
    assert_round_trip(dict, value)


@few
@given(st.integers() | finite | st.text("abc", min_size=1))
@example(1e16)
def test_round_trip_of_a_union(value):
    """Each value of a union reads back as what it was."""
    assert_round_trip(int | float | str, value)


@few
@given(st.dates() | moments | st.none())
def test_round_trip_of_a_union_of_dates(value):
    """A midnight is not taken for a date."""
    assert_round_trip(datetime.date | datetime.datetime | None, value)


@few
@given(st.integers(0, 20).map(lambda number: 5 * number))
def test_round_trip_of_a_number_in_a_range(value):
    """Each number of a range is taken."""
    assert_round_trip(range(0, 101, 5), value)


@few
@given(st.none() | st.booleans() | st.integers() | finite)
def test_round_trip_of_what_python_writes(value):
    """An un-annotated None field that shows a number gives that number."""
    entry = plotsrv.form_of(plot(EMPTY, None))[0]
    assert same(read(EMPTY, *entry.kind.texts(value), default=None), value)


@few
@given(st.text(max_size=40))
@pytest.mark.parametrize("annotation", [*SCALARS, list[int], dict, int | str, EMPTY], ids=str)
def test_any_text_gives_a_value_or_an_error_beside_the_field(annotation, text):
    """Nothing that a browser sends makes binding fail otherwise."""
    try:
        plotsrv.bind_arguments(plot(annotation), {"x": (text,)})
    except plotsrv.FormErrors as errors:
        assert list(errors.errors) == ["x"] and errors.errors["x"]


@pytest.mark.parametrize(
    ("annotation", "text"),
    [
        (list[tuple[int, Path]], '"3,/etc/passwd"'),
        (tuple[int, Path] | str, "3,/etc/passwd"),
        (list[str], "a, /etc/passwd"),
        (dict, '{"a": ["\\u002fetc/passwd"]}'),
        (Annotated[str, "multiline"], "x\n/etc/passwd"),
        (str, "/etc/passwd"),
    ],
)
def test_a_name_within_a_text_is_seen_before_the_plot_gets_it(annotation, text):
    """What a browser sent as a text is looked at line by line, item by item, string by string."""

    def function(x):
        return x

    function.__annotations__["x"] = annotation
    [entry] = plotsrv.form_of(function)
    assert "/etc/passwd" in plotsrv.text_pieces(entry.field, text) and entry.field.free_text
