# Part of scripts/start-*.sh: ends with what is missing unless docker compose and an engine answer.
command -v docker >/dev/null || { echo 'there is no Docker here: npm start runs the platform in one process' >&2; exit 1; }
docker compose version >/dev/null 2>&1 || { echo 'docker has no compose: install its plugin (docker-compose-plugin)' >&2; exit 1; }
docker info >/dev/null 2>&1 || { echo 'no Docker engine answers: start it, or run the platform in one process with npm start' >&2; exit 1; }
