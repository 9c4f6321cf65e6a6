"""Sensors and schedule: fresh data start runs once, phases follow each other, people are told."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import UTC, date, datetime
from http.server import BaseHTTPRequestHandler, HTTPServer

import dagster as dg
import pytest

from argus_core.packs import decision_frame, open_pack
from argus_core.settings import NotifySettings
from argus_dagster.loop import CyclePlan, plan_cycle, run_cycle, run_market
from argus_dagster.notifications import notify
from argus_dagster.sensors import due_phases, fresh_requests, newest_session
from argus_dagster.workspace import Workspace

DAY = date(2025, 1, 10)


def test_the_newest_session_is_the_last_one_whose_partition_exists(workspace: Workspace) -> None:
    assert newest_session(workspace, datetime(2025, 1, 10, 23, 0, tzinfo=UTC)) == date(2025, 1, 8)
    assert newest_session(workspace, datetime(2025, 1, 11, 0, 30, tzinfo=UTC)) == date(2025, 1, 10)
    assert newest_session(workspace, datetime(2025, 1, 12, 12, 0, tzinfo=UTC)) == date(2025, 1, 10)


def test_fresh_bars_ask_for_every_symbol_once(workspace: Workspace) -> None:
    requests, cursor = fresh_requests(workspace, {}, [DAY])
    assert [r.partition_key for r in requests] == ["2025-01-10|SPY", "2025-01-10|BTC"]
    assert len({r.run_key for r in requests}) == 2
    again, _ = fresh_requests(workspace, cursor, [DAY])
    assert again == []


def test_data_that_differ_from_the_cursor_ask_again(workspace: Workspace) -> None:
    requests, cursor = fresh_requests(workspace, {}, [DAY])
    corrected = {**cursor, "2025-01-10|SPY": "what it was before"}
    again, _ = fresh_requests(workspace, corrected, [DAY])
    assert [r.partition_key for r in again] == ["2025-01-10|SPY"]
    assert again[0].run_key == requests[0].run_key


def test_phases_follow_each_other_until_a_session_is_complete(
    workspace: Workspace, instance: dg.DagsterInstance
) -> None:
    plan: CyclePlan = plan_cycle(workspace, today=date(2025, 6, 1), day=DAY)
    assert list(due_phases(workspace, DAY)) == []
    for symbol in workspace.symbols:
        run_market(workspace, instance, symbol, plan.sessions)
    assert [job for job, _, _ in due_phases(workspace, DAY)] == ["market_wide"]
    assert run_cycle(workspace, plan).ok
    assert list(due_phases(workspace, DAY)) == []
    # The pack of a cycle carries what the chains say, received before each decision.
    packs = workspace.project.resolve(workspace.project.loop.pack.packs_output_dir)
    pack = open_pack(packs / f"SPY_{plan.window[0]}_{plan.window[-1]}")
    frame = decision_frame(pack, workspace.instrument("SPY"), workspace.calendar, ())
    # The chain that stands when the pack begins, then one a session.
    assert frame["iv_recv_ts"].dt.date().unique().sort().to_list() == [date(2025, 1, 3), *plan.window]
    assert (frame["iv_recv_ts"] <= frame["available_at"]).all()
    assert frame["iv_30"].null_count() == 0


class _Inbox(BaseHTTPRequestHandler):
    received: list[dict] = []  # noqa: RUF012

    def do_POST(self) -> None:
        length = int(self.headers["Content-Length"])
        self.received.append(json.loads(self.rfile.read(length)))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        """Say nothing on standard error."""


@pytest.fixture
def inbox() -> Iterator[tuple[str, list[dict]]]:
    _Inbox.received = []
    server = HTTPServer(("127.0.0.1", 0), _Inbox)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/hook", _Inbox.received
    server.shutdown()


def test_a_webhook_receives_the_event(inbox: tuple[str, list[dict]]) -> None:
    url, received = inbox
    assert notify(NotifySettings(webhook_url=url), "cycle complete", {"date": "2025-01-10"}) == ["webhook"]
    assert received == [{"event": "cycle complete", "date": "2025-01-10"}]


def test_an_unreachable_channel_never_fails_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ARGUS_TELEGRAM_TOKEN", raising=False)
    settings = NotifySettings(webhook_url="http://127.0.0.1:9/hook", telegram_chat_id="1")
    assert notify(settings, "cycle complete", {}) == []


def test_nobody_is_told_where_nothing_is_configured() -> None:
    assert notify(NotifySettings(), "cycle complete", {}) == []
