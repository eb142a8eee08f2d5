"""Steps that begin anew with each epoch are counted on, so that they tell how far a run is.

A log may count its steps (batches, iterations) within an epoch or through the whole run; the numbers of the first epoch
do not tell which. It shows when the second epoch begins: in a run that counts through, the step is larger than before.
"""

import numpy


class Steps:
    """Steps that may begin anew with each epoch: whether they do shows when the second epoch begins."""

    def __init__(self) -> None:
        self.are_within: bool | None = None
        self.first_epoch = self.epoch = self.step = numpy.nan
        self.lowest, self.highest = numpy.inf, -numpy.inf
        self.stride = 0.0  # from one step to the next
        self.base = 0.0  # steps of the epochs before, where the log does not tell how many an epoch has

    @property
    def are_idle(self) -> bool:
        """Whether all epochs say the same step."""
        return bool(self.are_within) and self.lowest == self.highest

    def counted_on(self, said: numpy.ndarray, epochs: numpy.ndarray, every: numpy.ndarray) -> numpy.ndarray:
        """The steps since the first epoch, from those that were said in it."""
        at = numpy.flatnonzero(~numpy.isnan(said))
        if not len(at):
            return said
        steps, epochs, every = said[at], epochs[at], every[at]
        self.lowest, self.highest = min(self.lowest, steps.min()), max(self.highest, steps.max())
        result = said.copy()
        result[at] = self.through(steps, epochs, every)
        return result

    def through(self, steps: numpy.ndarray, epochs: numpy.ndarray, every: numpy.ndarray) -> numpy.ndarray:
        """The same of some steps, epoch by epoch."""
        edges = numpy.flatnonzero(numpy.diff(epochs, prepend=self.epoch) != 0)  # a NaN differs from all
        result = steps.copy()
        for start, end in zip(numpy.unique([0, *edges]), [*numpy.unique([0, *edges])[1:], len(steps)], strict=True):
            self.enter(float(epochs[start]), float(steps[start]))
            if self.are_within:
                before = (epochs[start:end] - self.first_epoch) * every[start:end]
                result[start:end] += numpy.where(numpy.isnan(before), self.base, before)
            if end - start > 1:
                self.stride = float(steps[end - 1] - steps[end - 2])
            self.step = float(steps[end - 1])
        return result

    def enter(self, epoch: float, step: float) -> None:
        """Go on to an epoch, whose first step this is."""
        if numpy.isnan(self.first_epoch):
            self.first_epoch = epoch
        if epoch > self.epoch and not numpy.isnan(self.step):
            if self.are_within is None:
                self.are_within = step <= self.step
            self.base += self.step + (max(self.stride, 1) if step < max(self.stride, 1) else 0)
        elif epoch < self.epoch:
            self.base = 0.0
        self.epoch = epoch
