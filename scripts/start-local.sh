#!/usr/bin/env bash
# Everything on this machine: docker compose, with the passwords of .env.example unless there is a .env.
set -euo pipefail
cd "$(dirname "$0")/.."
command -v docker >/dev/null || { echo 'there is no Docker here: npm start runs the platform in one process' >&2; exit 1; }
[ -f .env ] || cp .env.example .env
docker compose up --build --detach --wait "$@"
cat <<'NEXT'
gateway    http://localhost:8080/docs    features http://localhost:8083/docs    serving http://localhost:8000/docs
MLflow     http://localhost:5000         Grafana  http://localhost:3000         Prometheus http://localhost:9090
next: npm run send:test-data -- --to kafka, npm run query:results
NEXT
