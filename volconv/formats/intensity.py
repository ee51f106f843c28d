"""Intensity steps over a volume: statistics gathered when it is loaded, applied in float32 as windows are read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from ..errors import FormatError
from ..preparation import IntensityStep, MinMax, Percentile, Rescale, Window, ZScore
from ..region import Region
from .base import Source
from .forwarding import ForwardingSource
from .stacked import name_of
from .volume_statistics import BLOCK, WORK_BYTES, Collector, Extremes, Moments, Quantiles
from .windows import window_shape

PASS_BYTES = 8 << 20
"""Values of a window read for statistics, in bytes; larger where a chunk is."""

Numbers = tuple[np.float32, ...]
"""What a step is applied with, once its statistics are known: see `apply_step`."""


class IntensitySource(ForwardingSource):
    """A source whose values went through intensity steps.

    Each channel of each volume has its own statistics; those of a step are of the values after the steps before it.
    Values are rounded to float32 first and after every operation; float64 windows hold the float32 results.

    Parameters
    ----------
    inner : Source
    steps : sequence of steps
    mask : Source, optional
        One channel on the grid of `inner`, loaded before this: statistics are taken where it is above 0.
    wide : bool
        Whether windows of float64 will be read, which take more memory.
    """

    def __init__(
        self, inner: Source, steps: Sequence[IntensityStep], mask: Source | None = None, wide: bool = False
    ) -> None:
        info = inner.info
        if steps:
            info = replace(info, dtype=np.dtype(np.float32), slope=1.0, intercept=0.0)
        super().__init__(inner, info)
        self.steps = tuple(steps)
        self.mask = mask
        self._wide = wide
        self._numbers: dict[tuple[int, int], list[Numbers]] = {}
        self._pass_shape = window_shape(info, PASS_BYTES // 4 // info.channels)

    @property
    def passes(self) -> int:
        """How often the whole volume is read for statistics."""
        collectors = (make_collector(step) for step in self.steps)
        return sum(collector.passes for collector in collectors if collector is not None)

    def window_bytes(self, shape: tuple[int, ...]) -> int:
        """Return the memory `read` takes beside `out`, or `load` for statistics if that is more."""
        reading = self.inner.window_bytes(shape)
        if self.steps and self._wide:
            reading += 4 * self.info.channels * prod(shape)
        return max(reading, self._gathering_bytes()) if self.passes else reading

    def _gathering_bytes(self) -> int:
        shape, channels = self._pass_shape, self.info.channels
        collectors = (make_collector(step) for step in self.steps)
        held = channels * max((c.nbytes for c in collectors if c is not None), default=0)
        window = self.inner.window_bytes(shape) + 4 * channels * prod(shape)
        if self.mask is not None:
            window += self.mask.window_bytes(shape) + 5 * prod(shape)
        return held + window + WORK_BYTES

    def load(self, scratch: Path | None) -> None:
        """Load the wrapped source and gather every step's statistics.

        Raises
        ------
        FormatError
            Values that statistics are taken of are not finite, there are none, or all are equal.
        """
        super().load(scratch)
        for batch in range(self.info.batch):
            self._numbers |= {(batch, channel): [] for channel in range(self.info.channels)}
            for step in self.steps:
                self._settle(step, batch)

    def read(self, region: Region, out: NDArray[Any], batch: int = 0) -> None:
        """Read `region` (D, H, W) of all channels of volume `batch` into `out` (C, d, h, w)."""
        if not self.steps or region.is_empty:
            self.inner.read(region, out, batch)
            return
        values = out if out.dtype == np.float32 else np.empty(out.shape, np.float32)
        self.inner.read(region, values, batch)
        self._apply(values, batch)
        if values is not out:
            out[...] = values

    def _apply(self, values: NDArray[Any], batch: int) -> None:
        """Put `values` (C, d, h, w) through all steps whose statistics are known."""
        for channel, part in enumerate(values):
            for step, numbers in zip(self.steps, self._numbers[batch, channel], strict=False):
                apply_step(step, numbers, part)

    def _settle(self, step: IntensityStep, batch: int) -> None:
        """Find the numbers `step` is applied with, for every channel of volume `batch`."""
        collectors = [make_collector(step) for _ in range(self.info.channels)]
        gathering = [one for one in collectors if one is not None]
        for turn in range(gathering[0].passes if gathering else 0):
            for collector in gathering if turn else ():
                collector.next_pass()
            for values in self._blocks(step, batch):
                for collector, block in zip(gathering, values, strict=True):
                    collector.add(block)
        for channel, one in enumerate(collectors):
            self._numbers[batch, channel].append(self._numbers_of(step, one, channel))

    def _blocks(self, step: IntensityStep, batch: int) -> Iterator[list[NDArray[np.float32]]]:
        """Yield the values that statistics of `step` are taken of, in blocks: one array a channel."""
        for region in Region.whole(self.info.shape).split(self._pass_shape):
            values = np.empty((self.info.channels, *region.shape), np.float32)
            self.inner.read(region, values, batch)
            self._apply(values, batch)
            flat = values.reshape(self.info.channels, -1)
            inside = None if self.mask is None else read_inside(self.mask, region).reshape(-1)
            for at in range(0, flat.shape[1], BLOCK):
                part = flat[:, at : at + BLOCK]
                chosen = None if inside is None else inside[at : at + BLOCK]
                yield [self._select(step, channel, chosen) for channel in part]

    def _select(
        self, step: IntensityStep, values: NDArray[np.float32], chosen: NDArray[np.bool_] | None
    ) -> NDArray[np.float32]:
        above = step.above if isinstance(step, ZScore) else None
        if chosen is not None:
            values = values[chosen]
        if above is not None:
            values = values[values > np.float32(above)]
        if not np.isfinite(values).all():
            count = values.size - np.count_nonzero(np.isfinite(values))
            self._fail(step, f"{count} or more values that are NaN or infinite", "finite ones, or a mask without them")
        return values

    def _numbers_of(self, step: IntensityStep, collector: Collector | None, channel: int) -> Numbers:
        of = f" of channel {channel}" if self.info.channels > 1 else ""
        if collector is not None and not collector.count:
            self._fail(step, f"no voxel{of} that its statistics could be taken of", "some, inside the mask if any")
        numbers = make_numbers(step, collector)
        if collector is not None and numbers[1] == 0:
            self._fail(step, f"values{of} without a spread ({_what(step)} is 0)", _wanted(step))
        return numbers

    def _fail(self, step: IntensityStep, found: str, expected: str) -> NoReturn:
        raise FormatError(
            f"intensity step {describe_step(step)}: found {found}, expected {expected}",
            code="volume.intensity",
            file=name_of(self.inner),
        )


def read_inside(mask: Source, region: Region) -> NDArray[np.bool_]:
    """Return where `mask`, of one channel, is above 0 in `region`: (d, h, w). NaN is outside."""
    values = np.empty((1, *region.shape), np.float32)
    mask.read(region, values)
    inside: NDArray[np.bool_] = values[0] > 0
    return inside


def make_collector(step: IntensityStep) -> Collector | None:
    """Return what gathers the statistics of `step`; None where it needs none."""
    match step:
        case ZScore():
            return Moments()
        case MinMax():
            return Extremes()
        case Percentile():
            return Quantiles(step.low, step.high)
        case _:
            return None


def make_numbers(step: IntensityStep, collector: Collector | None) -> Numbers:
    """Return what `step` is applied with: what is taken away and what is divided by, where there is such."""
    single = np.float32
    with np.errstate(over="ignore"):
        match step, collector:
            case Percentile(eps=eps), Quantiles(values=limits):
                low, high = limits.astype(single)
                return low, high - low + single(eps)
            case ZScore(), Moments(mean=mean, deviation=deviation):
                return single(mean), single(deviation)
            case MinMax(), Extremes(minimum=minimum, maximum=maximum):
                return single(minimum), single(maximum) - single(minimum), single(step.low), single(step.high)
            case Window(low=low, high=high), _:
                return single(low), single(high) - single(low)
            case Rescale(scale=scale, shift=shift), _:
                return single(scale), single(shift)
    raise TypeError(f"no step: {step}")


def apply_step(step: IntensityStep, numbers: Numbers, values: NDArray[Any]) -> None:
    """Put `values` (float32) through `step` in their place."""
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        if isinstance(step, Rescale):
            values *= numbers[0]
            values += numbers[1]
            return
        values -= numbers[0]
        values /= numbers[1]
        if isinstance(step, Percentile | Window):
            np.clip(values, 0, 1, out=values)
        elif isinstance(step, MinMax) and (step.low, step.high) != (0, 1):
            for plane in values:  # low·(1 − t) + high·t gives both ends exactly; a plane at a time bounds the temporary
                low = (1 - plane) * numbers[2]
                plane *= numbers[3]
                plane += low


def _what(step: IntensityStep) -> str:
    match step:
        case ZScore():
            return "sd"
        case MinMax():
            return "max - min"
        case _:
            return "q_high - q_low + eps"


def _wanted(step: IntensityStep) -> str:
    return "different quantiles, or eps above 0" if isinstance(step, Percentile) else "values that differ"


def describe_step(step: IntensityStep) -> str:
    """Return `step` as a plan shows it."""
    match step:
        case ZScore(above=None):
            return "zscore"
        case ZScore(above=above):
            return f"zscore above {above:g}"
        case MinMax(low=low, high=high):
            return f"minmax [{low:g}, {high:g}]"
        case Percentile(low=low, high=high, eps=eps):
            return f"percentile [{low:g}, {high:g}]" + (f" eps {eps:g}" if eps else "")
        case Window(low=low, high=high):
            return f"window [{low:g}, {high:g}]"
        case Rescale(scale=scale, shift=shift):
            return f"affine scale {scale:g} shift {shift:g}"
