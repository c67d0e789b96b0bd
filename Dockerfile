# syntax=docker/dockerfile:1
#   docker build -t palimpsest .                                     for NVIDIA GPUs
#   docker build -t palimpsest --build-arg EXTRAS=serve \
#     --build-arg TORCH_INDEX=<index of PyTorch's CPU wheels> .      small, for CPUs
#   docker run -p 8080:8080 -p 50051:50051 -e PALIMPSEST_API_KEY palimpsest
# It listens for other machines, so it does not start without a key (or --no-auth, after CMD's flags).
FROM python:3.11-slim-bookworm AS build
ARG EXTRAS=serve,gpu
# Where to find torch, if not where all packages come from, whose build for Linux needs CUDA.
ARG TORCH_INDEX=""
ENV PIP_EXTRA_INDEX_URL=$TORCH_INDEX PIP_NO_CACHE_DIR=1
WORKDIR /source
COPY . .
RUN python -m venv /opt/palimpsest \
    && /opt/palimpsest/bin/pip install -c constraints.txt setuptools \
    && /opt/palimpsest/bin/pip install -c constraints.txt --no-build-isolation ".[$EXTRAS]"

FROM python:3.11-slim-bookworm
COPY --from=build /opt/palimpsest /opt/palimpsest
RUN useradd --create-home --uid 10001 palimpsest
USER 10001
ENV PATH=/opt/palimpsest/bin:$PATH
EXPOSE 50051 8080
HEALTHCHECK --interval=10s --timeout=5s --start-period=120s \
    CMD ["python", "-m", "palimpsest.health", "localhost:50051"]
ENTRYPOINT ["palimpsest"]
CMD ["serve", "--host", "0.0.0.0", "--port", "50051"]
