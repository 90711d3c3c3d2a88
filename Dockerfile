# syntax=docker/dockerfile:1
# One image for every role: docker run headwater start --role gateway
ARG NODE_IMAGE=node:24-slim

FROM ${NODE_IMAGE} AS build
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci
COPY . .
RUN npm run build && npm prune --omit=dev

FROM ${NODE_IMAGE}
ENV NODE_ENV=production DATA_DIRECTORY=/data \
    GATEWAY_HOST=0.0.0.0 FEATURE_API_HOST=0.0.0.0 PIPELINE_HOST=0.0.0.0 API_HOST=0.0.0.0
WORKDIR /app
COPY --from=build /app/package.json ./
COPY --from=build /app/node_modules node_modules
COPY --from=build /app/dist dist
COPY --from=build /app/configs configs
COPY --from=build /app/feature_store/offline/migrations feature_store/offline/migrations
COPY --from=build /app/registry/models registry/models
RUN mkdir /data && chown node:node /data
USER node
VOLUME /data
EXPOSE 8000 8080 8082 8083
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s \
  CMD ["node", "-e", "const p={gateway:8080,features:8083,serving:8000,pipeline:8082}[(process.env.ROLES||'gateway').split(',')[0]];fetch(`http://127.0.0.1:${p}/health/live`).then(r=>process.exit(r.ok?0:1),()=>process.exit(1))"]
ENTRYPOINT ["node", "dist/cli/headwater.js"]
CMD ["start"]
