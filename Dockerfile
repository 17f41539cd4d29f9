# One image for Prefect's server, MLflow's server and the workers: all have the versions of requirements.lock.
#
#   docker build --tag plumbline:0.1.0 .                                      PyTorch for NVIDIA GPUs
#   docker build --tag plumbline:0.1.0 --build-arg TORCH_INDEX=<address> .    PyTorch of that index: of CPU builds, say
#
# Build from a clone, not from a worktree: the image takes the git history along, for experiments need it.
# No secret is needed to build it, and none is in it: they come from the environment of the container.

FROM python:3.11.13-slim-bookworm AS build
ARG TORCH=2.13.0
ARG TORCH_INDEX=
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PATH=/opt/venv/bin:$PATH
RUN python -m venv /opt/venv
RUN if [ -n "$TORCH_INDEX" ]; then \
        pip install --quiet --no-deps --index-url "$TORCH_INDEX" "torch==$TORCH"; \
    else \
        pip install --quiet "torch==$TORCH"; \
    fi
WORKDIR /build
COPY requirements.lock .
RUN pip install --quiet --require-hashes --no-deps --requirement requirements.lock

FROM python:3.11.13-slim-bookworm
# Debian keeps the newest build of git alone, so that a pinned one soon cannot be had
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends git \
    && rm -rf /var/lib/apt/lists/* \
    && git config --system user.name "Plumbline worker" \
    && git config --system user.email worker@plumbline.invalid \
    && useradd --create-home --uid 1000 plumbline
COPY --from=build /opt/venv /opt/venv
WORKDIR /plumbline
COPY --chown=plumbline:plumbline . .
# What volumes are mounted on must be there, and the user's
RUN mkdir -p .dvc/cache .checkpoints .prefect && chown plumbline:plumbline /plumbline .dvc/cache .checkpoints .prefect
USER 1000
ENV PATH=/opt/venv/bin:$PATH PYTHONUNBUFFERED=1 PLUMBLINE_ROOT=/plumbline
# The settings of flows/settings.py, then whatever command. Whether it is healthy, each service of compose.yaml asks.
ENTRYPOINT ["python", "-m", "flows.command"]
CMD ["python", "-m", "flows.pipeline"]
