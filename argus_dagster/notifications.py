"""Tell people: a webhook and Telegram, retried, never able to fail a run."""

from __future__ import annotations

import os
from typing import Any

import structlog

from argus_core.settings import NotifySettings

TELEGRAM_TOKEN = "ARGUS_TELEGRAM_TOKEN"
TIMEOUT_SECONDS = 10.0

log = structlog.get_logger()


def notify(settings: NotifySettings, event: str, details: dict[str, Any]) -> list[str]:
    """Send ``event`` to every configured channel; return the channels that took it.

    A channel that stays unreachable after three tries is logged and left out: telling must not fail the work.
    """
    if not settings.webhook_url and not settings.telegram_chat_id:
        return []
    # Network code is loaded only where a channel is configured.
    import httpx2
    import stamina

    text = f"Argus: {event}\n" + "\n".join(f"{key}: {value}" for key, value in details.items())
    channels: dict[str, tuple[str, dict[str, Any]]] = {}
    if settings.webhook_url:
        channels["webhook"] = (settings.webhook_url, {"event": event, **details})
    token = os.environ.get(TELEGRAM_TOKEN)
    if settings.telegram_chat_id and token:
        url = f"https://api.telegram.org/bot{token}/sendMessage"
        channels["telegram"] = (url, {"chat_id": settings.telegram_chat_id, "text": text})
    elif settings.telegram_chat_id:
        log.warning("telegram is configured but not usable", missing_variable=TELEGRAM_TOKEN)
    sent = []
    for name, (url, payload) in channels.items():
        try:
            for attempt in stamina.retry_context(on=httpx2.HTTPError, attempts=3, wait_initial=0.2):
                with attempt:
                    httpx2.post(url, json=payload, timeout=TIMEOUT_SECONDS).raise_for_status()
            sent.append(name)
        except httpx2.HTTPError as error:
            # The address of a bot holds its token, so it is not logged.
            log.warning("notification failed", channel=name, error=type(error).__name__)
    return sent
