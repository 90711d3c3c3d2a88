"""Sends requests as Python programs do, with the defaults of requests and httpx. Reads a list of {name, url, method, type, body}; prints the statuses of each."""

import gzip
import json
import sys

import httpx
import requests


def chunks(body):
    for at in range(0, len(body), 7):
        yield body[at : at + 7]


def ways(session, client, one):
    url, method, kind = one["url"], one["method"], one["type"]
    if one["body"] is None:
        yield "requests", lambda: session.request(method, url)
        yield "httpx", lambda: client.request(method, url)
        return
    body = one["body"].encode()
    of = {"content-type": kind}
    if kind == "application/json":
        value = json.loads(body)
        yield "requests json=", lambda: session.request(method, url, json=value)
        yield "httpx json=", lambda: client.request(method, url, json=value)
    yield "requests data=", lambda: session.request(method, url, data=body, headers=of)
    yield "requests chunks", lambda: session.request(method, url, data=chunks(body), headers=of)
    yield "requests gzip", lambda: session.request(method, url, data=gzip.compress(body), headers={**of, "content-encoding": "gzip"})
    yield "httpx content=", lambda: client.request(method, url, content=body, headers=of)
    yield "httpx chunks", lambda: client.request(method, url, content=chunks(body), headers=of)


with requests.Session() as session, httpx.Client(timeout=30) as client:
    for one in json.load(sys.stdin):
        print(json.dumps({"name": one["name"], "statuses": {way: send().status_code for way, send in ways(session, client, one)}}))
