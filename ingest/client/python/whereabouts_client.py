"""A driver's connection to Whereabouts, written from PROTOCOL.md alone: one file, for Python 3.10 and newer.

    pip install websockets
    python3 whereabouts_client.py ws://127.0.0.1:8080 "$TOKEN" 52.2297 21.0122

    async with DriverClient("wss://ingest.example.com", get_token) as client:
        client.report(lat=52.2297, lon=21.0122, status="available")
        await client.checkpoint("trip-4711-end", lat=52.2297, lon=21.0122, deadline_s=600)

It keeps one report, the newest, and the checkpoints that wait. Everything else follows from what a connection hears.
`on_event(name, **details)` is told of `open`, `ack`, `nack`, `persisted`, `pace`, `refused` and `close`.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import inspect
import json
import random
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

PATH = "/v1/stream"
SUBPROTOCOL = "whereabouts.v1.json"
SUPERSEDED, FORBIDDEN, TOKEN_ENDED = 4409, 4403, 4401
DRAINING = (1001, 1012)
OVERLOAD = (1013, 4429)
BASE_S, LONGEST_S = 0.5, 30.0
TOKEN_BASE_S, TOKEN_LONGEST_S = 10.0, 300.0
LONGEST_RETRY_AFTER_S = 300.0
#: A lost connection is noticed after twice this.
PING_S = 20.0
LONGEST_SLEEP_S = 3600.0
#: The limit that is part of the protocol, until `hello` names the server's.
MAX_WAITING_CHECKPOINTS = 10


def monotonic_s() -> float:
    """Goes on while the device sleeps, where there is such a clock."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)


class CheckpointError(Exception):
    """`code`: of the nack, or `closed`, or `deadline`. After the last two it may be in the archive all the same."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code


@dataclass(eq=False)
class Outgoing:
    fields: dict[str, Any]
    taken_s: float = field(default_factory=monotonic_s)
    #: Fixed when it is first sent: sent again, it is the same report.
    recorded_at_ms: int | None = None
    #: On this connection; None until it is sent there.
    seq: int | None = None
    send_at_s: float = 0.0
    is_nacked: bool = False
    persisted: asyncio.Future[None] | None = None


class DriverClient:
    def __init__(
        self,
        url: str,
        get_token: Callable[[], str | Awaitable[str]],
        *,
        ack: str = "sparse",
        on_event: Callable[..., None] = lambda name, **details: None,
    ) -> None:
        self._url = f"{url.rstrip('/')}{'' if url.rstrip('/').endswith(PATH) else PATH}?ack={ack}"
        self._get_token = get_token
        self._tell = on_event
        self._newest: Outgoing | None = None
        self._checkpoints: list[Outgoing] = []
        self._wake = asyncio.Event()
        self._socket: ClientConnection | None = None
        self._task: asyncio.Task[None] | None = None
        self._limits: dict[str, Any] = {}
        self._clock: tuple[float, float] = (0.0, 0.0)  # the server's ms, and our seconds then
        self._last_recorded_ms = 0
        self._failures = 0
        self._token = ""
        self._refused_token = ""
        self._refusals = 0
        self._retry_token_at_s = 0.0
        self._has_ended = False

    # ---- for the app

    async def __aenter__(self) -> DriverClient:
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def report(self, *, lat: float, lon: float, **more: Any) -> None:
        """Takes the place of the report before. `more`: heading_deg, speed_mps, accuracy_m, status, services."""
        self._newest = Outgoing({"lat": lat, "lon": lon, **more})
        self._wake.set()

    async def checkpoint(
        self, checkpoint_id: str, *, lat: float, lon: float, deadline_s: float | None = None, **more: Any
    ) -> None:
        """Returns when it stands in the archive, over as many connections as that takes."""
        if self._has_ended:
            raise CheckpointError("closed", "the client is closed")
        if len(self._checkpoints) >= self._limits.get("max_waiting_checkpoints", MAX_WAITING_CHECKPOINTS):
            raise CheckpointError("too_many_checkpoints", "too many wait already")
        fields = {"lat": lat, "lon": lon, **more, "checkpoint": True, "checkpoint_id": checkpoint_id}
        persisted = asyncio.get_running_loop().create_future()
        waiting = Outgoing(fields, persisted=persisted)
        self._newest = None  # it is older now, and would be called stale
        self._checkpoints.append(waiting)
        self._wake.set()
        try:
            await asyncio.wait_for(persisted, deadline_s)
        except asyncio.TimeoutError:
            raise CheckpointError("deadline", "it was not persisted in time") from None
        finally:
            if waiting in self._checkpoints:
                self._checkpoints.remove(waiting)

    async def close(self) -> None:
        self._end("the client was closed")
        if self._socket is not None:
            try:
                await self._socket.send(json.dumps({"type": "bye"}))
                await self._socket.close(1000)
            except ConnectionClosed:
                pass
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    # ---- one connection after the other

    async def _run(self) -> None:
        try:
            while not self._has_ended:
                code, status, reason, retry_after_s = await self._connect_once()
                wait_s = retry_after_s + self._wait_s(code, status, reason)
                back_in_s = None if self._has_ended else wait_s
                self._tell("close", code=code, status=status, reason=reason, reconnect_in_s=back_in_s)
                if not self._has_ended:
                    await asyncio.sleep(wait_s)
        finally:
            self._end("the client has ended")

    async def _connect_once(self) -> tuple[int, int | None, str, float]:
        """From the token to the end: how it ended, or why it never was, and how long the server wants us to wait."""
        try:
            token = await self._token_to_use()
        except Exception as error:  # the app's: asked again later, and told each time
            return 1006, None, f"no token: {error}", 0.0
        try:
            async with self._connect(token) as socket:
                self._socket = socket
                try:
                    await self._talk(socket)
                except ConnectionClosed:
                    pass
            return socket.close_code or 1006, None, socket.close_reason or "the connection broke", 0.0
        except InvalidStatus as error:
            status, headers = error.response.status_code, error.response.headers
            said = error.response.body[:200].decode(errors="replace")
            return 1006, status, f"HTTP {status} {said}", seconds_of(headers.get("Retry-After"))
        except (OSError, InvalidHandshake, asyncio.TimeoutError) as error:
            return 1006, None, str(error) or type(error).__name__, 0.0
        finally:
            self._socket = None

    def _connect(self, token: str) -> connect:
        headers = {"Authorization": f"Bearer {token}"}
        limits = {"open_timeout": 10, "close_timeout": 2, "max_size": 64 * 1024}
        pings = {"ping_interval": PING_S, "ping_timeout": PING_S}
        return connect(
            self._url,
            subprotocols=[SUBPROTOCOL],
            additional_headers=headers,
            compression=None,
            **limits,
            **pings,
        )

    def _wait_s(self, code: int, status: int | None, reason: str) -> float:
        """Until the next connection. Full jitter: those who were cut off together do not come back together."""
        attempt, self._failures = self._failures, self._failures + 1
        if code in (SUPERSEDED, FORBIDDEN):
            self._end(reason)
            return 0.0
        if code == TOKEN_ENDED or status in (401, 403):
            self._token_refused(reason)
        if code in DRAINING and attempt == 0:
            return random.uniform(0, 1)
        if code in OVERLOAD or status in (429, 503):
            attempt = max(attempt, 3)
        return random.uniform(0, min(BASE_S * 2 ** min(attempt, 30), LONGEST_S))

    def _token_refused(self, reason: str) -> None:
        if self._token != self._refused_token:
            self._refused_token, self._refusals = self._token, 0
        pause_s = min(TOKEN_BASE_S * 2 ** min(self._refusals, 30), TOKEN_LONGEST_S) * random.uniform(0.5, 1)
        self._refusals += 1
        self._retry_token_at_s = monotonic_s() + pause_s
        self._tell("refused", reason=reason, retry_in_s=pause_s)

    async def _token_to_use(self) -> str:
        """Another than the refused one at once, the same one after its pause."""
        attempt = 0
        while True:
            self._token = await self._ask_for_token()
            now_s = monotonic_s()
            if self._token != self._refused_token or now_s >= self._retry_token_at_s:
                return self._token
            attempt += 1
            wait_s = random.uniform(0, min(BASE_S * 2 ** min(attempt, 30), LONGEST_S))
            await asyncio.sleep(min(wait_s, self._retry_token_at_s - now_s))

    async def _ask_for_token(self) -> str:
        token = self._get_token()
        return await token if inspect.isawaitable(token) else token

    def _end(self, why: str) -> None:
        self._has_ended = True
        for waiting in self._checkpoints:
            if waiting.persisted and not waiting.persisted.done():
                waiting.persisted.set_exception(CheckpointError("closed", why))

    # ---- while it is connected

    async def _talk(self, socket: ClientConnection) -> None:
        hello = json.loads(await asyncio.wait_for(socket.recv(), 10))
        self._limits = hello["limits"]
        self._clock = (hello["server_time_ms"], monotonic_s())
        self._last_recorded_ms = 0
        self._seq = 0
        self._interval_s = self._limits["report_interval_ms"] / 1000
        self._report_at_s = 0.0
        self._token_failures = 0
        self._has_brought_token = self._is_token_nacked = False
        for outgoing in self._all():
            outgoing.seq, outgoing.send_at_s, outgoing.is_nacked = None, 0.0, False
        self._renew_at_s = self._end_of_token_s()
        self._tell("open", session=hello["session"])
        sender = asyncio.create_task(self._send_for_ever(socket))
        try:
            async for text in socket:
                if isinstance(text, str) and self._heard(json.loads(text)):
                    await socket.close(1000, "the time has to be learnt anew")
                self._wake.set()
        finally:
            sender.cancel()
            await asyncio.gather(sender, return_exceptions=True)

    def _all(self) -> list[Outgoing]:
        return [*self._checkpoints, *([self._newest] if self._newest else [])]

    async def _send_for_ever(self, socket: ClientConnection) -> None:
        while True:
            self._wake.clear()
            if monotonic_s() >= self._renew_at_s:
                await self._renew(socket)
            while (outgoing := self._due()) is not None:
                await socket.send(json.dumps(self._message(outgoing)))
            wait_s = min(max(0.001, self._next_at_s() - monotonic_s()), LONGEST_SLEEP_S)
            timer = asyncio.get_running_loop().call_later(wait_s, self._wake.set)
            try:
                await self._wake.wait()
            finally:
                timer.cancel()

    def _waiting(self) -> list[tuple[float, Outgoing]]:
        """What is to be sent and when: checkpoints in their order, then the newest report."""
        due = [(one.send_at_s, one) for one in self._checkpoints if one.seq is None or one.is_nacked]
        newest = self._newest
        if newest and newest.seq is None:
            due.append((max(newest.send_at_s, self._report_at_s), newest))
        elif newest and newest.is_nacked:
            due.append((newest.send_at_s, newest))
        return due

    def _due(self) -> Outgoing | None:
        now_s = monotonic_s()
        for at_s, outgoing in self._waiting():
            if at_s > now_s:
                continue
            if outgoing is self._newest and self._is_too_late(outgoing, now_s):
                self._newest = None
                continue
            return outgoing
        return None

    def _is_too_late(self, report: Outgoing, now_s: float) -> bool:
        is_behind = (
            report.seq is None and (report.recorded_at_ms or self._last_recorded_ms + 1) <= self._last_recorded_ms
        )
        return is_behind or (now_s - report.taken_s) * 1000 > self._limits["freshness_ms"]

    def _next_at_s(self) -> float:
        return min([self._renew_at_s, *(at_s for at_s, _ in self._waiting())], default=float("inf"))

    def _message(self, outgoing: Outgoing) -> dict[str, Any]:
        now_s = monotonic_s()
        if outgoing.seq is None:
            self._seq += 1
            outgoing.seq = self._seq
        if outgoing.recorded_at_ms is None:
            server_ms, then_s = self._clock
            at_ms = round(server_ms + (outgoing.taken_s - then_s) * 1000)
            outgoing.recorded_at_ms = max(at_ms, self._last_recorded_ms + 1)
        self._last_recorded_ms = max(self._last_recorded_ms, outgoing.recorded_at_ms)
        outgoing.is_nacked = False
        if outgoing.persisted is None:
            self._report_at_s = now_s + self._interval_s
        return {"type": "position", "seq": outgoing.seq, "recorded_at_ms": outgoing.recorded_at_ms, **outgoing.fields}

    def _heard(self, message: dict[str, Any]) -> bool:
        """True where the time has to be learnt anew. What is not known is left unread."""
        kind = message.get("type")
        if kind == "ack":
            self._failures, self._refused_token = 0, ""
            for one in self._all():
                # Of those before, the refused ones are not settled with it.
                if one.seq == message["seq"]:
                    one.is_nacked = False
            self._tell("ack", seq=message["seq"])
        elif kind == "persisted":
            for one in self._checkpoints:
                if one.seq == message["seq"] and not one.persisted.done():
                    one.persisted.set_result(None)
            self._tell("persisted", seq=message["seq"])
        elif kind == "pace":
            self._interval_s = message["report_interval_ms"] / 1000
            self._tell("pace", report_interval_ms=message["report_interval_ms"])
        elif kind == "nack":
            self._tell("nack", **{name: message.get(name) for name in ("seq", "code", "retryable", "detail")})
            return self._nacked(message)
        return False

    def _nacked(self, message: dict[str, Any]) -> bool:
        seq, code, retryable = message["seq"], message["code"], message["retryable"]
        again_at_s = monotonic_s() + message.get("retry_after_ms", 1000) / 1000
        if seq is None:
            if self._has_brought_token:
                self._is_token_nacked = True
                pause_s = self._token_pause_s() if code == "bad_message" else 0.0
                self._renew_at_s = max(again_at_s, monotonic_s() + pause_s)
            return False
        for one in self._checkpoints:
            if one.seq != seq:
                continue
            if retryable or code == "too_fast":
                one.is_nacked, one.send_at_s = True, again_at_s
                one.seq = one.seq if retryable else None
            elif not one.persisted.done():
                one.persisted.set_exception(CheckpointError(code, message["detail"]))
            return False
        newest = self._newest
        # One that can be retried refuses the reports before it, too.
        if newest is None or newest.seq is None or not (newest.seq == seq or (retryable and newest.seq < seq)):
            return False
        if retryable:
            newest.is_nacked, newest.send_at_s = True, again_at_s
            return False
        self._newest = None
        if code == "too_fast":
            self._report_at_s = max(self._report_at_s, again_at_s)
        is_young = (monotonic_s() - newest.taken_s) * 1000 <= self._limits["freshness_ms"]
        return code == "clock_ahead" or (code == "too_old" and is_young)

    # ---- a fresh token before the old one ends

    def _end_of_token_s(self) -> float:
        """A minute before, or at the half of a short life; never where the token does not say."""
        try:
            payload = self._token.split(".")[1]
            ends_ms = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["exp"] * 1000
        except (IndexError, KeyError, ValueError, TypeError):
            return float("inf")
        server_ms, then_s = self._clock
        left_s = max((ends_ms - server_ms) / 1000 - (monotonic_s() - then_s), 0)
        return monotonic_s() + left_s - min(60, left_s / 2)

    def _token_pause_s(self) -> float:
        """Grows from 10 s to 5 minutes."""
        self._token_failures += 1
        longest_s = min(TOKEN_BASE_S * 2 ** min(self._token_failures - 1, 30), TOKEN_LONGEST_S)
        return longest_s * random.uniform(0.5, 1)

    async def _renew(self, socket: ClientConnection) -> None:
        try:
            token = await self._ask_for_token()
        except Exception:  # asked again after a pause, and at the latest after 4401
            token = self._token
        if token == self._token and not self._is_token_nacked:
            self._renew_at_s = monotonic_s() + self._token_pause_s()
            return
        self._token, self._has_brought_token, self._is_token_nacked = token, True, False
        await socket.send(json.dumps({"type": "token", "token": token}))
        self._renew_at_s = self._end_of_token_s()


def seconds_of(retry_after: str | None) -> float:
    return min(float(retry_after), LONGEST_RETRY_AFTER_S) if retry_after and retry_after.isdigit() else 0.0


async def main() -> None:
    parser = argparse.ArgumentParser(description="Reports a place every two seconds, and prints what comes of it.")
    parser.add_argument("url", help="ws://127.0.0.1:8080")
    parser.add_argument("token", help="of a driver: npm run -s token -- --driver anna")
    parser.add_argument("lat", type=float)
    parser.add_argument("lon", type=float)
    parser.add_argument("--checkpoint", metavar="ID", help="begin with a checkpoint, and wait until it is persisted")
    given = parser.parse_args()
    place = {"lat": given.lat, "lon": given.lon}

    def show(name: str, **details: Any) -> None:
        print(name, json.dumps(details), flush=True)

    async with DriverClient(given.url, lambda: given.token, ack="each", on_event=show) as client:
        if given.checkpoint:
            await client.checkpoint(given.checkpoint, **place, deadline_s=60)
        while True:
            client.report(**place)
            await asyncio.sleep(2)


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        sys.exit(130)
