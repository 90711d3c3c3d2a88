"""Data frames of pandas and polars, without importing what a program does not use."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, cast

from .errors import InvalidFrameError

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl

Rows: TypeAlias = "pd.DataFrame | pl.DataFrame | Sequence[Mapping[str, Any]]"
"""A data frame of pandas or polars, or a list of dictionaries."""
Frame = TypeVar("Frame", "pd.DataFrame", "pl.DataFrame", "Sequence[Mapping[str, Any]]")


def kind_of(rows: object) -> str:
    """Return `pandas`, `polars` or `rows`."""
    library = type(rows).__module__.partition(".")[0]
    return library if library in ("pandas", "polars") else "rows"


def columns_of(rows: Rows, *, of: str) -> dict[str, list[Any]]:
    """Return columns by name.

    :param of: what the rows are, for errors
    :raises InvalidFrameError: for what is neither a data frame nor a list of dictionaries
    """
    if kind_of(rows) == "pandas":
        frame = cast("pd.DataFrame", rows)
        return {str(name): frame[name].tolist() for name in frame.columns}
    if kind_of(rows) == "polars":
        return cast("pl.DataFrame", rows).to_dict(as_series=False)
    listed = list(cast("Iterable[Mapping[str, Any]]", rows))
    for at, row in enumerate(listed):
        if not isinstance(row, Mapping):
            raise InvalidFrameError(
                f"{of}: row {at} is a {type(row).__name__}; give a data frame of pandas or polars, or dictionaries"
            )
    names = dict.fromkeys(name for row in listed for name in row)
    return {name: [row.get(name) for row in listed] for name in names}


def rows_of(rows: Rows, *, of: str) -> list[dict[str, Any]]:
    """Return rows as dictionaries; fields that a data frame has no value for are left out."""
    if kind_of(rows) == "rows":
        columns_of(rows, of=of)
        return [dict(row) for row in cast("Sequence[Mapping[str, Any]]", rows)]
    columns = columns_of(rows, of=of)
    return [
        {name: value for name, value in zip(columns, values, strict=True) if not is_missing(value)}
        for values in zip(*columns.values(), strict=True)
    ]


def is_missing(value: object) -> bool:
    """Return whether a data frame has no value there."""
    return (
        value is None
        or (isinstance(value, float) and value != value)  # noqa: PLR0124 - NaN alone differs from itself
        or type(value).__name__ in ("NAType", "NaTType")
    )


def required(columns: Mapping[str, list[Any]], name: str, *, of: str) -> list[Any]:
    """Return a column. :raises InvalidFrameError: naming the columns there are."""
    if name not in columns:
        raise InvalidFrameError(f'{of}: there is no column "{name}"; there are {", ".join(columns) or "none"}')
    return columns[name]


def to_pandas(columns: Mapping[str, tuple[str, list[Any]]]) -> pd.DataFrame:
    """Return a frame with a column for each feature, by its type."""
    import pandas as pd

    frame: pd.DataFrame = pd.DataFrame({name: _pandas_column(kind, values) for name, (kind, values) in columns.items()})
    return frame


def _pandas_column(feature_type: str, values: list[Any]) -> pd.Series[Any]:
    import pandas as pd

    dtype: Any = _PANDAS.get(feature_type, "object")
    series: pd.Series[Any] = pd.Series(values, dtype="object" if dtype == "datetime" else dtype)
    if dtype == "datetime":
        series = pd.to_datetime(series, utc=True)
    return series


_PANDAS: Mapping[str, str] = {
    "double": "float64",
    "long": "Int64",
    "int64": "Int64",
    "boolean": "boolean",
    "string": "string",
    "timestamp": "datetime",
}


def to_polars(columns: Mapping[str, tuple[str, list[Any]]]) -> pl.DataFrame:
    """Return a frame with a column for each feature, by its type."""
    import polars as pl

    return pl.DataFrame([pl.Series(name, values, dtype=_polars_type(kind)) for name, (kind, values) in columns.items()])


def _polars_type(feature_type: str) -> Any:  # noqa: ANN401 - a class or an instance
    import polars as pl

    kind, _, parameters = feature_type.rstrip(")").partition("(")
    if kind == "decimal":
        precision, scale = (int(each) for each in parameters.split(","))
        return pl.Decimal(precision, scale)
    if kind == "embedding":
        return pl.Array(pl.Float32, int(parameters))
    simple: Mapping[str, Any] = {
        "double": pl.Float64,
        "long": pl.Int64,
        "int64": pl.Int64,
        "boolean": pl.Boolean,
        "string": pl.String,
        "timestamp": pl.Datetime("us", "UTC"),
        "bytes": pl.Binary,
    }
    return simple.get(kind)


def beside(rows: Frame, columns: Mapping[str, tuple[str, list[Any]]]) -> Frame:
    """Return rows with more columns, in the form that they have."""
    given: Any = rows
    if kind_of(rows) == "pandas":
        import pandas as pd

        added = to_pandas(columns).set_axis(given.index, axis=0)
        return cast("Frame", pd.concat([given, added], axis=1))
    if kind_of(rows) == "polars":
        import polars as pl

        return cast("Frame", pl.concat([given, to_polars(columns)], how="horizontal"))
    added_rows = [
        {**row, **{name: values[at] for name, (_, values) in columns.items()}} for at, row in enumerate(given)
    ]
    return cast("Frame", added_rows)
