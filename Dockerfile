# One image for every role: migrations, workers, beat, Flower. The command says which.
FROM python:3.12-slim AS build
WORKDIR /src
RUN python3 -m venv --without-pip /opt/parlex
# Dependencies first: this layer is built again only when they change.
COPY pyproject.toml requirements.txt constraints.txt ./
RUN python3 -c "import tomllib; p = tomllib.load(open('pyproject.toml', 'rb'))['project']; print(*p['dependencies'], *p['optional-dependencies']['parquet'], sep='\n')" > run.txt \
 && pip --python /opt/parlex/bin/python install --no-cache-dir --disable-pip-version-check --only-binary :all: \
    -c requirements.txt -r run.txt
COPY LICENSE celeryconfig.py ./
COPY parlex parlex
COPY workers workers
RUN pip --python /opt/parlex/bin/python install --no-cache-dir --disable-pip-version-check --no-deps .
# What nobody imports here: tests, sources of what is compiled, and the types of packages that are not installed.
RUN find /opt/parlex -depth \( -type d \( -name tests -o -name testing -path '*sqlalchemy*' -o -name django-stubs \
      -o -path '*/typeshed/stubs' -o -path '*/typeshed/third_party' \) \
      -o -type f \( -name '*.pyx' -o -name '*.pxd' -o -name '*.pyi' -not -path '*/typeshed/*' \) \) -exec rm -rf {} +

FROM python:3.12-slim
# /data is for what one role keeps: beat's lock, Flower's history. A named volume takes its owner from here.
RUN useradd --uid 10001 --no-create-home --home-dir /app --shell /usr/sbin/nologin parlex \
 && mkdir -p /app /data && chown parlex:parlex /app /data
COPY --from=build /opt/parlex /opt/parlex
# SIGTERM means: stop taking work, give what runs its time, put the rest back (worker_soft_shutdown_timeout).
# Without the remap a task that outlives the grace period stays with the dead worker until the visibility timeout.
ENV PATH=/opt/parlex/bin:$PATH PYTHONUNBUFFERED=1 REMAP_SIGTERM=SIGQUIT PARLEX_LOG_FORMAT=json
USER parlex
WORKDIR /app
# Asks the workers of this container whether they consume; the other roles bring a check of their own.
HEALTHCHECK --interval=60s --timeout=30s --start-period=30s --retries=3 CMD ["python", "-m", "workers.health"]
CMD ["parlex", "--help"]
