"""How fast memory grows: a straight line through the samples, by least squares."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from soak.watch import Usage

#: The part of the samples that counts as warm-up.
WARM_UP = 0.3


@dataclass(frozen=True)
class Slope:
    """MiB per hour, and the standard error of that."""

    mean: float
    error: float

    def __str__(self) -> str:
        """With the error."""
        return f"{self.mean:+.2f} ± {self.error:.2f} MiB/h"


def after_warm_up(samples: Sequence[Usage]) -> Sequence[Usage]:
    """The samples that count."""
    return samples[int(len(samples) * WARM_UP) :]


def grown(samples: Sequence[Usage]) -> float:
    """KiB from the first half of what counts to the second, by medians: single samples go up and down."""
    sizes = [sample.memory for sample in after_warm_up(samples)]
    half = len(sizes) // 2
    return statistics.median(sizes[half:]) - statistics.median(sizes[:half])


def of(samples: Sequence[Usage]) -> Slope:
    """The slope of what follows the warm-up. The error is that of independent samples."""
    counted = after_warm_up(samples)
    hours = [(sample.at - counted[0].at) / 3600 for sample in counted]
    sizes = [sample.memory / 1024 for sample in counted]
    middle, size = sum(hours) / len(hours), sum(sizes) / len(sizes)
    spread = sum((hour - middle) ** 2 for hour in hours)
    mean = sum((hour - middle) * (one - size) for hour, one in zip(hours, sizes, strict=True)) / spread
    left = sum((one - size - mean * (hour - middle)) ** 2 for hour, one in zip(hours, sizes, strict=True))
    return Slope(mean, math.sqrt(left / (len(counted) - 2) / spread))
