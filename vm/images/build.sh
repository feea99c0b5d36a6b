#!/bin/bash
# Builds one small, bootable Debian image as an OCI layout and prints its path.
#
#   build.sh SUITE [PACKAGE...]     e.g. build.sh bookworm; with more packages: build.sh bookworm mdadm
#
# Beside the layout lies `vmlinuz`, the image's kernel, to find out whether KVM works.
# The layout is cached by the hash of this recipe (and the suite) under
# $FLIPSLOT_CACHE (default ~/.cache/flipslot), outside the tree; without the
# cache it is built again. Needs root and: mmdebstrap umoci skopeo.
#
# With the package sysvinit-core, that is its init, and not systemd.
#
# Small means without what only costs an emulated machine time: the files in `small.dpkg`, and the
# units in `masked`. Debian 13 keeps logind and D-Bus, so jumps are made with them and without.
# FLIPSLOT_IMAGES=whole builds the image with all of that: the bench and the demo use it.
set -euo pipefail
suite=$1
shift
here=$(cd "$(dirname "$0")" && pwd)
whole=$([[ ${FLIPSLOT_IMAGES:-} != whole ]] || echo whole)
hash=$(cat "$here"/{build.sh,packages,small.dpkg,masked} - <<< "$whole $*" | sha256sum | cut -c1-16)
cache=${FLIPSLOT_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/flipslot}/images
layout=$cache/$suite-$hash
mkdir -p "$cache"
exec 9>"$cache/$suite-$hash.lock"
flock 9
if [[ -e $layout/done ]]; then echo "$layout/oci"; exit; fi

rm -rf "$layout" && mkdir -p "$layout"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

mapfile -t packages < "$here/packages"
of_init=()
if [[ " $* " = *' sysvinit-core '* ]]; then
  mapfile -t packages < <(grep -vxE 'systemd-sysv|dbus' "$here/packages")
  # Debian's inittab has no login on a serial port.
  of_init=(--customize-hook='echo "S0:12345:respawn:/sbin/getty -L 115200 ttyS0 vt100" >> "$1/etc/inittab"')
fi
less=()
if [[ -z $whole ]]; then
  mapfile -t masked < "$here/masked"
  [[ $suite = trixie ]] || masked+=(systemd-logind.service dbus.service dbus.socket)
  less=(
    --dpkgopt="$here/small.dpkg"
    --customize-hook='mkdir -p "$1/etc/systemd/system"'
    --customize-hook="for unit in ${masked[*]}; do ln -sf /dev/null \"\$1/etc/systemd/system/\$unit\"; done"
    --customize-hook='rm -f "$1"/etc/systemd/system/getty.target.wants/getty@tty1.service'
    --customize-hook='rm -f "$1/usr/lib/udev/hwdb.bin" "$1/etc/udev/hwdb.bin"'
  )
fi

# systemd gives a device 90 s to turn up. On a host with other work for ten, the serial port of an
# emulated machine has taken longer, and there was no login prompt.
patience='[Manager]\nDefaultTimeoutStartSec=900\nDefaultDeviceTimeoutSec=900\n'

# INITRD=No: the kernel's postinst runs no dracut; flipslot makes the initramfs.
# The test logs in as root on the serial console, so root has no password here.
INITRD=No mmdebstrap --quiet --mode=root --variant=minbase \
  --include="$(IFS=,; echo "${packages[*]}${*:+,}$*")" \
  --dpkgopt='path-exclude=/usr/share/doc/*' \
  --dpkgopt='path-exclude=/usr/share/man/*' \
  --dpkgopt='path-exclude=/usr/share/locale/*' \
  "${less[@]}" "${of_init[@]}" \
  --essential-hook='mkdir -p "$1/etc/dracut.conf.d"' \
  --customize-hook='chroot "$1" passwd -d root >/dev/null' \
  --customize-hook='rm -f "$1"/boot/initrd.img-* "$1"/boot/initramfs-*; : > "$1/etc/machine-id"' \
  --customize-hook='mkdir -p "$1/etc/systemd/system.conf.d"' \
  --customize-hook="printf '$patience' > \"\$1/etc/systemd/system.conf.d/busy-host.conf\"" \
  --customize-hook='echo flipslot-vm > "$1/etc/hostname"' \
  --customize-hook="cp \"\$1\"/boot/vmlinuz-* '$layout/vmlinuz'" \
  "$suite" "$work/root.tar" >&2

umoci init --layout "$work/oci" >&2
umoci new --image "$work/oci:latest" >&2
umoci raw add-layer --image "$work/oci:latest" "$work/root.tar" >&2
umoci config --image "$work/oci:latest" --config.cmd /sbin/init \
  --config.label "org.opencontainers.image.title=debian-$suite" >&2
umoci gc --layout "$work/oci" >&2
mv "$work/oci" "$layout/oci"
touch "$layout/done"
echo "$layout/oci"
