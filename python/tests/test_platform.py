"""The client against a platform: `npm run test:clients -- python_package` starts one and sets the addresses."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pandas as pd
import polars as pl
import pytest

from headwater import Client, InvalidFrameError, RequestFailedError

pytestmark = pytest.mark.skipif(
    "HEADWATER_FEATURES_URL" not in os.environ, reason="HEADWATER_FEATURES_URL names no platform"
)

MOMENT = datetime.now(timezone.utc).replace(microsecond=0) - timedelta(minutes=30)


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    with Client() as client:
        yield client


def transaction(account: str, amount: float, minute: int) -> dict[str, Any]:
    return {
        "event_id": uuid.uuid4().hex,
        "user_id": f"user of {account}",
        "timestamp": MOMENT + timedelta(minutes=minute),
        "account_id": account,
        "amount": amount,
        "currency": "EUR",
        "merchant_id": "m1",
        "merchant_category": "grocery",
        "country": "DE",
    }


@pytest.fixture(scope="module")
def accounts(client: Client) -> list[str]:
    """Two accounts with three payments, of 10, 20 and 30 in minutes 0, 1 and 2, whose features are computed."""
    names = [f"a-{uuid.uuid4().hex}" for _ in range(2)]
    events = [transaction(name, 10.0 * (minute + 1), minute) for name in names for minute in range(3)]
    sent = client.events.ingest(pd.DataFrame(events), event_type="transaction")
    assert (sent.accepted, sent.duplicates, sent.refused) == (6, 0, ())
    again = client.events.ingest(pl.DataFrame(events), event_type="transaction")
    assert (again.accepted, again.duplicates) == (0, 6)
    until = time.monotonic() + 60
    while time.monotonic() < until:
        if client.features.online("fraud@1", names, features=["count_24h"]).column("count_24h") == [3, 3]:
            break
        time.sleep(0.05)
    return names


def test_an_event_is_refused_with_its_fields(client: Client) -> None:
    refused = client.events.ingest([{**transaction("a1", 1, 0), "amount": -1}], event_type="transaction").refused
    assert (refused[0].index, refused[0].status, refused[0].fields[0].field) == (0, "rejected", "amount")
    with pytest.raises(RequestFailedError) as caught:
        client.events.send({"event_type": "transaction"})
    assert "user_id" in {each.field for each in caught.value.fields}
    assert caught.value.page is not None


def test_online_features(client: Client, accounts: list[str]) -> None:
    table = client.features.online("fraud@1", [*accounts, "unknown"])
    assert [row["amount"] for row in table] == [30, 30, None]
    assert table.types["count_1h"] == "long"
    assert table[0]["computed_at"].tzinfo is timezone.utc
    assert table.to_pandas()["sum_amount_24h"].tolist()[:2] == [60, 60]
    assert table.to_polars()["sum_amount_24h"].to_list() == [60, 60, None]
    many = client.features.online("fraud@1", [*accounts, *(f"none {at}" for at in range(1_500))], features=["amount"])
    assert (len(many), many[1]["amount"], many[1_501]["amount"]) == (1_502, 30, None)
    with pytest.raises(RequestFailedError, match=r"fraud@1.*FEATURE_STORE_UNKNOWN_VIEW|FEATURE_STORE_UNKNOWN_VIEW"):
        client.features.online("frud@1", accounts)
    with pytest.raises(RequestFailedError, match="did you mean"):
        client.features.online("fraud@1", accounts, features=["amuont"])


def test_vectors_with_fields_of_the_request(client: Client, accounts: list[str]) -> None:
    rows = pd.DataFrame(
        {"account_id": accounts, "payment_amount": [15.0, 60.0], "payment_category": ["cash", "grocery"]}
    )
    table = client.features.vectors("payment_authorisation@1", rows, entity="account_id")
    assert [(row["payment_to_max"], row["payment_is_cash_like"]) for row in table] == [(0.5, True), (2, False)]
    assert client.features.vectors("fraud@1", accounts).column("amount") == [30, 30]


def labels_of(accounts: list[str]) -> dict[str, list[Any]]:
    times = [MOMENT + timedelta(minutes=minute, seconds=30) for minute in (-1, 0, 1, 2)]
    return {
        "account_id": [accounts[0]] * 4,
        "event_time": times,
        "fraud": [0, 0, 1, 0],
    }


def test_labels_become_a_training_set_in_the_form_they_have(client: Client, accounts: list[str]) -> None:
    labels = labels_of(accounts)
    read = client.features.historical
    pandas = read(pd.DataFrame(labels, index=[4, 3, 2, 1]), "fraud@1", entity="account_id")
    assert list(pandas.columns[:3]) == list(labels)
    assert list(pandas.index) == [4, 3, 2, 1]
    assert pandas["amount"].tolist()[1:] == [10, 20, 30]
    assert pandas["count_24h"].isna().tolist() == [True, False, False, False]
    assert pandas["count_24h"].tolist()[1:] == [1, 2, 3]
    polars = read(pl.DataFrame(labels), "fraud@1", entity="account_id")
    assert polars["count_24h"].to_list() == [None, 1, 2, 3]
    assert polars["count_24h"].dtype == pl.Int64
    rows = [dict(zip(labels, values, strict=True)) for values in zip(*labels.values(), strict=True)]
    found = read(rows, "fraud@1", entity="account_id")
    assert [row["sum_amount_24h"] for row in found] == [None, 10, 30, 60]
    # What was computed half an hour later was not known then.
    known = read(pl.DataFrame(labels), "fraud@1", entity="account_id", known_at_timestamp=True)
    assert known["count_24h"].null_count() == 4


def test_a_training_set_of_any_length_with_fields_of_the_request(client: Client, accounts: list[str]) -> None:
    moment = MOMENT + timedelta(minutes=5)
    labels = pl.DataFrame(
        {
            "account": [accounts[at % 2] for at in range(6_000)],
            "at": [moment] * 6_000,
            "payment_amount": [float(at) for at in range(6_000)],
            "payment_category": ["cash"] * 6_000,
        }
    )
    frame = client.features.historical(labels, "payment_authorisation@1", entity="account", timestamp="at")
    assert frame["payment_to_max"].to_list() == [at / 30 for at in range(6_000)]


def test_labels_that_cannot_be_joined_are_refused_by_name(client: Client, accounts: list[str]) -> None:
    labels = pd.DataFrame(labels_of(accounts))
    with pytest.raises(InvalidFrameError, match='no column "entity"; there are account_id, event_time, fraud'):
        client.features.historical(labels, "fraud@1")
    with pytest.raises(InvalidFrameError, match="called as features of fraud@1: amount"):
        client.features.historical(labels.rename(columns={"fraud": "amount"}), "fraud@1", entity="account_id")
    with pytest.raises(InvalidFrameError, match="row 0 has no time, but 1"):
        client.features.historical([{"entity": "a", "event_time": 1}], "fraud@1")
    with pytest.raises(RequestFailedError, match=r"rows\.0\.payment_amount") as caught:
        client.features.historical(labels, "payment_authorisation@1", entity="account_id")
    assert caught.value.code == "FEATURE_STORE_REQUEST_FIELDS"


def test_pushed_rows_keep_their_types(client: Client) -> None:
    account = f"p-{uuid.uuid4().hex}"
    row = {
        "account_id": account,
        "at": MOMENT,
        "opened": datetime(2020, 2, 29, 12, 30, 0, 1, tzinfo=timezone.utc),
        "limit": Decimal("1234.50"),
        "points": str(2**63 - 1),
        "taste": [0.5, -0.25],
    }
    pushed = client.features.push("profile@1", [row, {**row, "limit": "much"}])
    assert (pushed.written, pushed.refused[0].row) == (1, 1)
    assert "limit" in pushed._repr_html_()
    table = client.features.online("profile@1", [account])
    found = table[0]
    assert (found["opened"], found["limit"], found["points"]) == (row["opened"], row["limit"], 2**63 - 1)
    assert table.to_polars().schema["limit"] == pl.Decimal(10, 2)
    assert table.to_polars()["taste"].to_list() == [[0.5, -0.25]]
    history = client.features.historical(pl.DataFrame({"entity": [account], "event_time": [MOMENT]}), "profile@1")
    assert history["limit"].to_list() == [Decimal("1234.50")]
    other = f"p-{uuid.uuid4().hex}"
    assert client.features.push("profile@1", pl.DataFrame([{**row, "account_id": other}])).written == 1
    near = client.features.search("profile@1", "taste", entity=account, k=1)
    assert near[0]["entity"] == other


def test_why_a_feature_has_its_value(client: Client, accounts: list[str]) -> None:
    why = client.features.why(accounts[0], "count_24h", view="fraud@1")
    assert why.equal
    assert len(why.events) == 3
    assert "count_24h" in why._repr_html_()


def test_predictions_explanations_and_feedback(client: Client, accounts: list[str]) -> None:
    one = client.predictions.predict("fraud_detector", entity=accounts[0], probabilities=True)
    assert (one.model, one.version, one.variant) == ("fraud_detector", 1, "production")
    assert one.probabilities is not None
    assert sum(one.probabilities.values()) == pytest.approx(1)
    many = client.predictions.predict_many("fraud_detector", entities=accounts, probabilities=True)
    assert many[0]["prediction"] == one.prediction
    assert many.column("row_index") == [0, 1]
    explained = client.predictions.explain("fraud_detector", entity=accounts[0])
    assert "amount" in explained.to_table().column("input")
    assert "<table>" in explained._repr_html_()
    client.predictions.feedback(one.prediction_id, label="fraud")
    reports = pd.DataFrame({name: many.column(name) for name in ("prediction_id", "row_index")})
    assert client.predictions.feedback_many(reports.assign(label="legit")) == 2
    features = client.features.vectors("fraud@1", accounts).to_pandas().drop(columns="entity")
    scored = client.predictions.predict_many("fraud_detector", rows=features)
    assert scored.column("prediction") == many.column("prediction")
    with pytest.raises(RequestFailedError) as caught:
        client.predictions.predict("fraud_detector", entity="unknown")
    assert caught.value.status == 404


def test_the_registry_has_versions_and_metrics(client: Client) -> None:
    assert client.registry.models()[0]["name"] == "fraud_detector"
    (version,) = client.registry.versions("fraud_detector")
    assert (version.version, version.stage) == (1, "Production")
    assert version.metrics
    assert "Production" in version._repr_html_()
    frame = client.registry.metrics("fraud_detector").to_pandas()
    assert set(version.metrics) <= set(frame.columns)
    assert {each["name"] for each in client.registry.signature("fraud_detector")["inputs"]} >= {"amount"}
    with pytest.raises(RequestFailedError) as caught:
        client.registry.versions("none")
    assert caught.value.status == 404


def test_the_catalogue(client: Client) -> None:
    assert {"fraud@1", "profile@1"} <= set(client.features.views().column("view"))
    services = {row["service"]: row for row in client.features.services()}
    assert services["payment_authorisation@1"]["request"] == ["payment_amount", "payment_category"]
    assert "<table>" in client.features.views()._repr_html_()
