from __future__ import annotations

import asyncio
from typing import Any

import pytest
from stormproof.sim.services import (
    Latency,
    RateLimit,
    RateLimited,
    Service,
    operation,
)

# --- rate limits and latency ------------------------------------------------------------------------------------------


class Limited(Service):
    latency = Latency.none()
    rate_limit = RateLimit.per_second(2)

    @operation
    async def call(self) -> int:
        return self.now_us()

    @operation(rate_limit=RateLimit.per_minute(1))
    async def rare(self) -> None:
        return None


def test_a_rate_limit_refuses_and_says_when_to_come_back(world: Any) -> None:
    small = world(Limited())

    async def main() -> int:
        client = Limited.client()
        await client.call()
        await client.call()
        with pytest.raises(RateLimited, match="429") as caught:
            await client.call()
        retry_after_us = caught.value.retry_after_us
        assert 400_000 < retry_after_us <= 500_000
        await asyncio.sleep(retry_after_us / 1_000_000)
        await client.call()
        with pytest.raises(RateLimited):
            await client.call()
        return retry_after_us

    small.run(main)


def test_an_operation_may_have_a_limit_of_its_own(world: Any) -> None:
    small = world(Limited())

    async def main() -> None:
        client = Limited.client()
        await client.rare()
        with pytest.raises(RateLimited):
            await client.rare()
        await client.call()

    small.run(main)


@pytest.mark.parametrize(
    ("latency", "low_us", "high_us"),
    [
        (Latency.none(), 0, 0),
        (Latency.fixed_us(7), 7, 7),
        (Latency.between_us(5, 9), 5, 9),
        (Latency.log_between_us(10, 10_000), 10, 10_000),
        (Latency.long_tail_us(100, 100_000), 50, 100_000),
    ],
)
def test_latencies_keep_to_their_range(world: Any, latency: Latency, low_us: int, high_us: int) -> None:
    choices = world().choices
    drawn = [latency.draw_us(choices, "x.latency") for _ in range(500)]
    assert low_us <= min(drawn)
    assert max(drawn) <= high_us
    if high_us - low_us > 3:
        assert max(drawn) - min(drawn) > (high_us - low_us) // 3


def test_a_long_tail_is_mostly_near_its_typical_value(world: Any) -> None:
    choices = world().choices
    drawn = sorted(Latency.long_tail_us(1_000, 1_000_000).draw_us(choices, "x.latency") for _ in range(1000))
    assert 700 < drawn[500] < 1_300
    assert sum(value > 1_500 for value in drawn) in range(30, 100)


def test_the_same_seed_gives_the_same_digest_and_another_seed_another(world: Any) -> None:
    def digest(seed: int) -> str:
        small = world(Limited(), seed=seed)
        small.run(Limited.client().call)
        return str(small.digest.hexdigest())

    assert digest(1) == digest(1) != digest(2)
