"""Out of sample: purged splits by label interval, combinatorial purged cross-validation."""

from argus_core.validation.combinatorial import CombinatorialResult, combinatorial_paths
from argus_core.validation.purge import purged_train
from argus_core.validation.splits import (
    combinatorial_splits,
    path_count,
    purged_k_fold,
    split_count,
    walk_forward_splits,
)

__all__ = [
    "CombinatorialResult",
    "combinatorial_paths",
    "combinatorial_splits",
    "path_count",
    "purged_k_fold",
    "purged_train",
    "split_count",
    "walk_forward_splits",
]
