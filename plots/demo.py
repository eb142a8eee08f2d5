"""The training of `make demo`: a small neural network learns to tell two spirals apart, and logs how well."""

import argparse
import signal
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import chain, islice, pairwise
from pathlib import Path
from typing import NamedTuple, TextIO

import numpy as np

SECONDS_PER_ROW = 0.3
BATCHES_PER_ROW = 10
BATCH_SIZE = 32
LEARNING_RATE = 0.04
MOMENTUM = 0.8
LAYERS = (2, 32, 32, 1)
HEADER = "iteration,loss,precision,recall,f-score"


class Row(NamedTuple):
    """One line of the log."""

    iteration: int
    loss: float
    precision: float
    recall: float
    f_score: float

    def __str__(self) -> str:
        return ",".join(f"{value:.6g}" for value in self)


def two_spirals(random: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Points on two noisy spirals, and for each of them which spiral it is on: 0 or 1."""
    label = random.integers(0, 2, (count, 1))
    radius = np.sqrt(random.uniform(0.02, 1, (count, 1)))
    angle = 3 * np.pi * radius + np.pi * label
    points = radius * np.hstack([np.cos(angle), np.sin(angle)])
    return points + random.normal(0, 0.06, points.shape), label


class Network:
    """Layers of tanh and a sigmoid at the end, trained by gradient descent with momentum."""

    def __init__(self, random: np.random.Generator) -> None:
        sizes = pairwise(LAYERS)
        self.weights = [random.normal(0, 1 / np.sqrt(n), (n + 1, m)) for n, m in sizes]  # last row: bias
        self.speeds = [np.zeros_like(weight) for weight in self.weights]

    def layers(self, points: np.ndarray) -> list[np.ndarray]:
        """What goes into each layer, and last what the network says: the chance of being on spiral 1."""
        values = [with_bias(points)]
        for weight in self.weights[:-1]:
            values.append(with_bias(np.tanh(values[-1] @ weight)))
        return [*values, 1 / (1 + np.exp(-values[-1] @ self.weights[-1]))]

    def learn(self, points: np.ndarray, labels: np.ndarray) -> float:
        """Take one step down the gradient; the loss (cross-entropy) before it."""
        *values, chance = self.layers(points)
        error = (chance - labels) / len(points)
        for i in reversed(range(len(self.weights))):
            gradient = values[i].T @ error
            error = ((error @ self.weights[i].T) * (1 - values[i] ** 2))[:, :-1]
            self.speeds[i] = MOMENTUM * self.speeds[i] - LEARNING_RATE * gradient
            self.weights[i] += self.speeds[i]
        return float(-np.mean(np.log(np.where(labels == 1, chance, 1 - chance) + 1e-12)))


def with_bias(values: np.ndarray) -> np.ndarray:
    """The values with a column of ones, which the bias is multiplied with."""
    return np.hstack([values, np.ones((len(values), 1))])


def scores(guesses: np.ndarray, labels: np.ndarray) -> tuple[float, float, float]:
    """Precision, recall and f-score; each is 0 where there is nothing to divide by."""
    found, guessed, there = np.sum(guesses & labels), np.sum(guesses), np.sum(labels)
    return found / max(guessed, 1), found / max(there, 1), 2 * found / max(guessed + there, 1)


def training(seed: int = 1) -> Iterator[Row]:
    """Train without end; a row for every few batches, its scores from points kept apart from the training."""
    random = np.random.default_rng(seed)
    network = Network(random)
    points, labels = two_spirals(random, 1000)
    unseen_points, unseen_labels = two_spirals(random, 500)
    iteration = 0
    while True:
        losses = []
        for _ in range(BATCHES_PER_ROW):
            batch = random.integers(0, len(points), BATCH_SIZE)
            losses.append(network.learn(points[batch], labels[batch]))
        iteration += BATCHES_PER_ROW
        guesses = (network.layers(unseen_points)[-1] > 0.5).astype(int)
        yield Row(iteration, float(np.mean(losses)), *scores(guesses, unseen_labels))


def at_pace(rows: Iterable[Row], seconds_per_row: float) -> Iterator[Row]:
    """The same rows, none before its time: the training alone would be over in a second."""
    start = time.monotonic()
    for count, row in enumerate(rows):
        time.sleep(max(0.0, start + count * seconds_per_row - time.monotonic()))
        yield row


def write_log(log: TextIO, rows: Iterable[Row]) -> None:
    """Write the header and each row as soon as it is there, always whole lines."""
    for line in chain([HEADER], rows):
        log.write(f"{line}\n")
        log.flush()


def main() -> None:
    """Train for the time asked for, or until Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--csv", type=Path, default=Path("runs/demo.csv"), help="log to write (%(default)s)")
    parser.add_argument("--seconds", type=float, default=90, help="how long to train (%(default)s)")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    options.csv.parent.mkdir(parents=True, exist_ok=True)
    rows = islice(training(), max(1, round(options.seconds / SECONDS_PER_ROW)))
    with suppress(KeyboardInterrupt), options.csv.open("w", buffering=1, encoding="utf-8") as log:
        write_log(log, at_pace(rows, SECONDS_PER_ROW))


if __name__ == "__main__":
    main()
