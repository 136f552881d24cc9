"""The frames of a feed, read and taken through the cores of one process; files need none of this, nor its libraries."""

import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from quant_platform.hosts.embedded import EmbeddedPlatform
from quant_platform.services.ingestion.normalise import Normaliser, SetAside

LATENCIES_KEPT = 100_000


class FrameIntake:
    """Frames of a feed through all cores, each committed before the next.

    Args:
        platform: the cores.
        normaliser: reads the frames.
        now_ns: our clock, to judge stamps by when live; None where time is the data's own.
        commit: called after a frame that brought about a fill or an order's end.

    Attributes:
        frames: received so far in the run.
        latencies_ns: from a frame's receipt to its orders being decided, the newest hundred thousand.
        place: stamp of the newest frame with ticks, and its number among those of that stamp.
    """

    def __init__(
        self,
        platform: EmbeddedPlatform,
        normaliser: Normaliser,
        now_ns: Callable[[], int] | None,
        commit: Callable[[], None],
    ) -> None:
        self._platform = platform
        self._normaliser = normaliser
        self._now_ns = now_ns
        self._commit = commit
        self._committed = (0, 0)
        self.frames = 0
        self.latencies_ns: deque[int] = deque(maxlen=LATENCIES_KEPT)
        self.place = (0, 0)

    def on_frame(self, payload: bytes, received_ns: int) -> None:
        """One frame, received at ``received_ns`` of ``time.perf_counter_ns``."""
        self.frames += 1
        batch = self._normaliser.ticks(payload, None if self._now_ns is None else self._now_ns())
        if batch is None:
            return
        stamp = int(batch.ts[0])
        self.place = (stamp, self.place[1] + 1 if stamp == self.place[0] else 1)
        if self.place <= self._committed:
            return  # a resumed simulation repeats the frames of its last moment
        runtime = self._platform.runtime
        decided = runtime.orders
        self._platform.on_ticks(batch)
        if runtime.orders > decided:
            self.latencies_ns.append(time.perf_counter_ns() - received_ns)
        if runtime.journal.has_fills:
            self._commit()

    def take_set_aside(self) -> list[SetAside]:
        """Entries of frames that cannot be true, since the last call."""
        return self._normaliser.take_set_aside()

    def snapshot(self) -> dict[str, Any]:
        """What was received, for :meth:`restore`."""
        self._platform.counters["implausible"] = self._normaliser.counters.implausible
        return {"normaliser": self._normaliser.snapshot(), "frames": self.frames, "place": self.place}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what was received when the run was interrupted."""
        self._normaliser.restore(state["normaliser"])
        self.frames = state["frames"]
        self._committed = (state["place"][0], state["place"][1])
