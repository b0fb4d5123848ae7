# Somebody else's program in an image of this machine's making, for engines that cannot pull the real one.
ARG BASE_IMAGE
FROM ${BASE_IMAGE}
ARG OWNER
ARG DATA
COPY . /
RUN ln -sf /bin/busybox /usr/local/bin/wget; \
    echo "standin:x:$OWNER:$OWNER::/:/bin/sh" >> /etc/passwd; \
    mkdir -p "$DATA"; chown "$OWNER:$OWNER" "$DATA"
