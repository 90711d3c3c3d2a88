#!/usr/bin/env bash
# Everything on this machine: docker compose. Without a .env there will be one, with passwords and a key made for it.
set -euo pipefail
cd "$(dirname "$0")/.."
[ -f .env ] || (
  umask 077
  while IFS= read -r line; do
    case $line in *=) line+=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n') ;; esac
    printf '%s\n' "$line"
  done <.env.example >.env
)
. scripts/deployment/needs_docker.sh
docker compose up --build --detach --wait "$@"
cat <<'NEXT'
gateway    http://localhost:8080/docs    features http://localhost:8083/docs    serving http://localhost:8000/docs
MLflow     http://localhost:5000         Grafana  http://localhost:3000         Prometheus http://localhost:9090
console    http://localhost:8000/console, with topics and lag; the key is ACCESS_API_KEYS in .env
next: docker compose exec gateway node /app/dist/cli/headwater.js events send
      docker compose exec serving node /app/dist/cli/headwater.js predictions list
NEXT
