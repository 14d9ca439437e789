# Live Origin in a container:
#
#   docker build --tag live-origin .
#   docker run --publish 8080:8080 --publish 8081:8081 --volume live-origin-data:/var/lib/live-origin \
#       --volume ./config.yaml:/etc/live-origin/config.yaml:ro live-origin
#
# In that config.yaml, listen on 0.0.0.0 and set storage.path to /var/lib/live-origin.

FROM python:3.12-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /srv/live-origin
WORKDIR /src
# The dependencies first: this layer is built anew only when the lock file changes.
COPY requirements.lock ./
RUN /srv/live-origin/bin/pip install --require-hashes --requirement requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY config ./config
COPY origin ./origin
COPY selection ./selection
COPY storage ./storage
# setuptools came with the lock file only to build this; nothing uses it, or pip, afterwards.
RUN /srv/live-origin/bin/pip install --no-deps --no-build-isolation . \
    && /srv/live-origin/bin/pip uninstall --yes setuptools pip

FROM python:3.12-slim
# A number, so that an orchestrator can see that it is not root without reading /etc/passwd.
RUN groupadd --gid 10001 live-origin \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/live-origin --shell /usr/sbin/nologin live-origin \
    && install --directory --owner 10001 --group 10001 /var/lib/live-origin /etc/live-origin
COPY --from=build /srv/live-origin /srv/live-origin
ENV PATH=/srv/live-origin/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 10001:10001
WORKDIR /var/lib/live-origin
VOLUME /var/lib/live-origin
# deliver, publish, admin
EXPOSE 8080 8081 8082
STOPSIGNAL SIGTERM
# No proxy: whatever the container's environment says, this never leaves it.
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
    CMD ["python", "-c", "from urllib.request import ProxyHandler, build_opener; build_opener(ProxyHandler({})).open('http://127.0.0.1:8082/healthz', timeout=2)"]
ENTRYPOINT ["live-origin"]
CMD ["serve", "--config", "/etc/live-origin/config.yaml"]
