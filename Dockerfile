# Two ways to install: with the tools that build the server and the pages' scripts, and without them. The embedded
# PostgreSQL stays out of the image: give it DATABASE_URL or DATABASE_URL_FILE.
FROM node:24-slim AS install
WORKDIR /app
COPY package.json package-lock.json .npmrc ./

FROM install AS build
RUN npm ci --ignore-scripts
COPY src src
COPY tsconfig.json ./
# By its path: npm would put the node of devDependencies first, which --ignore-scripts leaves unfinished.
RUN /usr/local/bin/node src/browser/build.ts && /usr/local/bin/node src/build_server.ts

FROM install AS production
RUN npm ci --omit=dev --omit=optional --ignore-scripts

FROM node:24-slim
# After SIGTERM the server answers for DRAIN_SECONDS more: a load balancer needs that long to see that it is not ready.
ENV NODE_ENV=production HOST=0.0.0.0 PORT=3000 DATA_DIR=/data DRAIN_SECONDS=5
# Nothing else is written to, so the file system of the root may be read-only.
RUN install -d -o 1000 -g 1000 -m 700 /data
WORKDIR /app
COPY --from=production /app/node_modules node_modules
COPY package.json ./
COPY migrations migrations
COPY config config
COPY views views
COPY --from=build /app/views/assets views/assets
COPY --from=build /app/dist dist
ENV NODE_COMPILE_CACHE=/app/node_modules/.cache/compile
RUN install -d -o 1000 -g 1000 /app/node_modules/.cache/compile
# By its number, which is that of the image's user node: Kubernetes cannot tell by a name that it is not root.
USER 1000:1000
# What V8 makes of the code, so that a container need not compile it. Node keeps it by user, so it is made by the one that
# runs the server. main.js stops at a setting that is none. What it would load next is loaded by itself.
RUN PORT=none node dist/main.js 2>&1 | grep PORT && node dist/cli.js --help > /dev/null && \
  set -- dist/serve-*.js dist/app-*.js && test $# = 2 && node --eval "import('./$1').then(() => import('./$2'))"
EXPOSE 3000
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.PORT}/health/ready`).then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
# Without npm between, so that signals reach the server.
CMD ["node", "dist/main.js"]
