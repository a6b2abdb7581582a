"""The three outside systems of the story, as fakes.

A keeps stock and is quick. B takes payments and is rate-limited: it refuses, and must be tried again later. C books a
courier and is slow; when it goes down it does not say so, and only a timeout tells.
"""

from __future__ import annotations

from stormproof.services import Latency, RateLimit, Service, no_effect, operation


class Stock(Service):
    """System A. Reserving twice under one order is one reservation if the caller names the order as the key."""

    name = "a-stock"
    latency = Latency.between_us(2_000, 20_000)

    def __init__(self) -> None:
        self.reserved: dict[str, str] = {}
        self.released: dict[str, bool] = {}

    @operation(effect_key="order_id")
    async def reserve(self, order_id: str, item: str) -> str:
        """Set an item aside. An order that was released stays released: a late request changes nothing."""
        if order_id in self.reserved or order_id in self.released:
            return no_effect(f"reservation-{order_id}")
        self.reserved[order_id] = item
        return f"reservation-{order_id}"

    @operation(effect_key="order_id", undoes="reserve")
    async def release(self, order_id: str) -> None:
        """Put it back."""
        self.released[order_id] = True
        if self.reserved.pop(order_id, None) is None:
            no_effect(None)


class Payments(Service):
    """System B. Two calls with the same key are one charge; a call without a key is always one more."""

    name = "b-payments"
    latency = Latency.between_us(20_000, 200_000)
    rate_limit = RateLimit(calls=2, per_us=1_000_000)

    def __init__(self) -> None:
        self.charged: dict[str, int] = {}
        self.voided: dict[str, bool] = {}

    @operation(effect_key="order_id", idempotent_by="key")
    async def charge(self, order_id: str, amount: int, key: str | None = None) -> str:
        """Take the money. An order that was voided is not charged any more."""
        if order_id in self.voided:
            return no_effect(f"void-{order_id}")
        self.charged[order_id] = self.charged.get(order_id, 0) + amount
        return f"receipt-{order_id}"

    @operation(effect_key="order_id", undoes="charge")
    async def refund(self, order_id: str) -> None:
        """Give it back, and charge this order never again."""
        self.voided[order_id] = True
        if self.charged.pop(order_id, None) is None:
            no_effect(None)


class Courier(Service):
    """System C."""

    name = "c-courier"
    latency = Latency.long_tail_us(typical_us=400_000, worst_us=4_000_000)

    def __init__(self) -> None:
        self.booked: dict[str, str] = {}
        self.cancelled: dict[str, bool] = {}

    @operation(effect_key="order_id")
    async def book(self, order_id: str, address: str) -> str:
        """Book a courier. Booking an order again gives the same booking; a cancelled one is not booked any more."""
        if order_id in self.booked or order_id in self.cancelled:
            return no_effect(f"parcel-{order_id}")
        self.booked[order_id] = address
        return f"parcel-{order_id}"

    @operation(effect_key="order_id", undoes="book")
    async def cancel(self, order_id: str) -> None:
        """Cancel it, and book this order never again."""
        self.cancelled[order_id] = True
        if self.booked.pop(order_id, None) is None:
            no_effect(None)
