"""What the platform answers, as rows that a notebook shows and data frames are made of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any, overload

from ._frames import to_pandas, to_polars

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

_MOST_SHOWN = 20
_LONGEST_SHOWN = 80


class Table(Sequence[dict[str, Any]]):
    """Rows with typed columns. A notebook shows it as a table; `to_pandas` and `to_polars` make data frames."""

    def __init__(self, columns: Mapping[str, tuple[str, list[Any]]], *, title: str = "") -> None:
        """Hold columns, each with its type and its values.

        :param title: what the table is of, above it in a notebook
        """
        self._columns = dict(columns)
        self._length = max((len(values) for _, values in self._columns.values()), default=0)
        self.title = title

    @property
    def types(self) -> dict[str, str]:
        """Types of the platform, by column."""
        return {name: kind for name, (kind, _) in self._columns.items()}

    def column(self, name: str) -> list[Any]:
        """Return the values of a column.

        :raises KeyError: where there is none of the name
        """
        return self._columns[name][1]

    def to_dicts(self) -> list[dict[str, Any]]:
        """Return rows as dictionaries."""
        return [self._row(at) for at in range(self._length)]

    def to_pandas(self) -> pd.DataFrame:
        """Return a data frame of pandas: integers are Int64, booleans boolean, times datetime in UTC."""
        return to_pandas(self._columns)

    def to_polars(self) -> pl.DataFrame:
        """Return a data frame of polars: decimals are Decimal, embeddings arrays of Float32, times Datetime in UTC."""
        return to_polars(self._columns)

    def _row(self, at: int) -> dict[str, Any]:
        return {name: values[at] for name, (_, values) in self._columns.items()}

    @overload
    def __getitem__(self, at: int) -> dict[str, Any]: ...
    @overload
    def __getitem__(self, at: slice) -> list[dict[str, Any]]: ...
    def __getitem__(self, at: int | slice) -> dict[str, Any] | list[dict[str, Any]]:
        if isinstance(at, slice):
            return [self._row(each) for each in range(*at.indices(self._length))]
        if not -self._length <= at < self._length:
            raise IndexError(f"row {at} of {self._length}")
        return self._row(at % self._length)

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (self._row(at) for at in range(self._length))

    def __repr__(self) -> str:
        return f"<{self.title or 'Table'}: {self._length} rows, columns {', '.join(self._columns)}>"

    def _repr_html_(self) -> str:
        return html_table(
            self.title,
            [(name, kind) for name, (kind, _) in self._columns.items()],
            ((values[at] for _, values in self._columns.values()) for at in range(min(self._length, _MOST_SHOWN))),
            self._length,
        )


def html_table(title: str, head: Sequence[tuple[str, str]], rows: Iterator[Any] | Sequence[Any], length: int) -> str:
    """Return a table for a notebook; long values are cut, everything is escaped."""
    cells = "".join(
        f"<th>{escape(name)}<br><small style='font-weight:normal;opacity:.6'>{escape(kind)}</small></th>"
        for name, kind in head
    )
    body = "".join(f"<tr>{''.join(f'<td>{_shown(value)}</td>' for value in row)}</tr>" for row in rows)
    more = f"<p><small>{length} rows, the first {_MOST_SHOWN} are shown</small></p>" if length > _MOST_SHOWN else ""
    caption = f"<caption style='text-align:left'>{escape(title)}</caption>" if title else ""
    return f"<table>{caption}<thead><tr>{cells}</tr></thead><tbody>{body}</tbody></table>{more}"


def _shown(value: object) -> str:
    if value is None:
        return "<span style='opacity:.5'>null</span>"
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return escape(text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}…")
