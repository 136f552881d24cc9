#!/bin/sh
# Install from Debian's packages whatever `quant servers`, and the test that builds the image, need of this system and
# do not find. Needs root.
#
# Kafka, QuestDB and MinIO themselves are fetched later, by Maven and Go. MinIO needs Go 1.24 or newer, and a Debian
# that is older than its Go has a newer one in its backports.
set -eu

missing=""

need() {
    for program in $2; do
        if command -v "$program" >/dev/null 2>&1; then return; fi
    done
    missing="$missing $1"
}

need openjdk-17-jre-headless java
need maven mvn
need postgresql "postgres $(echo /usr/lib/postgresql/*/bin/postgres)"
need redis-server redis-server
need golang go
need buildah buildah
need debootstrap "debootstrap /usr/sbin/debootstrap"

if [ -z "$missing" ]; then
    echo "nothing is missing"
    exit
fi
if ! command -v apt-get >/dev/null 2>&1; then
    echo "missing, and this system has no apt-get to install it:$missing" >&2
    exit 1
fi
if [ "$(id -u)" != 0 ]; then
    echo "missing:$missing (run this as root: sudo sh infra/native/install.sh)" >&2
    exit 1
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -q
# shellcheck disable=SC2086  # one word a package
apt-get install -q -y --no-install-recommends $missing
