"""One bootstrap for everything: the counter hash, block lengths, resampled means, trade paths and joint paths."""

from argus_core.bootstrap.block_length import BlockLength, optimal_block_length
from argus_core.bootstrap.trade_paths import PathStatistics, resample_paths

__all__ = [
    "BlockLength",
    "PathStatistics",
    "optimal_block_length",
    "resample_paths",
]
