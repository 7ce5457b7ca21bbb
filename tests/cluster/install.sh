#!/usr/bin/env bash
# Installs Slurm and Grid Engine for tests/cluster on Debian, as root. Starts nothing: the tests do.
set -euo pipefail
export DEBIAN_FRONTEND=noninteractive
packages="munge slurm-wlm gridengine-master gridengine-exec gridengine-client"
# shellcheck disable=SC2086  # one word a package
dpkg -s $packages >/dev/null 2>&1 && exit
apt-get update -qq
# shellcheck disable=SC2086
apt-get install -y -qq --no-install-recommends $packages >/dev/null
