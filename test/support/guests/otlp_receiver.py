"""Receives metrics by OTLP over HTTP, decodes them with OpenTelemetry's own messages, and answers GET with the newest of each instance as JSON."""

import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)

newest = {}


class Receiver(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        # The exporter sends chunks, which http.server leaves to its handler.
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        for resource in MessageToDict(ExportMetricsServiceRequest.FromString(body))["resourceMetrics"]:
            named = {item["key"]: item["value"].get("stringValue") for item in resource["resource"]["attributes"]}
            newest[named["service.instance.id"]] = {"resource": named, "scopeMetrics": resource["scopeMetrics"]}
        self.answer("application/x-protobuf", ExportMetricsServiceResponse().SerializeToString())

    def do_GET(self):
        self.answer("application/json", json.dumps(list(newest.values())).encode())

    def answer(self, media_type, body):
        self.send_response(200)
        self.send_header("content-type", media_type)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
print(server.server_address[1], flush=True)
server.serve_forever()
