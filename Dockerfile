# headwatch with everything that it needs to boot guests. State is in /var/lib/headwatch.
#
#   docker build -t headwatch .
#   docker run --rm -p 8470:8470 --device /dev/kvm -v headwatch:/var/lib/headwatch headwatch

FROM golang:1.26-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN make build

FROM debian:bookworm-slim
ENV HEADWATCH_KERNELS=/usr/local/share/headwatch/kernels XDG_STATE_HOME=/var/lib
COPY .ci/setup /tmp/setup
RUN /tmp/setup --runtime && rm -rf /tmp/setup /var/lib/apt/lists/*
COPY --from=build /src/bin/headwatch /usr/local/bin/headwatch
VOLUME /var/lib/headwatch
EXPOSE 8470
ENTRYPOINT ["headwatch"]
CMD ["serve", "--listen", "0.0.0.0:8470"]
