"""Section 8, Freshness: which drawings are worth keeping."""

import time

import pytest

from plotsrv import SLOW_SECONDS, Drawing, DrawingCache

KEY = ("training/loss", (), "png", (None, None, None))
GOOD = Drawing(b"a picture")
BAD = Drawing(status=500, error="ValueError: no data")


def slow(seconds, ago=0.0, **values):
    """A drawing that took so many seconds, and was done a while ago."""
    return Drawing(b"a picture", seconds=seconds, drawn_at=time.time() - ago, **values)


def other(number):
    return (f"training/plot_{number}", *KEY[1:])


def test_an_empty_cache_has_nothing():
    """Nothing kept, nothing found."""
    cache = DrawingCache()
    assert cache.good(KEY) is None
    assert cache.slow(KEY, 1) is None


def test_the_last_good_picture_is_kept():
    """A newer picture takes the older one's place."""
    cache = DrawingCache()
    newer = Drawing(b"a newer picture")
    cache.keep(KEY, 1, GOOD)
    cache.keep(KEY, 1, newer)
    assert cache.good(KEY) is newer


def test_the_last_good_picture_survives_an_error():
    """After a failed drawing the picture before it is still there."""
    cache = DrawingCache()
    cache.keep(KEY, 1, GOOD)
    cache.keep(KEY, 1, BAD)
    assert cache.good(KEY) is GOOD


def test_the_last_good_picture_survives_a_change_of_the_code():
    """The picture of the old code is better than none while the new code fails."""
    cache = DrawingCache()
    cache.keep(KEY, 1, GOOD)
    cache.keep(KEY, 2, BAD)
    assert cache.good(KEY) is GOOD


@pytest.mark.parametrize("status", [400, 404, 500, 503, 504])
def test_a_failed_drawing_is_no_good_picture(status):
    """Whatever the failure, it is not shown as a picture."""
    cache = DrawingCache()
    cache.keep(KEY, 1, Drawing(status=status, error="no"))
    assert cache.good(KEY) is None


def test_pictures_of_other_arguments_are_others():
    """Each plot, arguments, format and size has its own."""
    cache = DrawingCache()
    cache.keep(KEY, 1, GOOD)
    assert cache.good((KEY[0], (("x", ("1",)),), *KEY[2:])) is None
    assert cache.good((*KEY[:2], "svg", KEY[3])) is None


def test_the_cache_is_bound_by_bytes():
    """However many pictures come, the cache holds no more than its limit."""
    cache = DrawingCache(limit=10_000)
    for number in range(100):
        cache.keep(other(number), 1, Drawing(bytes(1000)))
    kept = [number for number in range(100) if cache.good(other(number))]
    assert 1 <= len(kept) <= 10
    assert kept[-1] == 99


def test_the_least_recently_used_is_forgotten_first():
    """A picture that is still looked at stays while others go."""
    cache = DrawingCache(limit=10_000)
    for number in range(20):
        cache.keep(other(number), 1, Drawing(bytes(1000)))
        assert cache.good(other(0))
    assert not cache.good(other(1))


def test_a_single_picture_larger_than_the_limit_is_kept():
    """It is what the next page shows while a new one is drawn."""
    cache = DrawingCache(limit=10)
    cache.keep(KEY, 1, Drawing(bytes(1000)))
    assert cache.good(KEY)


def test_failed_drawings_are_bound_by_bytes_too():
    """What failed plots printed does not fill the memory."""
    cache = DrawingCache(limit=100_000)
    for number in range(200):
        cache.keep(other(number), 1, Drawing(status=500, error="no", output="x" * 10_000, traceback="y" * 1000))
    assert len(cache.drawings) < 50


def test_replacing_a_picture_does_not_count_it_twice():
    """The same plot drawn a thousand times pushes no other out."""
    cache = DrawingCache(limit=20_000)
    cache.keep(other(1), 1, GOOD)
    for _ in range(1000):
        cache.keep(KEY, 1, Drawing(bytes(1000)))
    assert cache.good(other(1)) is GOOD


def test_a_slow_drawing_answers_for_as_long_as_it_took():
    """Whoever waits on a progress page sees what came of it."""
    cache = DrawingCache()
    drawing = slow(SLOW_SECONDS + 5, ago=SLOW_SECONDS)
    cache.keep(KEY, 1, drawing)
    assert cache.slow(KEY, 1) is drawing


def test_a_slow_drawing_answers_no_longer_than_it_took():
    """After that it is drawn anew."""
    cache = DrawingCache()
    cache.keep(KEY, 1, slow(SLOW_SECONDS + 5, ago=SLOW_SECONDS + 6))
    assert cache.slow(KEY, 1) is None


def test_a_quick_drawing_is_drawn_anew_each_time():
    """Only what took long answers again."""
    cache = DrawingCache()
    cache.keep(KEY, 1, slow(SLOW_SECONDS / 2))
    assert cache.slow(KEY, 1) is None


def test_a_slow_failure_is_told_too():
    """A plot that failed after a long time is not started over and over."""
    cache = DrawingCache()
    drawing = slow(30, status=504, error="took too long")
    cache.keep(KEY, 1, drawing)
    assert cache.slow(KEY, 1) is drawing


def test_a_slow_drawing_of_older_code_does_not_answer():
    """An edited plot is drawn at once."""
    cache = DrawingCache()
    cache.keep(KEY, 1, slow(30))
    assert cache.slow(KEY, 2) is None
    assert cache.good(KEY)
