from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from decimal import Decimal

import pandas as pd
import polars as pl
import pytest

from headwater import InvalidFrameError, Table
from headwater._frames import beside, columns_of, rows_of
from headwater._values import reader_of, to_json

NOON = datetime(2026, 11, 28, 12, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        (float("nan"), None),
        (pd.NA, None),
        (pd.NaT, None),
        (True, True),
        (2**53, 2**53),
        (2**53 + 1, "9007199254740993"),
        (Decimal("1.50"), "1.50"),
        (b"\x00\xff", "AP8="),
        (date(2026, 11, 28), "2026-11-28"),
        (NOON, "2026-11-28T12:00:00Z"),
        (NOON.astimezone(timezone(timedelta(hours=2))), "2026-11-28T12:00:00Z"),
        (datetime(2026, 11, 28, 12), "2026-11-28T12:00:00Z"),
        (pd.Timestamp("2026-11-28T12:00:00.123456Z"), "2026-11-28T12:00:00.123456Z"),
        (pd.Series([1, 2]), [1, 2]),
        (pl.Series([1.5, None]), [1.5, None]),
        ({"a": [NOON, {"b": float("nan")}]}, {"a": ["2026-11-28T12:00:00Z", {"b": None}]}),
    ],
)
def test_values_have_their_form_in_json(value: object, expected: object) -> None:
    assert to_json(value) == expected


def test_what_has_no_form_in_json_is_refused() -> None:
    with pytest.raises(TypeError, match="type object"):
        to_json(object())


@pytest.mark.parametrize(
    ("feature_type", "stored", "expected"),
    [
        ("int64", "9223372036854775807", 2**63 - 1),
        ("decimal(10,2)", "1.50", Decimal("1.50")),
        ("bytes", "AP8=", b"\x00\xff"),
        ("timestamp", "2026-11-28T12:00:00Z", NOON),
        ("timestamp", "2026-11-28T12:00:00.000Z", NOON),
        ("timestamp", "2026-11-28T12:00:00.000001Z", NOON + timedelta(microseconds=1)),
        ("timestamp", "2026-11-28T12:00:00.1Z", NOON + timedelta(microseconds=100_000)),
        ("double", 1.5, 1.5),
        ("array(long)", [1, None], [1, None]),
    ],
)
def test_values_of_features_are_those_of_python(feature_type: str, stored: object, expected: object) -> None:
    assert reader_of(feature_type)(stored) == expected


COLUMNS: dict[str, tuple[str, list[object]]] = {
    "amount": ("double", [1.5, None]),
    "count": ("long", [3, None]),
    "large": ("int64", [2**63 - 1, None]),
    "known": ("boolean", [True, None]),
    "name": ("string", ["<b>", None]),
    "seen": ("timestamp", [NOON, None]),
    "price": ("decimal(10,2)", [Decimal("1.50"), None]),
    "taste": ("embedding(2)", [[0.5, 1.0], None]),
    "tags": ("array(string)", [["a"], None]),
}


def test_a_table_becomes_a_frame_of_pandas_with_types() -> None:
    frame = Table(COLUMNS).to_pandas()
    assert [str(each) for each in frame.dtypes[:5]] == ["float64", "Int64", "Int64", "boolean", "string"]
    assert str(frame["seen"].dtype).startswith("datetime64[")
    assert frame["large"].iloc[0] == 2**63 - 1
    assert frame["price"].iloc[0] == Decimal("1.50")
    assert frame.isna().iloc[1].all()


def test_a_table_becomes_a_frame_of_polars_with_types() -> None:
    frame = Table(COLUMNS).to_polars()
    assert frame.schema == {
        "amount": pl.Float64,
        "count": pl.Int64,
        "large": pl.Int64,
        "known": pl.Boolean,
        "name": pl.String,
        "seen": pl.Datetime("us", "UTC"),
        "price": pl.Decimal(10, 2),
        "taste": pl.Array(pl.Float32, 2),
        "tags": pl.List(pl.String),
    }
    assert frame.row(0)[:3] == (1.5, 3, 2**63 - 1)
    assert frame.row(1) == (None,) * len(COLUMNS)


def test_a_table_is_a_sequence_of_rows_and_shows_itself() -> None:
    table = Table({"entity": ("string", [f"<{at}>" for at in range(30)])}, title="fraud@1 & more")
    assert len(table) == 30
    assert table[-1] == {"entity": "<29>"}
    assert table[1:3] == [{"entity": "<1>"}, {"entity": "<2>"}]
    assert table.column("entity")[2] == "<2>"
    with pytest.raises(IndexError, match="row 30 of 30"):
        table[30]
    shown = table._repr_html_()
    assert "&lt;19&gt;" in shown
    assert "&lt;20&gt;" not in shown
    assert "fraud@1 &amp; more" in shown
    assert "30 rows, the first 20 are shown" in shown
    assert repr(Table({})) == "<Table: 0 rows, columns >"


def test_columns_come_beside_rows_of_each_form() -> None:
    found: dict[str, tuple[str, list[object]]] = {"count": ("long", [3, None])}
    rows = [{"entity": "a1"}, {"entity": "a2"}]
    assert beside(rows, found) == [{"entity": "a1", "count": 3}, {"entity": "a2", "count": None}]
    pandas = beside(pd.DataFrame(rows, index=[7, 9]), found)
    assert list(pandas.index) == [7, 9]
    assert pandas["count"].iloc[0] == 3
    assert beside(pl.DataFrame(rows), found).rows() == [("a1", 3), ("a2", None)]


def test_rows_without_a_value_leave_the_field_out() -> None:
    rows = [{"user_id": "u1", "amount": 1.5}, {"user_id": "u2", "amount": None}]
    frames: list[pd.DataFrame | pl.DataFrame] = [pd.DataFrame(rows), pl.DataFrame(rows)]
    for frame in frames:
        assert rows_of(frame, of="events") == [{"user_id": "u1", "amount": 1.5}, {"user_id": "u2"}]
    assert rows_of([{"user_id": "u2", "amount": None}], of="events") == [{"user_id": "u2", "amount": None}]


def test_what_is_no_row_is_refused_by_its_place() -> None:
    with pytest.raises(InvalidFrameError, match="labels: row 1 is a str"):
        columns_of([{"a": 1}, "b"], of="labels")  # type: ignore[list-item]
