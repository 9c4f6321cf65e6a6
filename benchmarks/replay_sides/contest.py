"""The measuring side of one contestant: a process that answers requests with CPU seconds and what came out.

Runs in the contestant's own environment: standard library and NumPy only. Requests are lines of JSON on stdin
({"task", "seed arguments"}), answers lines of JSON on stdout; what a library prints goes to stderr.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

Bars = Mapping[str, np.ndarray]
#: prepare(bars, arguments) -> run() -> facts(): only ``run`` is timed; facts() tells fills and equities.
Task = Callable[[Bars, Mapping[str, Any]], Callable[[], Callable[[], dict]]]

#: The rule: hold `SHARES` while the fast average is above the slow one, deciding from row `FIRST` on.
FAST, SLOW, SHARES, FIRST, CASH = 20, 100, 100.0, 1_000, 1_000_000.0


def peak_mib() -> float:
    """Largest resident memory of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def serve(tasks: Mapping[str, Task], **about: Any) -> None:
    """Answer requests until stdin ends. ``argv[1]`` is the file of bars."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    with np.load(sys.argv[1]) as stored:
        bars = dict(stored)

    def answer(**values: Any) -> None:
        print(json.dumps(values), file=answers, flush=True)

    answer(ready=True, **about)
    prepared: dict[str, Callable] = {}
    for line in sys.stdin:
        request = json.loads(line)
        name = request.pop("task")
        key = json.dumps([name, request], sort_keys=True)
        try:
            cold = key not in prepared
            if cold:
                prepared[key] = tasks[name](bars, request)
            before = peak_mib()
            gc.collect()
            wall, cpu = time.perf_counter(), time.process_time()
            facts = prepared[key]()
            cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
            answer(cpu=cpu, wall=wall, cold=cold, peak_before=before, peak=peak_mib(), **facts())
        except Exception as error:
            answer(error=f"{type(error).__name__}: {error}")
