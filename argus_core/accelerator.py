"""One door to JAX: 64-bit numbers, a persistent compile cache, shape buckets. Import it where a kernel is built."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from types import ModuleType

#: XLA compiles a loop on the CPU into one function, instead of a chain of kernel launches, only where it touches few
#: bytes. Replays loop over millions of bars and do little at each: one function is ten times faster. The limit can only
#: be given per process; the bootstrap and SPA kernels run as fast with it. GPUs do not read it.
_ONE_FUNCTION = "xla_cpu_small_while_loop_byte_threshold"


def _prefer_whole_loops() -> None:
    """Raise the limit below which XLA compiles CPU loops whole, unless the user set it. Before the backend starts."""
    flags = os.environ.get("XLA_FLAGS", "")
    if "--xla_backend_extra_options" not in flags:
        os.environ["XLA_FLAGS"] = f"{flags} --xla_backend_extra_options={_ONE_FUNCTION}=1000000000".strip()


@lru_cache(maxsize=1)
def load_jax() -> ModuleType:
    """Import and configure JAX once per process: float64 on, compile cache in the user's cache folder."""
    _prefer_whole_loops()
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
