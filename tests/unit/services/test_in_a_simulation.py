"""Services under the real engine: what activities do, and what the record keeps."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import httpx
import pytest
import requests
import urllib3

import stormproof
from stormproof import activity, workflow
from stormproof.client import Client
from stormproof.common import RetryPolicy
from stormproof.services import HttpService, Latency, Service, as_blocking, operation, start_service
from stormproof.worker import Worker

SECONDS_10 = timedelta(seconds=10)


class Stock(Service):
    latency = Latency.between_us(1_000, 100_000)
    rate_limit = None

    def __init__(self) -> None:
        self.taken: list[str] = []

    @operation(effect_key="item")
    async def take(self, item: str) -> int:
        self.taken.append(item)
        return len(self.taken)


class Shy:
    """An ASGI app that is busy twice before it answers."""

    def __init__(self) -> None:
        self.asked = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            self.asked += 1
            busy = self.asked <= 2
            headers = [(b"retry-after", b"30")] if busy else []
            await send({"type": "http.response.start", "status": 503 if busy else 200, "headers": headers})
            await send({"type": "http.response.body", "body": (await receive())["body"]})


class Activities:
    """The client comes from outside, as in production."""

    def __init__(self, stock: Stock) -> None:
        self.stock = stock

    @activity.defn
    async def by_coroutine(self, item: str) -> int:
        return await self.stock.take(item)

    @activity.defn
    def by_thread(self, item: str) -> int:
        return as_blocking(self.stock.take)(item)

    @activity.defn
    async def by_httpx(self, item: str) -> str:
        async with httpx.AsyncClient() as client:
            response = await client.post("http://shy.test/echo", json={"item": item})
        response.raise_for_status()
        return str(response.json()["item"])

    @activity.defn
    def by_requests(self, item: str) -> str:
        session = requests.Session()
        retry = urllib3.Retry(total=3, status_forcelist=[503], allowed_methods=None)
        session.mount("http://", requests.adapters.HTTPAdapter(max_retries=retry))
        return str(session.post("http://shy.test/echo", json={"item": item}, timeout=5).json()["item"])


@workflow.defn
class UseAll:
    @workflow.run
    async def run(self, names: list[str]) -> list[Any]:
        return [
            await workflow.execute_activity(
                name, "lamp", start_to_close_timeout=timedelta(minutes=5), retry_policy=RetryPolicy(maximum_attempts=5)
            )
            for name in names
        ]


def driver(*names: str) -> Any:
    async def main() -> None:
        start_service(Stock)
        start_service(HttpService("shy", Shy(), hosts=["shy.test"], effects={("POST", "/echo"): "item"}))
        client = await Client.connect("simulation")
        made = Activities(Stock.client())
        activities = [made.by_coroutine, made.by_thread, made.by_httpx, made.by_requests]
        async with Worker(client, task_queue="q", workflows=[UseAll], activities=activities):
            await client.execute_workflow(UseAll.run, list(names), id="w", task_queue="q")

    return main


def run(*names: str, seed: int = 1, faults: Any = False) -> stormproof.RunRecord:
    return stormproof.simulate(driver(*names), seed=seed, faults=faults)


def test_coroutine_and_thread_activities_reach_a_service_and_the_ledger_says_who() -> None:
    record = run("by_coroutine", "by_thread")
    assert record.error == ""
    assert record.outcomes[0]["result"] == [1, 2]
    first, second = record.ledgers[0]["effects"]
    assert (first["workflow_id"], first["activity_type"], first["attempt"]) == ("w", "by_coroutine", 1)
    assert (second["workflow_id"], second["activity_type"], second["node"]) == ("w", "by_thread", "worker-1")
    assert first["run_id"] == record.outcomes[0]["run_id"]
    json.dumps(record.ledgers)


def test_httpx_is_retried_by_the_activity_and_requests_by_its_adapter_in_virtual_time() -> None:
    record = run("by_httpx")
    assert record.outcomes[0]["result"] == ["lamp"]
    (effect,) = record.ledgers[1]["effects"]
    assert effect["attempt"] == 3
    record = run("by_requests")
    assert record.outcomes[0]["result"] == ["lamp"]
    (effect,) = record.ledgers[1]["effects"]
    assert effect["attempt"] == 1
    # Two pauses of 30 s, as Retry-After asks.
    assert 60_000_000 < effect["time_us"] - record.histories[0].events[0].time_us < 65_000_000


def test_the_same_seed_gives_the_same_digest() -> None:
    names = ("by_coroutine", "by_thread", "by_httpx", "by_requests")
    digests = [run(*names, seed=seed).digest for seed in (1, 1, 2)]
    assert digests[0] == digests[1] != digests[2]


@pytest.mark.parametrize("seed", range(5))
def test_faults_strike_services(seed: int) -> None:
    record = run("by_coroutine", "by_httpx", seed=seed, faults=True)
    assert record.digest == run("by_coroutine", "by_httpx", seed=seed, faults=True).digest
