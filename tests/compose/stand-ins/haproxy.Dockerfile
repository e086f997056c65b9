# Stands in for the image haproxy: the same user and paths, with Debian's HAProxy.
FROM debian:bookworm-slim
RUN apt-get update && apt-get install --yes --no-install-recommends haproxy && rm -rf /var/lib/apt/lists/* \
    && usermod --uid 99 haproxy && groupmod --gid 99 haproxy
USER haproxy
ENTRYPOINT ["haproxy"]
CMD ["-W", "-db", "-f", "/usr/local/etc/haproxy/haproxy.cfg"]
