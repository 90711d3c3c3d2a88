"""Sends events to a gateway as Python programs do; prints a JSON line for each answer."""

import json
import sys
from datetime import datetime, timezone

import httpx
import requests
from cloudevents.http import CloudEvent, to_binary, to_structured

url = sys.argv[1]


def fields(name):
    return {
        "user_id": "py",
        "account_id": "a1",
        "amount": 12.5,
        "currency": "EUR",
        "merchant_id": "café " + name,
        "merchant_category": "grocery",
        "country": "DE",
    }


def plain(name):
    return {"event_id": name, "event_type": "transaction", "timestamp": datetime.now(timezone.utc).isoformat(), **fields(name)}


def tell(name, answer):
    print(json.dumps({"name": name, "status": answer.status_code, "body": answer.json()}))


tell("requests", requests.post(f"{url}/ingest", json=plain("py-requests")))
tell("httpx", httpx.post(f"{url}/ingest", json=plain("py-httpx")))
tell("httpx lines", httpx.post(f"{url}/ingest/batch", content="\n".join(json.dumps(plain(f"py-line-{i}")) for i in range(3))))
for name, write in (("binary", to_binary), ("structured", to_structured)):
    event = CloudEvent({"type": "transaction", "source": "urn:py", "id": f"py-{name}"}, fields(name))
    headers, body = write(event)
    tell(name, requests.post(f"{url}/ingest", headers=headers, data=body))
refused = requests.post(f"{url}/ingest", data=b'{"event_id":"x","event_id":"y"}')
tell("refused", refused)
