# syntax=docker/dockerfile:1
# One image with one binary; the command says which role it is: ingress, results, worker <pool>, migrate, …

ARG RUST_VERSION=1.95
ARG DEBIAN=bookworm

# What is compiled for the dependencies alone is a layer of its own: it lasts until Cargo.lock or a Cargo.toml changes.
FROM rust:${RUST_VERSION}-slim-${DEBIAN} AS builder
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
# Versions of a compiler and of make that Debian takes back cannot be pinned for long.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends gcc g++ libc6-dev make pkg-config \
    && rm -rf /var/lib/apt/lists/*
RUN cargo install cargo-chef --locked --version 0.1.78
WORKDIR /src

FROM builder AS plan
COPY . .
RUN cargo chef prepare --recipe-path recipe.json

FROM builder AS build
# For example "aws-kms".
ARG FEATURES=""
ENV SQLX_OFFLINE=true
COPY --from=plan /src/recipe.json recipe.json
RUN cargo chef cook --release --locked --package quittance --features "${FEATURES}" --recipe-path recipe.json
COPY . .
RUN cargo build --release --locked --package quittance --features "${FEATURES}" \
    && install -D target/release/quittance /out/quittance

# No shell and no package manager: glibc, libgcc and the certificates of the usual authorities.
FROM gcr.io/distroless/cc-debian12:nonroot AS quittance
LABEL org.opencontainers.image.title="quittance" \
    org.opencontainers.image.description="Settles x402 payments" \
    org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /out/quittance /usr/local/bin/quittance
# From outside the container; within it, the defaults listen on the loopback alone.
ENV QUITTANCE_INGRESS__LISTEN=0.0.0.0:4020 \
    QUITTANCE_RESULTS__LISTEN=0.0.0.0:4021 \
    QUITTANCE_METRICS__LISTEN=0.0.0.0:9464
# The number, so that Kubernetes sees that it is not root.
USER 65532:65532
EXPOSE 4020 4021 9464
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 CMD ["/usr/local/bin/quittance", "health"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["/usr/local/bin/quittance"]
CMD ["--help"]
