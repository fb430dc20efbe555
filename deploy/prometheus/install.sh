#!/bin/sh
# Install Debian's Prometheus (with promtool) where it is missing; it is not started.
set -eu
if command -v promtool > /dev/null && command -v prometheus > /dev/null; then
  exit 0
fi
if ! command -v apt-get > /dev/null; then
  echo "pashe: promtool and prometheus are missing; install Prometheus 2.42 or newer" >&2
  exit 1
fi
export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1
wait="-o DPkg::Lock::Timeout=300"
# shellcheck disable=SC2086
apt-get $wait update -qq
# shellcheck disable=SC2086
apt-get $wait install -y -qq --no-install-recommends prometheus > /dev/null
