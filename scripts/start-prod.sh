#!/usr/bin/env bash
# One machine in production: docker compose with an image by digest, passwords and keys from the environment or .env.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/deployment/needs_docker.sh
files=(-f docker-compose.yml -f docker-compose.prod.yml)
# Says what is missing before anything is started.
docker compose "${files[@]}" config --quiet
docker compose "${files[@]}" up --detach --wait "$@"
docker compose "${files[@]}" ps
