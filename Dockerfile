# syntax=docker/dockerfile:1

# Builds on the builder's platform for that of the image: nothing is emulated.
FROM --platform=$BUILDPLATFORM rust:1.95.0-bookworm AS build
ARG BUILDARCH
ARG TARGETARCH
SHELL ["/bin/bash", "-euo", "pipefail", "-c"]
WORKDIR /source
COPY rust-toolchain.toml ./
# hadolint ignore=DL3008
RUN case $TARGETARCH in \
        amd64) triple=x86_64-unknown-linux-gnu compiler=gcc-x86-64-linux-gnu ;; \
        arm64) triple=aarch64-unknown-linux-gnu compiler=gcc-aarch64-linux-gnu ;; \
        *) echo "no image for $TARGETARCH" >&2; exit 1 ;; \
    esac; \
    echo "$triple" >/triple; \
    rustup target add "$triple"; \
    if [ "$TARGETARCH" != "$BUILDARCH" ]; then \
        apt-get update; \
        apt-get install --yes --no-install-recommends "$compiler" "libc6-dev-$TARGETARCH-cross"; \
        rm -rf /var/lib/apt/lists/*; \
    fi
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/source/target,id=target-$TARGETARCH \
    folder=$(hack/static.sh --target "$(</triple)" | tail -n 1); \
    install -D --mode 755 --target-directory /image "$folder/apikey-operator" "$folder/kubectl-apikey"; \
    install -D --mode 644 --target-directory /image/licenses LICENSE; \
    install -D --mode 644 --target-directory /image/etc/ssl/certs /etc/ssl/certs/ca-certificates.crt

FROM scratch
ARG REVISION=unknown
ARG SOURCE=
ARG VERSION=unreleased
LABEL org.opencontainers.image.title="apikey-operator" \
      org.opencontainers.image.description="API keys as Kubernetes objects: operator, token server and kubectl plugin" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.source="$SOURCE" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"
COPY --from=build /image /
USER 65532:65532
ENTRYPOINT ["/apikey-operator"]
