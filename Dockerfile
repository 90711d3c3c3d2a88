# syntax=docker/dockerfile:1
# The base image: every role, and no project. A project is a layer on it (examples/fraud/Dockerfile): docker build -t headwater . &&
# docker build -t headwater-fraud --build-arg BASE_IMAGE=headwater examples/fraud && docker run headwater-fraud start --role gateway
# Pin both by digest where you build: --build-arg NODE_IMAGE=node:24-slim@sha256:…
ARG NODE_IMAGE=node:24-slim
ARG RUNTIME_IMAGE=${NODE_IMAGE}

FROM ${NODE_IMAGE} AS build
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN --mount=type=cache,target=/root/.npm npm ci
COPY . .
# Of the optional packages of package.json: `roles` (clients of brokers, stores and clouds), `all`, or names; several with commas. The others
# train networks in Node (@tensorflow/tfjs), bundle models for browsers (esbuild, onnxruntime-web) or run graphs of Beam's SDK (apache-beam).
ARG OPTIONAL_PACKAGES=roles
RUN npm run build && rm -rf dist/bench dist/scripts \
 && node scripts/building/keep_optional_packages.mjs "${OPTIONAL_PACKAGES}" && npm prune --omit=dev \
 && node scripts/building/drop_unused_files.mjs && mkdir .empty

FROM ${RUNTIME_IMAGE}
LABEL org.opencontainers.image.title="headwater" \
      org.opencontainers.image.description="The real-time machine-learning platform for TypeScript teams" \
      org.opencontainers.image.licenses="Apache-2.0"
ENV NODE_ENV=production HEADWATER_PROJECT=/project DATA_DIRECTORY=/data \
    GATEWAY_HOST=0.0.0.0 FEATURE_API_HOST=0.0.0.0 PIPELINE_HOST=0.0.0.0 API_HOST=0.0.0.0 MONITOR_HOST=0.0.0.0 WORKFLOWS_HOST=0.0.0.0
WORKDIR /app
COPY --from=build /app/package.json ./
COPY --from=build /app/node_modules node_modules
COPY --from=build /app/dist dist
COPY --from=build /app/configs configs
COPY --from=build /app/docs/errors.md docs/errors.md
COPY --from=build /app/feature_store/database/migrations feature_store/database/migrations
COPY --from=build /app/workflows/schedules/calendars workflows/schedules/calendars
COPY --from=build --chown=1000:1000 /app/.empty /data
COPY --from=build --chown=1000:1000 /app/.empty /keys
# A number: Kubernetes cannot tell of a name that it is not root.
USER 1000
VOLUME /data
EXPOSE 8000 8080 8082 8083 8084
# Roles drain: what was accepted is finished within the grace of Compose and Kubernetes.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s CMD ["node", "/app/dist/cli/roles/health_check.js"]
ENTRYPOINT ["node", "/app/dist/cli/headwater.js"]
CMD ["start"]
