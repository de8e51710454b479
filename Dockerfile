# One image for the API, the workers and the tracking server. What changes rarely comes first.
ARG PYTHON_IMAGE=python:3.11-slim

# What the package asks for; settings of tools for developers may change without a new installation.
FROM ${PYTHON_IMAGE} AS asked
COPY pyproject.toml /asked/
RUN sed -i '/^\[dependency-groups\]/,$d' /asked/pyproject.toml

FROM ${PYTHON_IMAGE} AS dependencies
COPY requirements.lock /build/
# uv comes from the lock like everything else: pip checks its hash, then uv checks those of the rest.
RUN python -m venv /opt/build \
    && sed -n '/^uv==/,/[^\\]$/p' /build/requirements.lock > /build/uv.txt \
    && /opt/build/bin/pip install --quiet --no-cache-dir --disable-pip-version-check --require-hashes -r /build/uv.txt
COPY --from=asked /asked/pyproject.toml /build/
# At the versions and with the hashes of the lock; what only developers need stays out.
# TensorFlow's headers are for those who compile operations of their own.
RUN python -m venv --without-pip /opt/venv \
    && /opt/build/bin/uv pip install --quiet --no-cache --python /opt/venv/bin/python --compile-bytecode \
        --require-hashes --constraints /build/requirements.lock \
        -r /build/pyproject.toml --extra postgres --extra service --extra auth \
    && rm -r /opt/venv/lib/python3*/site-packages/tensorflow/include

FROM dependencies AS package
COPY pyproject.toml README.md LICENSE /build/
COPY sweeps /build/sweeps
COPY dnnsweep /build/dnnsweep
RUN /opt/build/bin/uv pip install --quiet --no-cache --python /opt/venv/bin/python --compile-bytecode \
        --no-deps --build-constraints /build/requirements.lock --target /opt/dnnsweep /build \
    && rm /opt/dnnsweep/.lock

FROM ${PYTHON_IMAGE}
# The folders are named here so that volumes mounted on them belong to the user as well.
RUN useradd --uid 10001 --home-dir /var/lib/dnnsweep --no-create-home --shell /usr/sbin/nologin dnnsweep \
    && install -d -o dnnsweep -g dnnsweep /var/lib/dnnsweep /var/lib/mlflow /var/cache/dnnsweep /data
COPY --from=dependencies /opt/venv /opt/venv
COPY compose/mlflow-auth.ini /etc/dnnsweep/
COPY --from=package /opt/dnnsweep /opt/dnnsweep
ENV PATH=/opt/dnnsweep/bin:/opt/venv/bin:$PATH \
    PYTHONPATH=/opt/dnnsweep \
    PYTHONUNBUFFERED=1 \
    DNNSWEEP_HOME=/var/lib/dnnsweep \
    DNNSWEEP_CACHE=/var/cache/dnnsweep \
    MLFLOW_DISABLE_TELEMETRY=true
USER dnnsweep
WORKDIR /var/lib/dnnsweep
CMD ["dnnsweep", "--help"]
