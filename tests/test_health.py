"""plots/health.py: how a run is doing, from the table of its log."""

import numpy
import pandas
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plots import health
from plots.health import Best, Extremes, Health, headline, health_of, sentence, telling
from plots.thinning import only_grows, summary_of

NAN, INF = float("nan"), float("inf")


def log(columns, x="epoch", **attrs):
    """A table as read_log gives it."""
    frame = pandas.DataFrame(columns)
    frame.attrs.update({"x": x, "starts": (0,), "nans": {}, "total": None, "whole": True} | attrs)
    return frame


def epochs(**columns):
    """A table with one row an epoch, from 1 on."""
    rows = len(next(iter(columns.values())))
    return log({"epoch": range(1, rows + 1)} | columns)


def noisy(values, noise, seed=0):
    """Values with normally distributed noise."""
    return numpy.asarray(values) + noise * numpy.random.default_rng(seed).standard_normal(len(values))


# ---- Best and last values ----


def test_best_loss_is_the_lowest_and_best_score_the_highest():
    """The best value of each metric is told with the x of it."""
    found = health_of(epochs(val_loss=[0.9, 0.3, 0.5], val_acc=[0.5, 0.8, 0.9]))
    assert found.best == (Best("val_loss", 0.3, 2), Best("val_acc", 0.9, 3))
    assert found.last == (("val_loss", 0.5), ("val_acc", 0.9))
    assert (found.x, found.at, found.rows) == ("epoch", 3, 3)


def test_gaps_and_infinities_are_no_best_values():
    """An empty cell is passed over, and so is a loss of -inf."""
    found = health_of(epochs(loss=[NAN, 2, 1, -INF, 3, NAN]))
    assert found.best == (Best("loss", 1, 3),)
    assert found.last == (("loss", 3),)


def test_glance_without_its_middle_has_no_best_value():
    """Where only the ends of a log were seen, neither its best value nor a plateau can be known."""
    frame = epochs(loss=[1.0] * 40)
    frame.attrs["whole"] = False
    found = health_of(frame)
    assert (found.best, found.plateau, found.last) == ((), None, (("loss", 1),))
    assert sentence(found) == "loss 1 at epoch 40"


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["epoch", "loss", "lr", "val_loss", "acc", "val_acc"], ["val_loss", "val_acc", "loss", "acc"]),
        (["val/cls_loss", "val_loss", "train_loss"], ["val_loss", "val/cls_loss", "train_loss"]),
        (["grads", "ep_rew_mean", "train/loss"], ["train/loss", "ep_rew_mean", "grads"]),
        (["precision", "recall", "mAP50-95"], ["mAP50-95", "precision", "recall"]),
        (
            ["best_validation_loss", "training_loss", "validation_loss"],
            ["validation_loss", "training_loss", "best_validation_loss"],
        ),
        ([], []),
    ],
)
def test_telling_metrics_come_first(names, expected):
    """Validation before training, the loss that sums up others before these, a loss and a score before second ones."""
    assert telling(names) == expected


# ---- Divergence ----


def test_loss_that_is_nan_in_the_end_has_diverged_there():
    """The first NaN after the last finite loss is where a run diverged."""
    frame = epochs(loss=[1, NAN, 2, NAN, NAN], acc=[0, 0, 0, 0, 0])
    frame.attrs["nans"] = {"loss": (1, 3, 4)}
    found = health_of(frame)
    assert found.diverged == ("loss", 4)
    assert headline(found) == "✗ diverged at epoch 4"
    assert sentence(found).startswith("diverged: no number for loss from epoch 4 on; best loss 1 at epoch 1")


def test_empty_cells_are_no_divergence():
    """A loss that is only logged now and then has gaps, also in the end."""
    found = health_of(epochs(loss=[3, 2, 1], val_loss=[2, NAN, NAN]))
    assert (found.diverged, found.recovered) == (None, ())


def test_infinite_loss_has_diverged():
    """An infinite loss is as bad as a NaN, and no log needs to say so."""
    assert health_of(epochs(loss=[1, 2, INF, NAN])).diverged == ("loss", 3)


def test_nan_that_is_followed_by_a_number_is_recovered_from():
    """A single NaN is worth a note, no alarm."""
    frame = epochs(loss=[1, NAN, 2, INF, 3])
    frame.attrs["nans"] = {"loss": (1,)}
    found = health_of(frame)
    assert (found.diverged, found.recovered) == (None, (("loss", 2, 2),))
    assert "no number for loss at epoch 2 and 1 more" in sentence(found)


def test_validation_that_never_was_a_number_has_not_diverged():
    """A val_loss that is NaN from the first row on is one that nobody computes."""
    frame = epochs(loss=[2, 1], val_loss=[NAN, NAN])
    frame.attrs["nans"] = {"val_loss": (0, 1)}
    assert health_of(frame).diverged is None


def test_run_whose_only_loss_never_was_a_number_has_diverged():
    """A loss that is NaN from the first step on is a run gone wrong at once."""
    frame = epochs(loss=[NAN, NAN])
    frame.attrs["nans"] = {"loss": (0, 1)}
    found = health_of(frame)
    assert found.diverged == ("loss", 1)
    assert headline(found) == "✗ diverged at epoch 1"


def test_first_of_several_losses_is_named():
    """Of two losses that diverged, the one that did so first is named."""
    found = health_of(epochs(val_loss=[1, 1, 1, INF], loss=[1, 1, INF, INF]))
    assert found.diverged == ("loss", 3)


# ---- Plateau ----


def test_curve_that_still_falls_is_on_no_plateau():
    """A slow but steady fall is progress, with and without noise."""
    falling = numpy.linspace(2, 1, 3000)
    assert health_of(epochs(loss=falling)).plateau is None
    assert health_of(epochs(loss=noisy(falling, 0.2))).plateau is None


def test_plateau_begins_at_the_best_value():
    """A loss that rises again after its best value is no better since then."""
    found = health_of(epochs(loss=[*numpy.linspace(2, 1, 20), *numpy.linspace(1.1, 2, 20)]))
    assert found.plateau == ("loss", 20)
    assert "loss no better since epoch 20" in sentence(found)


@pytest.mark.parametrize("seed", range(10))
def test_noise_is_no_progress(seed):
    """Where the best value comes late, but by the noise alone, the plateau begins with the last third at latest."""
    level = [*numpy.linspace(3, 1, 300), *[1.0] * 600]
    name, x = health_of(epochs(loss=noisy(level, 0.05, seed))).plateau
    assert name == "loss"
    assert x <= 601


def test_score_is_better_the_higher_it_is():
    """A rising score is on no plateau; one that stays where it is, is."""
    assert health_of(epochs(acc=numpy.linspace(0, 1, 30))).plateau is None
    assert health_of(epochs(acc=[*numpy.linspace(0, 1, 15), *[0.9] * 15])).plateau == ("acc", 15)


def test_short_run_is_on_no_plateau():
    """With fewer than 15 values, nobody can tell."""
    assert health_of(epochs(loss=[1.0] * 14)).plateau is None
    assert health_of(epochs(loss=[1.0] * 15)).plateau is not None


# ---- Pace ----


def test_pace_and_time_to_finish():
    """The clock of a log tells the pace, and with the total the time to finish."""
    frame = log({"step": numpy.arange(0, 1000, 10), "time": numpy.arange(100) * 5.0, "loss": 1.0}, "step", total=2000)
    found = health_of(frame)
    assert (found.rate, found.row_rate) == (2, 0.2)
    assert found.seconds_left == (2000 - 990) / 2
    assert "2 steps/s; 8 min to go" in sentence(found)
    assert headline(found) == "loss 1, 50 %"


@pytest.mark.parametrize(
    ("column", "seconds"), [("wall_time", 1), ("time/time_elapsed", 1), ("hours", 3600), ("Time", 1), ("t", 1)]
)
def test_clocks_are_known_by_their_names(column, seconds):
    """Seconds or hours, since the start or since 1970."""
    frame = log({"epoch": range(5), column: [7, 9, 11, 13, 15], "loss": 1.0})
    assert health_of(frame).rate == 0.5 / seconds


def test_time_that_each_row_took_is_no_clock():
    """A column `time` that goes up and down tells how long something took, not when it was."""
    assert health_of(epochs(time=[26.1, 25.9, 26.0, 26.3], loss=[4, 3, 2, 1])).rate is None


def test_pace_is_that_of_the_last_segment():
    """What was before a restart, and the pause at it, do not count."""
    frame = log({"step": [0, 1, 2, 1, 2, 3], "wall_time": [0, 1, 2, 900, 910, 920], "loss": 1.0}, "step", starts=(0, 3))
    assert health_of(frame).rate == 0.1


def test_time_to_finish_is_counted_from_now():
    """With a wall clock, the time since the last row is taken off; a run that ought to be over has no such time."""
    frame = log({"step": [1, 2, 3], "wall_time": [1000, 1001, 1002], "loss": 1.0}, "step", total=13)
    assert health_of(frame).seconds_left == 10
    assert health_of(frame, now=1006).seconds_left == 6
    assert health_of(frame, now=1015).seconds_left is None


def test_time_to_finish_that_the_log_names():
    """Detectron2 writes how long it will take."""
    assert health_of(epochs(total_loss=[2, 1], eta_seconds=[100.0, 40.0])).seconds_left == 40


def test_total_may_be_given():
    """Whoever knows how long a run will be may say so, also against the log."""
    frame = epochs(loss=[3, 2, 1])
    assert headline(health_of(frame, total=4)) == "loss 1, 75 %"
    assert health_of(frame, total=3).finished
    assert sentence(health_of(frame, total=3)) == "best loss 1 at epoch 3; finished at epoch 3"


def test_run_is_finished_where_no_further_row_fits():
    """A run of 1,950 steps that logs every hundredth is finished at step 1,900."""
    steps = numpy.arange(100, 2000, 100)
    assert health_of(log({"step": steps, "loss": 1.0}, "step", total=1950)).finished
    assert not health_of(log({"step": steps, "loss": 1.0}, "step", total=2000)).finished


# ---- Words ----


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.2, "1 s"),
        (42, "42 s"),
        (60, "1 min"),
        (2280, "38 min"),
        (7500, "2 h 5 min"),
        (36000, "10 h"),
        (273600, "3 d 4 h"),
    ],
)
def test_spans_of_time(seconds, words):
    """The largest unit, and the next smaller one where the first says little."""
    assert health.span(seconds) == words


@pytest.mark.parametrize(
    ("x", "rate", "words"),
    [
        ("global_step", 4.1, "4.1 steps/s"),
        ("epoch", 1 / 90, "40 epochs/h"),
        ("iter", 0.5, "30 iterations/min"),
        ("time/total_timesteps", 12345.6, "12346 timesteps/s"),
        ("samples", 3, "3 samples/s"),
    ],
)
def test_paces_are_told_in_a_unit_that_gives_one_or_more(x, rate, words):
    """Epochs are slow, steps are fast."""
    assert health.pace_words(Health(x=x, rate=rate)) == words


def test_x_is_written_in_full():
    """Steps are counted in millions, and epochs may be fractions."""
    assert health.at(Health(x="train/step"), 12345678) == "step 12345678"
    assert health.at(Health(x="epoch"), 1.00096) == "epoch 1.00096"


# ---- Any table ----


@pytest.mark.parametrize(
    "frame",
    [
        pandas.DataFrame(),
        pandas.DataFrame({"loss": []}),
        pandas.DataFrame({"loss": [NAN] * 3}),
        pandas.DataFrame({"epoch": [1, 2]}),
        pandas.DataFrame({"words": ["a", "b"]}),
    ],
)
def test_table_without_values_tells_nothing(frame):
    """Where there is nothing to say, nothing is said."""
    found = health_of(frame)
    assert (sentence(found), headline(found)) == ("", "")


def test_one_row_is_a_run():
    """A single value is the last one; to call it the best would say nothing."""
    found = health_of(epochs(loss=[0.5]), total=10)
    assert sentence(found) == "loss 0.5 at epoch 1"
    assert headline(found) == "loss 0.5, 10 %"


def test_table_without_attributes_is_counted_by_rows():
    """A table that was not made by read_log has no x that is known."""
    assert health_of(pandas.DataFrame({"loss": [2.0, 1.0]})).best == (Best("loss", 1, 1),)


NUMBERS = st.lists(st.sampled_from([NAN, INF, -INF, 0.0, -1.0, 2.5, 1e300]), min_size=1, max_size=40)


@settings(deadline=None)
@given(loss=NUMBERS, times=NUMBERS, total=st.sampled_from([None, 0, 5, -1]))
def test_any_numbers_have_a_health(loss, times, total):
    """Whatever the columns hold, the best value is a finite one of them, and words are found."""
    rows = min(len(loss), len(times))
    frame = log({"step": range(rows), "loss": loss[:rows], "time": times[:rows]}, "step", total=total)
    frame.attrs["nans"] = {"loss": tuple(row for row in range(rows) if numpy.isnan(loss[row]))}
    found = health_of(frame)
    finite = [value for value in loss[:rows] if numpy.isfinite(value)]
    assert [each.value for each in found.best] == ([min(finite)] if finite else [])
    assert (found.diverged is not None) == (not numpy.isfinite(loss[rows - 1]))
    assert isinstance(sentence(found) + headline(found), str)


@settings(deadline=None)
@given(parts=st.lists(NUMBERS, min_size=1, max_size=5))
def test_extremes_of_a_column_that_grows(parts):
    """Extended part by part, they are what they are of the whole, and the rows that were seen are not seen again."""
    whole = numpy.concatenate([numpy.asarray(part) for part in parts])
    grown, end = Extremes(), 0
    for part in parts:
        end += len(part)
        grown.extend(whole[:end])
    fresh = Extremes()
    fresh.extend(whole)
    values = [whole[[each.lowest, each.highest]].tolist() for each in (grown, fresh) if each.lowest >= 0]
    assert not values or values[0] == values[1]
    assert grown.infinite == fresh.infinite == numpy.flatnonzero(numpy.isinf(whole)).tolist()


def test_what_was_seen_of_a_growing_column_is_not_seen_again(monkeypatch):
    """Of a column that only grows, a later health looks at the new rows alone."""
    looked_at = []
    monkeypatch.setattr(Extremes, "look", lambda self, column, start, end: looked_at.append((start, end)))
    buffer = numpy.zeros(100)
    only_grows(buffer)
    summary_of(buffer[:60], Extremes)
    summary_of(buffer[:70], Extremes)
    assert looked_at == [(0, 60), (60, 70)]
