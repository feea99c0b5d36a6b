#!/bin/bash
# Adds packages to an image that build.sh has made, as one more layer, and prints the path of the new
# layout, which is cached beside the old one.
#
#   more.sh LAYOUT PACKAGE...     e.g. more.sh "$(build.sh bookworm)" btrfs-progs
#
# Needs root and: umoci.
set -euo pipefail
from=$1
shift
hash=$(cat "$0" - <<< "$*" | sha256sum | cut -c1-16)
layout=$(dirname "$from")+$hash
exec 9>"$layout.lock"
flock 9
if [[ -e $layout/done ]]; then echo "$layout/oci"; exit; fi

rm -rf "$layout" && mkdir -p "$layout"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp -a "$from" "$layout/oci"
umoci unpack --image "$layout/oci:latest" "$work/bundle" >&2
root=$work/bundle/rootfs
resolv=$root/etc/resolv.conf
mv "$resolv" "$work/resolv" 2>/dev/null || true
cp /etc/resolv.conf "$resolv"
export DEBIAN_FRONTEND=noninteractive INITRD=No
chroot "$root" apt-get update -q >&2
chroot "$root" apt-get install -y -q --no-install-recommends "$@" >&2
chroot "$root" apt-get clean >&2
rm -rf "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/*.bin "$resolv"
mv "$work/resolv" "$resolv" 2>/dev/null || true
umoci repack --image "$layout/oci:latest" "$work/bundle" >&2
umoci gc --layout "$layout/oci" >&2
touch "$layout/done"
echo "$layout/oci"
