"""One door to JAX: 64-bit numbers, a persistent compile cache, shape buckets. Import it where a kernel is built."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from types import ModuleType


@lru_cache(maxsize=1)
def load_jax() -> ModuleType:
    """Import and configure JAX once per process: float64 on, compile cache in the user's cache folder."""
    import jax

    jax.config.update("jax_enable_x64", True)
    cache = os.environ.get("JAX_COMPILATION_CACHE_DIR") or str(Path.home() / ".cache" / "argus" / "jax")
    jax.config.update("jax_compilation_cache_dir", cache)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    return jax


def bucket(size: int, *, smallest: int = 64) -> int:
    """Padded length for ``size``: the next of smallest, 1.5x, 2x, 3x, 4x ... so that few shapes are compiled."""
    edge = smallest
    while edge < size:
        half = edge + edge // 2
        if half >= size:
            return half
        edge *= 2
    return edge
