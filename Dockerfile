# One file, one image for each program:
#
#   docker build --target oprc-pm  --tag oprc-pm  .
#   docker build --target oprc-crm --tag oprc-crm .
#   docker build --target oprc     --tag oprc     .
#
# The images hold a program and the C library: no shell, no package manager, and a user that is
# nobody on the host. Where images cannot be pulled, `cargo xtask images` makes test images from
# programs that were built on the machine itself.

ARG BUILD_IMAGE=docker.io/library/rust:1.95-bookworm
ARG BASE_IMAGE=gcr.io/distroless/cc-debian12:nonroot

FROM ${BUILD_IMAGE} AS build
WORKDIR /src
COPY . .
# xtask brings the compiler of protocol buffers that the build needs. The caches make a second build
# of changed sources as quick as one outside; what is wanted from them is moved out.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo xtask build --release \
 && mkdir -p /out/data \
 && cp target/release/oprc-pm target/release/oprc-crm target/release/oprc /out/

FROM ${BASE_IMAGE} AS oprc
COPY --from=build /out/oprc /usr/local/bin/oprc
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/oprc"]

FROM ${BASE_IMAGE} AS oprc-crm
COPY --from=build /out/oprc-crm /usr/local/bin/oprc-crm
COPY --from=build --chown=65532:65532 /out/data /data
USER 65532:65532
# A container is reached from outside itself: it does not start before it is told who may call, by
# OPRC_CRM_TOKEN_FILE and its neighbours, or OPRC_CRM_ALLOW_ANONYMOUS=true. What must survive it is
# kept in a volume.
ENV OPRC_CRM_HOST=0.0.0.0 \
    OPRC_CRM_DATA_DIR=/data
EXPOSE 9090
VOLUME /data
ENTRYPOINT ["/usr/local/bin/oprc-crm"]

# The last stage is what a build without --target makes.
FROM ${BASE_IMAGE} AS oprc-pm
COPY --from=build /out/oprc-pm /usr/local/bin/oprc-pm
COPY --from=build --chown=65532:65532 /out/data /data
USER 65532:65532
# A container is reached from outside itself: it does not start before it is told who may call, by
# OPRC_PM_AUTH_MODE=jwt and its neighbours, or OPRC_PM_AUTH_ALLOW_ANONYMOUS=true.
ENV OPRC_PM_SERVER_HOST=0.0.0.0 \
    OPRC_PM_DATA_DIR=/data
EXPOSE 8080
VOLUME /data
ENTRYPOINT ["/usr/local/bin/oprc-pm"]
