"""Rows that are made when somebody looks at them: until then only their number is known."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar, overload

R_co = TypeVar("R_co", covariant=True)


class LazyRows(Sequence[R_co]):
    """A sequence whose length costs nothing, for rows that most hosts only count.

    Args:
        length: number of rows.
        make: builds them; asked once at most.
    """

    def __init__(self, length: int, make: Callable[[], Sequence[R_co]]) -> None:
        self._length = length
        self._make = make
        self._rows: Sequence[R_co] | None = None

    def _made(self) -> Sequence[R_co]:
        if self._rows is None:
            self._rows = self._make() if self._length else ()
        return self._rows

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, place: int) -> R_co: ...

    @overload
    def __getitem__(self, place: slice) -> Sequence[R_co]: ...

    def __getitem__(self, place: Any) -> Any:
        return self._made()[place]

    def __iter__(self) -> Iterator[R_co]:
        return iter(self._made())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]
