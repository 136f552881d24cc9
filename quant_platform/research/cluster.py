"""The runs of a sweep on a Dask cluster: the features are handed out once, then chunks of sets go where they are."""
# ruff: noqa: PLC0415 - Dask is an optional part of the installation

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quant_platform.domain.errors import QuantError, UnavailableError, UsageError
from quant_platform.domain.ticks import EnrichedBatch, TickBatch
from quant_platform.research.feature_store import Periods, StoredDay
from quant_platform.research.sweep_runs import Chunk, DayColumns, Done, Market, run_chunk

PATIENCE_S = 10.0


class ClusterWorkers:
    """The workers of a running Dask cluster, which have this platform installed.

    Args:
        address: of its scheduler, as ``tcp://10.0.0.5:8786``.

    Raises:
        UsageError: Dask is not installed here.
        UnavailableError: no scheduler answers there, or it has no worker.
    """

    def __init__(self, address: str) -> None:
        try:
            from distributed import Client
        except ImportError:
            raise UsageError("--cluster needs Dask", "pip install 'quant-platform[cluster]'") from None
        try:
            self._client = Client(address, timeout=PATIENCE_S)  # type: ignore[no-untyped-call]
        except (OSError, TimeoutError, ValueError) as error:
            raise UnavailableError(
                f"no Dask scheduler answers at {address} ({type(error).__name__})", "start one with `dask scheduler`"
            ) from error
        self.count = sum(self._client.nthreads().values())  # type: ignore[no-untyped-call]
        if not self.count:
            self.close()
            raise UnavailableError(
                f"the Dask cluster at {address} has no worker", f"start some with `dask worker {address}`"
            )

    def run(self, market: Market, days: Sequence[StoredDay], chunks: Sequence[Chunk]) -> Iterator[Done]:
        """Run chunks wherever a thread is free; a worker that is lost has its chunks run by another.

        Raises:
            StrategyError: a strategy failed.
            QuantError: a chunk's workers died one after another.
            UnavailableError: the scheduler was lost.
        """
        from distributed import CancelledError, KilledWorker, as_completed

        shared: dict[Periods, Any] = {}
        futures = []
        for chunk in chunks:
            if chunk.periods not in shared:
                # Each day as one piece, to every worker: what only one held would be lost with it.
                columns = [DayColumns(day.close_ns, day.batch(chunk.periods)) for day in days]
                shared[chunk.periods] = self._client.scatter(columns, broadcast=True, hash=False)  # type: ignore[no-untyped-call]
            futures.append(self._client.submit(run_received, market, shared[chunk.periods], chunk, pure=False))
        for finished in as_completed(futures):  # type: ignore[no-untyped-call]
            try:
                yield finished.result()
            except KilledWorker as error:
                raise QuantError("workers of the cluster died over a part of the sweep", "see their logs") from error
            except CancelledError as error:
                raise UnavailableError(
                    "the Dask scheduler went away", "the same command goes on where this one ended"
                ) from error

    def close(self) -> None:
        """Leave the cluster as it was."""
        self._client.close()  # type: ignore[no-untyped-call]


def run_received(market: Market, days: Sequence[DayColumns], chunk: Chunk) -> Done:
    """A chunk over columns that came by the network: those cannot be written to, which kernels ask for."""
    return run_chunk(market, (DayColumns(day.close_ns, _writable(day.batch)) for day in days), chunk)


def _writable(batch: EnrichedBatch | None) -> EnrichedBatch | None:
    if batch is None:
        return None
    ticks = TickBatch._make(_own(column) for column in batch.ticks)
    return EnrichedBatch._make((ticks, *(_own(column) for column in batch[1:])))


def _own(column: NDArray[Any]) -> NDArray[Any]:
    return np.require(column, requirements=["C", "W"])
