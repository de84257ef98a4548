# The program alone in a small image, run by a user without rights; to write into a folder it needs to be its owner:
# docker run --rm --volume "$PWD:/project" --user "$(id -u)" IMAGE run --all
FROM rust:1.95-slim-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends cmake gcc g++ make perl && rm -rf /var/lib/apt/lists/*
WORKDIR /source
COPY Cargo.toml Cargo.lock ./
COPY src src
COPY tests tests
RUN cargo build --release --locked --bin pipe

FROM debian:bookworm-slim
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin pipe
COPY --from=build /source/target/release/pipe /usr/local/bin/pipe
USER 10001
ENV HOME=/tmp
WORKDIR /project
ENTRYPOINT ["pipe"]
