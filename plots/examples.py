"""Small plots, each showing what one kind of parameter becomes in the form."""

import datetime
from typing import Annotated, Literal

import matplotlib.pyplot as plt
import numpy as np


def plot_sine(freq: float = 1.0):
    """A number: sine wave

    Parameters
    ----------
    freq
        Oscillations per second, above 0 and up to 50.
    """
    if not 0 < freq <= 50:
        raise ValueError(f"freq is {freq}; choose a number above 0 and up to 50.")  # shown on the page
    time = np.linspace(0, 2, 2001)
    figure, axes = plt.subplots(layout="constrained")
    axes.plot(time, np.sin(2 * np.pi * freq * time))
    axes.set(title=f"Sine wave of {freq:g} Hz", xlabel="time in seconds", ylabel="amplitude")
    axes.grid(alpha=0.25)
    return figure


def plot_schedule(shape: Literal["constant", "step", "cosine", "one cycle"] = "cosine"):
    """A choice: learning rate schedule

    Parameters
    ----------
    shape
        How the learning rate changes while the training goes on.
    """
    epoch = np.arange(101)
    rate = {
        "constant": np.full(101, 0.1),
        "step": 0.1 * 0.1 ** (epoch // 30),
        "cosine": 0.05 * (1 + np.cos(np.pi * epoch / 100)),
        "one cycle": 0.1 * np.interp(epoch, [0, 30, 100], [0.04, 1, 0]),
    }[shape]
    figure, axes = plt.subplots(layout="constrained")
    axes.plot(epoch, rate, color="tab:purple")
    axes.set(title=f"Learning rate: {shape}", xlabel="epoch", ylabel="learning rate", ylim=(0, 0.11))
    axes.grid(alpha=0.25)
    return figure


def plot_dice(dice: Annotated[int, range(1, 11)] = 2):
    """A bounded number: the sum of some dice

    Parameters
    ----------
    dice
        How many dice are thrown: with more of them, the bars approach a bell.
    """
    chances = np.ones(1)
    for _ in range(dice):
        chances = np.convolve(chances, np.full(6, 1 / 6))
    figure, axes = plt.subplots(layout="constrained")
    axes.bar(np.arange(dice, 6 * dice + 1), 100 * chances, color="tab:cyan", edgecolor="white")
    axes.set(title=f"Sum of {dice} dice" if dice > 1 else "One die", xlabel="sum", ylabel="chance in %")
    return figure


def plot_descent(momentum: bool = True):
    """A switch: gradient descent with and without momentum

    Parameters
    ----------
    momentum
        Let the point keep part of its speed, like a ball that rolls down a valley.
    """
    steepness = np.array([1.0, 12.0])  # a valley, narrow across: loss = (x² + 12 y²) / 2
    points, speed = [np.array([-9.0, 2.5])], np.zeros(2)
    for _ in range(40):
        speed = (0.7 if momentum else 0) * speed - 0.05 * steepness * points[-1]
        points.append(points[-1] + speed)
    x, y = np.meshgrid(np.linspace(-10, 4, 141), np.linspace(-3, 3, 121))
    figure, axes = plt.subplots(layout="constrained")
    loss = axes.contourf(x, y, (x**2 + 12 * y**2) / 2, levels=20, cmap="Blues")
    axes.plot(*np.transpose(points), "o-", color="tab:orange", markersize=4, label="40 steps")
    axes.plot(0, 0, "k*", markersize=12, label="minimum")
    axes.set(title=f"Descent {'with' if momentum else 'without'} momentum", xlabel="x", ylabel="y")
    axes.legend(loc="lower right")
    figure.colorbar(loss, label="loss")
    return figure


def plot_daylight(day: datetime.date = datetime.date(2026, 6, 21)):
    """A date: how long the day is, from pole to pole

    Parameters
    ----------
    day
        Any day of the year.
    """
    latitude = np.linspace(-90, 90, 361)
    tilt = np.radians(-23.44) * np.cos(2 * np.pi * (day.timetuple().tm_yday + 10) / 365.25)
    hours = 24 / np.pi * np.arccos(np.clip(-np.tan(np.radians(latitude)) * np.tan(tilt), -1, 1))
    figure, axes = plt.subplots(layout="constrained")
    axes.fill_between(latitude, hours, color="gold", label="day")
    axes.fill_between(latitude, hours, 24, color="midnightblue", label="night")
    axes.set(title=f"Daylight on {day:%d %B %Y}", xlabel="latitude in degrees (south to north)")
    axes.set(ylabel="hours", xlim=(-90, 90), ylim=(0, 24))
    axes.set_xticks(range(-90, 91, 30))
    axes.set_yticks(range(0, 25, 6))
    figure.legend(loc="outside lower center", ncols=2, frameon=False)
    return figure


def plot_smoothing(weights: tuple[float, ...] = (0.8, 0.95)):
    """A list of numbers: how smoothing changes a curve

    Parameters
    ----------
    weights
        How much of each point comes from those before it, from 0 to below 1; as many as you like.
    """
    if not all(0 <= weight < 1 for weight in weights):
        raise ValueError("Each weight is at least 0 and below 1.")
    step = np.arange(300)
    loss = (0.3 + 2 * np.exp(-step / 60)) * np.random.default_rng(1).lognormal(0, 0.15, 300)
    figure, axes = plt.subplots(layout="constrained")
    axes.plot(step, loss, color="lightgray", label="as it was logged")
    for weight in weights:
        smooth = loss.copy()
        for i in step[1:]:
            smooth[i] = weight * smooth[i - 1] + (1 - weight) * loss[i]
        axes.plot(step, smooth, label=f"smoothed with {weight:g}")
    axes.set(title="A noisy loss, smoothed", xlabel="step", ylabel="loss")
    axes.legend()
    return figure


def plot_spirals(ax):
    """No field at all: two spirals

    A parameter named ax is handed fresh axes to draw on, and nobody is asked for it.
    These are the points that `make demo` learns to tell apart.
    """
    random = np.random.default_rng(1)
    for turn, color in [(0, "tab:blue"), (np.pi, "tab:orange")]:
        radius = np.sqrt(random.uniform(0.02, 1, 400))
        angle = 3 * np.pi * radius + turn
        points = radius * [np.cos(angle), np.sin(angle)] + random.normal(0, 0.04, (2, 400))
        ax.scatter(*points, s=12, color=color, alpha=0.7)
    ax.set(title="Two spirals", xlabel="x", ylabel="y", aspect="equal")
