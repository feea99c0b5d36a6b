#!/bin/bash
# Builds the Debian image of build.sh with the programs that build on disks (RAID, LVM, encryption),
# as an OCI layout, and prints its path. It is a recipe of its own so that the other images, which are
# cached by theirs, stay what they are.
#
#   storage.sh SUITE        e.g. storage.sh bookworm
#
# Needs root and: mmdebstrap umoci.
set -euo pipefail
suite=$1
here=$(cd "$(dirname "$0")" && pwd)
hash=$(cat "$here/storage.sh" "$here/packages" | sha256sum | cut -c1-16)
cache=${FLIPSLOT_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/flipslot}/images
layout=$cache/$suite-storage-$hash
mkdir -p "$cache"
exec 9>"$cache/$suite-storage.lock"
flock 9
if [[ -e $layout/done ]]; then echo "$layout/oci"; exit; fi

rm -rf "$layout" && mkdir -p "$layout"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

INITRD=No mmdebstrap --quiet --mode=root --variant=minbase \
  --include="$(paste -sd, "$here/packages"),mdadm,lvm2,cryptsetup-bin" \
  --dpkgopt='path-exclude=/usr/share/doc/*' \
  --dpkgopt='path-exclude=/usr/share/man/*' \
  --dpkgopt='path-exclude=/usr/share/locale/*' \
  --essential-hook='mkdir -p "$1/etc/dracut.conf.d"' \
  --customize-hook='chroot "$1" passwd -d root >/dev/null' \
  --customize-hook='rm -f "$1"/boot/initrd.img-* "$1"/boot/initramfs-*; : > "$1/etc/machine-id"' \
  --customize-hook='echo flipslot-vm > "$1/etc/hostname"' \
  "$suite" "$work/root.tar" >&2

umoci init --layout "$work/oci" >&2
umoci new --image "$work/oci:latest" >&2
umoci raw add-layer --image "$work/oci:latest" "$work/root.tar" >&2
umoci config --image "$work/oci:latest" --config.cmd /sbin/init >&2
umoci gc --layout "$work/oci" >&2
mv "$work/oci" "$layout/oci"
touch "$layout/done"
echo "$layout/oci"
