#!/bin/bash
# Installs what building, testing and the demo need, on Debian or Ubuntu. Does nothing if it is
# all there. Needs root or sudo. Without a network: docs/install.md.
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
  fdisk gdisk dosfstools mtools acl attr cpio zstd bc procps bmap-tools fuse2fs
  # to make the disks that are refused
  lvm2 cryptsetup-bin bcache-tools bsdutils
  # to make what the kernel can unpack, for the tests of what reads it
  bzip2 gzip lz4 xz-utils
  # to run the registry, the demo's server and the bench
  python3 bmap-tools
  # to judge the images of a second stage, and to make one for kernels without EROFS
  erofs-utils squashfs-tools squashfs-tools-ng
  # to boot machines from a network of their own, and to judge what is handed to its servers
  dnsmasq-base ipxe pxelinux syslinux-common iproute2 ethtool
  # to boot them
  qemu-system-x86 ovmf
)
sudo=
[[ $(id -u) = 0 ]] || sudo=sudo
export DEBIAN_FRONTEND=noninteractive
# Where rustup puts cargo; the Makefile looks there, too.
export PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"

missing=()
for package in "${packages[@]}"; do
  dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q ' installed$' || missing+=("$package")
done
if (( ${#missing[@]} )); then
  command -v apt-get >/dev/null || { echo "install these by your system's means: ${missing[*]}" >&2; exit 1; }
  $sudo apt-get update -q
  $sudo apt-get install -y -q --no-install-recommends "${missing[@]}"
fi

# Rust: what the system has, else its package rustup, else Rust's official installer.
needed=1.89
has_rust() {
  local version
  version=$(rustc --version 2>/dev/null | cut -d' ' -f2) && command -v cargo >/dev/null &&
    printf '%s\n' "$needed" "$version" | sort --version-sort --check=quiet
}
without_rust() {
  echo "$1: install Rust $needed or newer, with rustfmt and clippy, by other means (docs/install.md)" >&2
  exit 1
}
has_rust && exit 0

command -v apt-get >/dev/null || without_rust "there is no cargo $needed, and no apt-get"
if ! command -v rustup >/dev/null; then
  (( ${#missing[@]} )) || $sudo apt-get update -q
  if LC_ALL=C apt-cache policy rustup 2>/dev/null | grep -q 'Candidate: [0-9]'; then
    $sudo apt-get install -y -q --no-install-recommends rustup
  fi
fi
if command -v rustup >/dev/null; then
  rustup toolchain install stable --profile minimal --component rustfmt,clippy && rustup default stable ||
    without_rust "rustup cannot install Rust's stable release"
else
  echo "This system has neither cargo $needed nor a package rustup (Debian 12 has not):"
  echo "running Rust's official installer, https://sh.rustup.rs, which installs into ${CARGO_HOME:-~/.cargo}"
  command -v curl >/dev/null || $sudo apt-get install -y -q --no-install-recommends curl
  installer=$(mktemp)
  trap 'rm -f "$installer"' EXIT
  curl --proto '=https' --tlsv1.2 --silent --show-error --fail --retry 3 --output "$installer" https://sh.rustup.rs ||
    without_rust "https://sh.rustup.rs cannot be fetched"
  # An old cargo of the system does not stop it: ours comes first in PATH.
  RUSTUP_INIT_SKIP_PATH_CHECK=yes sh "$installer" -y --profile minimal --default-toolchain stable \
    --component rustfmt,clippy || without_rust "Rust's official installer failed"
fi
hash -r
has_rust || without_rust "the cargo that was installed is older than $needed, or is not in PATH"
