#!/bin/sh
# Make an image to build on where no public one can be pulled: a small Debian with Python.
#   sh deploy/stand_in/base.sh NAME [FOLDER]      needs root, debootstrap and a container engine
set -eu
name=$1 folder=${2:-$(mktemp -d)}
debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates bookworm "$folder" >/dev/null
certificates=/etc/ssl/certs/ca-certificates.crt
cp "$certificates" "$folder$certificates"
[ ! -f /etc/pip.conf ] || cp /etc/pip.conf "$folder/etc/pip.conf"
tar -C "$folder" -c . | docker import --change "ENV SSL_CERT_FILE=$certificates" - "$name"
