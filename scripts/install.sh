#!/bin/bash
# Installs what building, testing and the demo need, on Debian or Ubuntu. Does nothing if it is
# all there. Needs root or sudo.
set -euo pipefail
packages=(
  # to build: the crates zstd and aws-lc compile C
  build-essential ca-certificates
  # to run flipslot
  e2fsprogs xfsprogs btrfs-progs util-linux mount grub-common grub-pc-bin grub-efi-amd64-bin
  # to make qcow2, vmdk and vhdx
  qemu-utils
  # to make test images, and to serve them
  mmdebstrap debian-archive-keyring umoci skopeo docker-registry apache2-utils openssl
  # to judge the disks: other programs than those that made them
  fdisk gdisk dosfstools mtools attr cpio zstd bc procps bmap-tools fuse2fs
  # to make the disks that are refused
  lvm2 cryptsetup-bin bcache-tools bsdutils
  # to make what the kernel can unpack, for the tests of what reads it
  bzip2 gzip lz4 xz-utils
  # to run the registry, the demo's server and the bench
  python3 bmap-tools
  # to boot them
  qemu-system-x86 ovmf
)
sudo=
[[ $(id -u) = 0 ]] || sudo=sudo
export DEBIAN_FRONTEND=noninteractive

missing=()
for package in "${packages[@]}"; do
  dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q ' installed$' || missing+=("$package")
done
if (( ${#missing[@]} )); then
  command -v apt-get >/dev/null || { echo "install these by your system's means: ${missing[*]}" >&2; exit 1; }
  $sudo apt-get update -q
  $sudo apt-get install -y -q --no-install-recommends "${missing[@]}"
fi

# Rust 1.89 or newer; distributions that are older have it in the package rustup, or not at all.
at_least() { printf '%s\n' "$1" "$2" | sort --version-sort --check=quiet; }
version=$(rustc --version 2>/dev/null | cut -d' ' -f2 || true)
if ! command -v cargo >/dev/null || ! at_least 1.89 "${version:-0}"; then
  $sudo apt-get install -y -q rustup 2>/dev/null && rustup default stable || {
    echo "install Rust 1.89 or newer: https://rustup.rs" >&2; exit 1; }
fi
