# Vectrion: server, worker and command line in one image.
#
#   docker build -t vectrion .
#   docker run -p 127.0.0.1:50051:50051 -v vectrion:/var/lib/vectrion -e VECTRION_SERVER_ALLOW_INSECURE=true vectrion
#
# The embedded profile is what runs by default; `deploy/compose.yaml` shows the distributed one.

FROM rust:1.95-bookworm AS build
RUN apt-get update \
    && apt-get install -y --no-install-recommends cmake python3 python3-pip python3-venv \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
ENV VECTRION_CACHE_DIR=/cache VECTRION_ASSETS_DIR=/assets
# What is fetched changes seldom: before the code, so that it stays in the image's cache.
COPY scripts/assets.py scripts/assets-pins.txt scripts/minilm_*.py scripts/model_reference.py scripts/
RUN python3 scripts/assets.py
COPY . .
# jemalloc is built for one size of page, and arm64 has kernels with several: the largest fits all.
RUN if [ "$(uname -m)" = aarch64 ]; then export JEMALLOC_SYS_WITH_LG_PAGE=16; fi \
    && make build \
    && mkdir /out \
    && cp -RL target/release/assets target/release/vectrion target/release/vectrion-worker target/release/vectrion-extract /out/

FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --home-dir /var/lib/vectrion --create-home vectrion
# The program finds `assets` and the process that reads PDFs beside itself.
COPY --from=build /out /opt/vectrion
COPY config /opt/vectrion/config
ENV PATH=/opt/vectrion:$PATH \
    VECTRION_DATA_DIR=/var/lib/vectrion \
    VECTRION_SERVER_LISTEN=0.0.0.0:50051
USER 10001
VOLUME /var/lib/vectrion
EXPOSE 50051 9464
STOPSIGNAL SIGTERM
CMD ["vectrion", "serve"]
