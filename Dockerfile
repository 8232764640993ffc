# A worker, or pages and API: the package with the versions of the lock, and the examples.
# docker build -t sayiir-es . && docker run sayiir-es worker run examples.orders --http 127.0.0.1:9464
FROM python:3.11-slim AS build

WORKDIR /app
RUN pip install --no-cache-dir 'uv>=0.9'

# Dependencies first: they change seldom, and the layer is kept.
COPY pyproject.toml uv.lock README.md LICENSE ./
RUN uv sync --frozen --no-cache --no-dev --extra web --no-install-project

COPY schemas schemas
COPY sayiir_es sayiir_es
RUN uv sync --frozen --no-cache --no-dev --extra web --no-editable

FROM python:3.11-slim

# Modules named on the command line are found here; the package is the installed one.
ENV PYTHONPATH=/app \
    PYTHONUNBUFFERED=1 \
    SAYIIR_STATE_DIR=/var/lib/sayiir-es \
    HEALTH_URL=http://127.0.0.1:9464/health/live

WORKDIR /app
COPY --from=build /app/.venv .venv
COPY examples examples

# A new named volume takes the owner of the folder that it covers.
RUN useradd --system --no-create-home worker \
    && install -d -o worker "$SAYIIR_STATE_DIR"
USER worker

# Of `worker run … --http 127.0.0.1:9464`, or of what HEALTH_URL names.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["/app/.venv/bin/python", "-c", "import os, urllib.request; urllib.request.urlopen(os.environ['HEALTH_URL'], timeout=4)"]

ENTRYPOINT ["/app/.venv/bin/sayiir-es"]
CMD ["--help"]
