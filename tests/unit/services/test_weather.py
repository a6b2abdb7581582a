from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from datetime import timedelta
from typing import Any

import pytest
from stormproof.engine.core.errors import MisuseError
from stormproof.sim.services import (
    CallTimedOut,
    Condition,
    ConnectionLost,
    Down,
    DuplicateRequest,
    Errors,
    ErrorsAfterEffect,
    Hang,
    LateEffect,
    Latency,
    RateLimit,
    RateLimited,
    ReplyLost,
    Service,
    ServiceCall,
    ServiceConditions,
    ServiceRefused,
    ServiceUnavailable,
    Slow,
    Throttled,
    operation,
)


class Shop(Service):
    latency = Latency.fixed_us(10_000)
    timeout = timedelta(seconds=5)

    def __init__(self) -> None:
        self.sold: list[str] = []

    @operation(effect_key="item")
    async def sell(self, item: str) -> int:
        self.sold.append(item)
        return len(self.sold)

    @operation
    async def look(self) -> int:
        return len(self.sold)


class Bites:
    """Notes which conditions really bit."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, bool]] = []

    def __call__(self, condition: Condition, call: ServiceCall) -> None:
        self.seen.append((condition.kind, call.operation, call.effect is not None))


@pytest.fixture
def small(world: Any) -> Any:
    return world(Shop())


@pytest.fixture
def weather(small: Any) -> ServiceConditions:
    conditions: ServiceConditions = small.services.host("shop").conditions
    return conditions


@pytest.fixture
def bites() -> Bites:
    return Bites()


def sold(small: Any) -> list[str]:
    return list(small.services.get(Shop).sold)


def sell(item: str = "a") -> Coroutine[Any, Any, int]:
    return Shop.client().sell(item)


async def failing_at(small: Any, error: type[BaseException]) -> tuple[BaseException, int]:
    """Sell, which fails with ``error``: the error, and when the caller learnt it."""
    with pytest.raises(error) as caught:
        await sell()
    return caught.value, small.elapsed_us


def test_down_refuses_connections_and_nothing_happens(small: Any, weather: ServiceConditions, bites: Bites) -> None:
    down = weather.set(Down(on_bite=bites))
    error, at_us = small.run(lambda: failing_at(small, ConnectionError))
    assert type(error) is ServiceUnavailable
    assert at_us <= 2_000
    assert bites.seen == [("down", "sell", False)]
    weather.clear(down)
    assert not weather.any
    assert small.run(sell) == 1


def test_hang_never_answers(small: Any, weather: ServiceConditions, bites: Bites) -> None:
    weather.set(Hang(on_bite=bites))
    with pytest.raises(CallTimedOut):
        small.run(sell)
    assert small.elapsed_us == 5_000_000
    assert sold(small) == []
    assert bites.seen == [("hang", "sell", False)]


def test_errors_come_before_the_effect(small: Any, weather: ServiceConditions, bites: Bites) -> None:
    weather.set(Errors(status=500, on_bite=bites))
    with pytest.raises(ServiceRefused, match="500: shop: the service has an outage"):
        small.run(sell)
    assert sold(small) == []
    assert bites.seen == [("errors", "sell", False)]


def test_errors_may_come_after_the_effect(small: Any, weather: ServiceConditions, bites: Bites) -> None:
    weather.set(ErrorsAfterEffect(on_bite=bites))
    with pytest.raises(ServiceRefused, match="500"):
        small.run(sell)
    assert sold(small) == ["a"]
    assert bites.seen == [("errors_after_effect", "sell", True)]


def test_a_ratio_of_errors_is_about_that_ratio(small: Any, weather: ServiceConditions, bites: Bites) -> None:
    weather.set(Errors(numerator=1, denominator=4, on_bite=bites))

    async def main() -> int:
        refused = 0
        for _ in range(400):
            try:
                await Shop.client().look()
            except ServiceRefused:
                refused += 1
        return refused

    refused = small.run(main)
    assert 70 < refused < 130
    assert len(bites.seen) == refused


def test_a_lost_reply_leaves_the_effect(small: Any, weather: ServiceConditions, bites: Bites) -> None:
    weather.set(ReplyLost(times=1, on_bite=bites))
    with pytest.raises(CallTimedOut):
        small.run(sell)
    assert sold(small) == ["a"]
    assert bites.seen == [("reply_lost", "sell", True)]
    assert small.run(sell) == 2


def test_a_reset_connection_is_noticed_at_once_and_ambiguous(small: Any, weather: ServiceConditions) -> None:
    weather.set(ReplyLost(reset=True))
    error, at_us = small.run(lambda: failing_at(small, ConnectionLost))
    assert error.ambiguous
    assert sold(small) == ["a"]
    assert at_us <= 12_000


def test_slowness_multiplies_and_adds_and_stacks(small: Any, weather: ServiceConditions, bites: Bites) -> None:
    weather.set(Slow(factor_numerator=3, factor_denominator=2, on_bite=bites))
    weather.set(Slow(factor_numerator=10, extra_us=1_000_000, on_bite=bites))
    small.run(sell)
    (effect,) = small.services.host("shop").ledger.effects
    assert 1_150_100 <= effect.time_us - effect.sent_us <= 1_151_000
    assert [kind for kind, *_ in bites.seen] == ["slow", "slow"]


def test_throttling_bites_only_beyond_its_limit(small: Any, weather: ServiceConditions, bites: Bites) -> None:
    weather.set(Throttled(rate_limit=RateLimit.per_minute(1), on_bite=bites))
    small.run(sell)
    assert bites.seen == []
    with pytest.raises(RateLimited) as caught:
        small.run(sell)
    assert 50_000_000 < caught.value.retry_after_us <= 60_000_000
    assert bites.seen == [("throttled", "sell", False)]


def test_a_doubled_request_has_its_effect_twice_under_one_call_id(
    small: Any, weather: ServiceConditions, bites: Bites
) -> None:
    weather.set(DuplicateRequest(times=1, after_us=500_000, on_bite=bites))
    assert small.run(sell) == 1
    assert sold(small) == ["a", "a"]
    first, second = small.services.host("shop").ledger.effects
    assert first.call_id == second.call_id
    assert second.time_us - first.time_us == 500_000


def test_a_late_effect_comes_after_the_caller_was_told_that_it_failed(small: Any, weather: ServiceConditions) -> None:
    weather.set(LateEffect(delay_us=30_000_000, times=1))

    async def main() -> list[str]:
        with pytest.raises(ServiceRefused, match="504"):
            await sell()
        return sold(small)

    assert small.run(main) == []
    assert sold(small) == ["a"]


def test_a_condition_may_be_about_one_operation(small: Any, weather: ServiceConditions, bites: Bites) -> None:
    weather.set(Down(operation="sell", on_bite=bites))
    assert small.run(lambda: Shop.client().look()) == 0
    with pytest.raises(ServiceUnavailable):
        small.run(sell)
    assert len(bites.seen) == 1


def test_conditions_stack_in_the_order_of_the_steps_of_a_call(
    small: Any, weather: ServiceConditions, bites: Bites
) -> None:
    weather.set(ReplyLost(on_bite=bites))
    weather.set(Slow(extra_us=1, on_bite=bites))
    weather.set(Errors(times=1, on_bite=bites))
    weather.set(Down(times=1, on_bite=bites))

    async def main() -> None:
        for error in (ServiceUnavailable, ServiceRefused, CallTimedOut):
            with pytest.raises(error):
                await sell()

    small.run(main)
    assert [kind for kind, *_ in bites.seen] == ["down", "errors", "slow", "reply_lost"]
    weather.clear_all()
    assert weather.active == ()
    assert small.run(sell) == 2


def test_a_condition_cleared_while_a_call_is_on_its_way_bites_no_more(small: Any, weather: ServiceConditions) -> None:
    lost = weather.set(ReplyLost())

    async def main() -> int:
        pending = asyncio.create_task(sell())
        await asyncio.sleep(0.005)
        weather.clear(lost)
        return await pending

    assert small.run(main) == 1


def test_a_ratio_that_is_none_is_refused() -> None:
    with pytest.raises(MisuseError, match="Down with probability 3/2"):
        Down(numerator=3, denominator=2)
