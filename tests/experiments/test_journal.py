"""Chunks of a killed sweep are found again, whole and of the same runs, or not at all."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from polars.testing import assert_frame_equal

from argus_core.experiments import replays, run_experiments
from argus_core.experiments.journal import ReplayJournal

SWEEP = ("Swing", {}, "swing.yaml")
QUICK = {"lookahead_cuts": 1, "mc_bootstrap": False, "cost_multipliers": (1.0,)}


@pytest.fixture
def small_chunks(monkeypatch):
    monkeypatch.setattr(replays, "CHUNK", 2)
    monkeypatch.setattr(replays, "CALLBACK_CHUNK", 2)


def same(one, other) -> None:
    for name in ("runs", "trades", "returns", "ledger"):
        assert_frame_equal(getattr(one, name), getattr(other, name), check_exact=True)
    assert one.manifests == other.manifests


def test_what_the_journal_gives_back_is_what_was_computed(pack, loop_of, calendar, tmp_path, small_chunks, monkeypatch):
    plain = run_experiments(pack, loop_of(SWEEP, ("Caller", {}, None), **QUICK), calendar=calendar)
    journal = ReplayJournal(tmp_path / "journal")
    first = run_experiments(pack, loop_of(SWEEP, ("Caller", {}, None), **QUICK), calendar=calendar, journal=journal)
    assert len(list((tmp_path / "journal").glob("*.json"))) == -(-len(plain.runs.filter(strategy="Swing")) // 2)
    # Nothing is replayed again: the kernel is out of reach.
    monkeypatch.setattr(replays, "_columnar", lambda *_: pytest.fail("a finished chunk was replayed"))
    again = run_experiments(pack, loop_of(SWEEP, ("Caller", {}, None), **QUICK), calendar=calendar, journal=journal)
    same(plain, first)
    same(plain, again)
    journal.clear()
    assert not (tmp_path / "journal").exists()


def test_failed_trials_are_kept_with_their_reason(pack, loop_of, calendar, tmp_path, small_chunks):
    journal = ReplayJournal(tmp_path)
    loop = loop_of(("Fragile", {}, "fragile.yaml"), **QUICK)
    sweep = loop.root / "fragile.yaml"
    if not sweep.exists():
        sweep.write_text("params: {every: [6, 7, 8, 9]}\n")
    first = run_experiments(pack, loop, calendar=calendar, journal=journal)
    again = run_experiments(pack, loop, calendar=calendar, journal=journal)
    same(first, again)
    assert first.runs.filter(status="infrastructure_failed")["reason"].str.contains("ZeroDivisionError").any()


def test_a_damaged_cut_or_foreign_chunk_is_replayed(pack, loop_of, calendar, tmp_path, small_chunks):
    journal = ReplayJournal(tmp_path)
    whole = run_experiments(pack, loop_of(SWEEP, **QUICK), calendar=calendar, journal=journal)
    documents = sorted(tmp_path.glob("*.json"))
    documents[0].write_bytes(documents[0].read_bytes()[:-20])
    trades = sorted(tmp_path.glob("*.trades.parquet"))[1]
    trades.write_bytes(trades.read_bytes()[:-1] + b"!")
    sorted(tmp_path.glob("*.daily.parquet"))[2].unlink()
    documents[3].write_bytes(documents[1].read_bytes())
    same(whole, run_experiments(pack, loop_of(SWEEP, **QUICK), calendar=calendar, journal=journal))


SCRIPT = """
import pickle, sys, time
from argus_core.experiments import replays, run_experiments
from argus_core.experiments.journal import ReplayJournal
replays.CHUNK = 2
pack, loop, calendar = pickle.load(open(sys.argv[1], "rb"))
kept = ReplayJournal.store
def slow(self, *given):
    kept(self, *given)
    print("stored", flush=True)
    time.sleep(0.5)
ReplayJournal.store = slow
run_experiments(pack, loop, calendar=calendar, journal=ReplayJournal(sys.argv[2]))
"""


def test_a_killed_process_leaves_its_finished_chunks(pack, loop_of, calendar, tmp_path, small_chunks):
    loop = loop_of(SWEEP, **QUICK)
    (tmp_path / "given.pickle").write_bytes(pickle.dumps((pack, loop, calendar)))
    folder = tmp_path / "journal"
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(tmp_path / "given.pickle"), str(folder)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    assert process.stdout is not None
    for _ in range(2):
        assert process.stdout.readline().strip() == "stored"
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    finished = {path.name: path.stat().st_mtime_ns for path in folder.glob("*.json")}
    assert 2 <= len(finished) < 5
    time.sleep(0.02)
    found = run_experiments(pack, loop, calendar=calendar, journal=ReplayJournal(folder))
    assert {name: (folder / name).stat().st_mtime_ns for name in finished} == finished
    same(found, run_experiments(pack, replace(loop), calendar=calendar))
