"""plots/demo.py: a real training that writes its log line by line."""

import importlib.util
import io
import os
import signal
import subprocess
import sys
from itertools import islice
from pathlib import Path

os.environ["MPLBACKEND"] = "agg"

import numpy as np
import pytest

DEMO = Path(__file__).parent.parent / "plots" / "demo.py"


def load():
    spec = importlib.util.spec_from_file_location("plots_demo", DEMO)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


demo = load()


def test_training_lowers_the_loss_and_raises_the_scores():
    """The network learns: the last rows are far better than the first."""
    rows = np.array(list(islice(demo.training(), 200)))
    first, last = rows[:10].mean(axis=0), rows[-10:].mean(axis=0)
    assert first[1] > 0.6 and last[1] < 0.15
    assert first[4] < 0.75 and last[4] > 0.9
    assert np.all(np.diff(rows[:, 0]) == demo.BATCHES_PER_ROW)
    assert np.all((rows[:, 2:] >= 0) & (rows[:, 2:] <= 1))


def test_the_same_seed_is_the_same_training():
    """A demonstration looks the same each time; another seed is another run."""
    rows = list(islice(demo.training(), 5))
    assert rows == list(islice(demo.training(), 5))
    assert rows != list(islice(demo.training(seed=2), 5))


def test_each_step_follows_the_gradient():
    """The gradient written by hand is the slope that one gets by trying."""
    random = np.random.default_rng(3)
    network = demo.Network(random)
    points, labels = demo.two_spirals(random, 20)
    before = [weight.copy() for weight in network.weights]
    network.learn(points, labels)
    steps = [(old - new) / demo.LEARNING_RATE for old, new in zip(before, network.weights, strict=True)]

    def loss(layer, change):
        network.weights = [weight.copy() for weight in before]
        network.speeds = [np.zeros_like(weight) for weight in before]
        network.weights[layer][0, 0] += change
        return network.learn(points, labels)

    for layer, step in enumerate(steps):
        assert (loss(layer, 1e-5) - loss(layer, -1e-5)) / 2e-5 == pytest.approx(step[0, 0], abs=1e-6)


@pytest.mark.parametrize(
    ("guesses", "labels", "expected"),
    [
        ([1, 1, 0, 0], [1, 1, 0, 0], (1, 1, 1)),
        ([1, 1, 1, 0], [1, 0, 0, 1], (1 / 3, 1 / 2, 2 / 5)),
        ([0, 0, 0, 0], [1, 1, 0, 0], (0, 0, 0)),
        ([0, 0], [0, 0], (0, 0, 0)),
    ],
)
def test_scores_are_precision_recall_and_f_score(guesses, labels, expected):
    """Nothing guessed, or nothing to be found, is 0 and no error."""
    assert demo.scores(np.array(guesses), np.array(labels)) == pytest.approx(expected)


def test_the_log_is_a_header_and_whole_lines():
    """Every flush ends at a newline, so that a reader never meets half a row."""

    class Log(io.StringIO):
        flushed: list[str] = []

        def flush(self):
            self.flushed.append(self.getvalue())

    log = Log()
    demo.write_log(log, islice(demo.training(), 3))
    header, *rows = log.getvalue().splitlines()
    assert header == "iteration,loss,precision,recall,f-score"
    assert [len(row.split(",")) for row in rows] == [5, 5, 5]
    assert [float(row.split(",")[0]) for row in rows] == [10, 20, 30]
    assert len(log.flushed) == 4
    assert all(text.endswith("\n") for text in log.flushed)


def test_rows_come_at_their_pace(monkeypatch):
    """The first row comes at once, each other one in its time; after a slow one there is no wait."""
    now, slept = [100.0], []
    monkeypatch.setattr(demo.time, "monotonic", lambda: now[0])

    def sleep(seconds):
        slept.append(round(seconds, 6))
        now[0] += seconds

    monkeypatch.setattr(demo.time, "sleep", sleep)

    def rows():
        for seconds in [0.0, 0.1, 0.5, 0.0]:
            now[0] += seconds  # what the training takes
            yield seconds

    assert len(list(demo.at_pace(rows(), 0.3))) == 4
    assert slept == [0, 0.2, 0, 0.1]


@pytest.mark.parametrize(("seconds", "lines"), [("1.5", 6), ("0", 2)])
def test_the_command_line_decides_file_and_length(tmp_path, monkeypatch, seconds, lines):
    """The folder is made, an older log is replaced."""
    path = tmp_path / "new" / "run.csv"
    monkeypatch.setattr(demo.time, "sleep", lambda seconds: None)
    monkeypatch.setattr(demo.signal, "signal", lambda *_: None)
    monkeypatch.setattr(sys, "argv", ["demo.py", "--csv", str(path), "--seconds", seconds])
    demo.main()
    demo.main()
    assert len(path.read_text().splitlines()) == lines


@pytest.mark.skipif(os.name != "posix", reason="Windows has no such signals")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_quietly(tmp_path, number):
    """Ctrl-C and SIGTERM leave whole lines and say nothing."""
    path = tmp_path / "run.csv"
    os.mkfifo(path)  # opening it waits for the training to be ready
    command = [sys.executable, str(DEMO), "--csv", str(path), "--seconds", "60"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe) as process, path.open() as log:
        assert log.readline() == demo.HEADER + "\n"
        process.send_signal(number)
        assert all(line.endswith("\n") for line in log)
        assert process.communicate(timeout=10) == (b"", b"")
    assert process.returncode == 0
