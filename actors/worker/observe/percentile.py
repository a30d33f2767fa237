"""Percentiles of a histogram (pure)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate


def percentile(share: float, counts: Sequence[int], bounds: Sequence[float]) -> float:
    """Return the duration that a ``share`` of those in a histogram does not exceed.

    Between two bounds durations count as evenly spread. Above the last bound it is that bound;
    without durations it is NaN.

    Args:
        share: more than 0, and 1 at the most.
        counts: how many durations lie at or below each bound and above the one before, and how many
            above the last.
        bounds: the upper bounds, in seconds.
    """
    total = sum(counts)
    if not total:
        return math.nan
    wanted = share * total
    place = next(place for place, below in enumerate(accumulate(counts)) if below >= wanted)
    if place >= len(bounds):
        return bounds[-1]
    low, high = bounds[place - 1] if place else 0.0, bounds[place]
    inside = wanted - sum(counts[:place])
    return min(high, low + (high - low) * inside / counts[place])
