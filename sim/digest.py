"""A rolling digest of a run: every kernel event and every labelled draw goes through it, in order.

Two runs are the same run if and only if their digests agree. To say *where* two runs part, a digest keeps checkpoints,
``(entries so far, digest so far)``. ``first_divergence`` compares the checkpoints of two runs and gives the range of
entries in which they part; running both again with ``keep=`` that range gives readable entries, and
``name_divergence`` names the first that differs.

Cost decides the form: an entry is four integers appended to one list (about 60 ns). 256 entries at a time are packed
and hashed by one call each, which is four times cheaper than a call per entry. Entries are cut into chunks by their
number, never by when ``flush`` happens to be called, so that checkpoints of two runs are comparable.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from hashlib import blake2b

DRAW = -1
"""In place of a time: the entry is a draw of ``Choices``, ``(DRAW, label code, count, value)``."""
BYTES = -2
"""In place of a time: the entry stands for bytes, ``(BYTES, code, length, 0)``; the bytes follow their chunk."""

ENTRIES_PER_CHUNK = 256
ENTRIES_PER_CHECKPOINT = 1024
_INTEGERS_PER_CHUNK = ENTRIES_PER_CHUNK * 4

Checkpoint = tuple[int, str]


class Digest:
    """A digest with checkpoints, and a window of readable entries if asked for.

    Args:
        keep: Keep the entries numbered ``keep[0] <= number < keep[1]`` as text in ``kept``.
    """

    __slots__ = ("_blobs", "_checkpoints", "_hash", "_hashed", "_keep", "_kept", "_notes", "buffer", "extend", "names")

    def __init__(self, *, keep: tuple[int, int] | None = None) -> None:
        wanted = _wanted.get()
        if wanted is not None:
            keep = wanted[0] if keep is None else keep
            wanted[1].append(self)
        self._hash = blake2b(digest_size=16)
        self._hashed = 0
        self._blobs: list[bytes] = []
        self._checkpoints: list[Checkpoint] = []
        self._keep = keep
        self._kept: list[str] = []
        self._notes: dict[int, str] = {}
        self.buffer: list[int] = []
        self.extend = self.buffer.extend
        """Append one entry, a tuple of four integers below 2**63; for hot paths, which flush by themselves."""
        self.names: dict[int, str] = {}
        """Readable names of codes; they are not part of the digest."""

    @property
    def count(self) -> int:
        """Entries so far."""
        return self._hashed + len(self.buffer) // 4

    @property
    def keeps_text(self) -> bool:
        """Whether a window of readable entries is kept, so that notes are worth making."""
        return self._keep is not None

    @property
    def wants_note(self) -> bool:
        """Whether the latest entry is inside the window that is kept."""
        return self._keep is not None and self._keep[0] <= self.count - 1 < self._keep[1]

    def update_event(self, time_us: int, code: int, a: int, b: int) -> None:
        """Add one event: a virtual time (not negative), a code, and two integers below 2**63."""
        self.extend((time_us, code, a, b))
        if len(self.buffer) >= _INTEGERS_PER_CHUNK:
            self.flush()

    def update_bytes(self, data: bytes, code: int = 0) -> None:
        """Add bytes (a committed history event, a message ...)."""
        self._blobs.append(data)
        self.extend((BYTES, code, len(data), 0))
        if self._keep is not None:
            self.note(data[:200].decode(errors="backslashreplace"))
        if len(self.buffer) >= _INTEGERS_PER_CHUNK:
            self.flush()

    def note(self, text: str) -> None:
        """Attach a text to the latest entry, if that is inside the window; the digest does not change."""
        if self.wants_note:
            self._notes[self.count - 1] = text

    def flush(self) -> None:
        """Hash all complete chunks."""
        buffer = self.buffer
        while len(buffer) >= _INTEGERS_PER_CHUNK:
            chunk = buffer[:_INTEGERS_PER_CHUNK]
            del buffer[:_INTEGERS_PER_CHUNK]
            self._hash.update(_packed(chunk))
            for _ in range(chunk[0::4].count(BYTES)):
                self._hash.update(self._blobs.pop(0))
            if self._keep is not None:
                self._keep_text(chunk)
            self._hashed += ENTRIES_PER_CHUNK
            if self._hashed % ENTRIES_PER_CHECKPOINT == 0:
                self._checkpoints.append((self._hashed, self._hash.hexdigest()))

    def hexdigest(self) -> str:
        """The digest of all entries so far."""
        self.flush()
        final = self._hash.copy()
        final.update(_packed(self.buffer))
        for blob in self._blobs:
            final.update(blob)
        return final.hexdigest()

    @property
    def checkpoints(self) -> list[Checkpoint]:
        """``(count, digest)`` every 1,024 entries, and one for the end."""
        self.flush()
        return [*self._checkpoints, (self.count, self.hexdigest())]

    def kept(self) -> list[str]:
        """The readable entries of the window, in order."""
        self.flush()
        rest = list(self._kept)
        if self._keep is not None:
            complete, self._kept = self._kept, []
            self._keep_text(self.buffer)
            rest, self._kept = complete + self._kept, complete
        return rest

    def _keep_text(self, chunk: Sequence[int]) -> None:
        assert self._keep is not None
        low, high = self._keep
        for index in range(max(low - self._hashed, 0), min(high - self._hashed, len(chunk) // 4)):
            entry = chunk[index * 4 : index * 4 + 4]
            self._kept.append(self._text(self._hashed + index, entry))

    def _text(self, number: int, entry: Sequence[int]) -> str:
        time_us, code, a, b = entry
        name = self.names.get(code, f"code {code}")
        if time_us == DRAW:
            text = f"draw {name}: {b} of {a}"
        elif time_us == BYTES:
            text = f"{a} bytes" if code == 0 else f"{a} bytes of {name}"
        else:
            text = f"{name} at {time_us} us: {a}, {b}"
        note = self._notes.get(number)
        return f"{number}: {text}" if note is None else f"{number}: {text}: {note}"


def _packed(entries: list[int]) -> bytes:
    """Little-endian words of 64 bits; a third of the time that ``struct`` takes for so many."""
    words = array("q", entries)
    if sys.byteorder == "big":
        words.byteswap()
    return words.tobytes()


@contextmanager
def keeping_entries(keep: tuple[int, int]) -> Generator[list[Digest], None, None]:
    """Every digest that is made inside the block keeps these entries as text; gives the list of them."""
    made: list[Digest] = []
    token = _wanted.set((keep, made))
    try:
        yield made
    finally:
        _wanted.reset(token)


_wanted: ContextVar[tuple[tuple[int, int], list[Digest]] | None] = ContextVar("stormproof_keeping", default=None)


def first_divergence(a: Sequence[Checkpoint], b: Sequence[Checkpoint]) -> tuple[int, int] | None:
    """Where two runs part, from their checkpoints.

    Returns:
        ``(low, high)``: the first entry that differs is numbered ``low <= number < high``. ``None``: the runs agree.
    """
    low = 0
    for ours, theirs in zip(a, b, strict=False):
        if ours != theirs:
            return low, max(ours[0], theirs[0])
        low = ours[0]
    if len(a) == len(b):
        return None
    return low, max(a[-1][0], b[-1][0])


def name_divergence(a: Sequence[str], b: Sequence[str]) -> tuple[str, str] | None:
    """The first readable entries that differ (``Digest.kept`` of two runs of one window); ``None``: none does."""
    for ours, theirs in zip(a, b, strict=False):
        if ours != theirs:
            return ours, theirs
    if len(a) == len(b):
        return None
    end = "the run ended here"
    return (a[len(b)], end) if len(a) > len(b) else (end, b[len(a)])
