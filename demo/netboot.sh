#!/bin/bash
# The demo of machines without a disk: flipslot writes a folder and serves it in a network namespace, and QEMU boots from
# there. Something is broken in the machine; a restart makes it whole. Needs root; `make
# demo-netboot` installs and builds what it needs.
set -euo pipefail
cd "$(dirname "$0")/.."
work=$PWD/demo/work/netboot
flipslot=target/flipslot
namespace=flipslot-demo
mac=52:54:00:12:34:56
rm -rf "$work" && mkdir -p "$work"
leave() {
  { ip netns pids "$namespace" 2>/dev/null || true; } | xargs -r kill 2>/dev/null || true
  ip netns delete "$namespace" 2>/dev/null || true
}
trap leave EXIT
say() { printf '\n== %s\n' "$*"; }

say "An image: Debian 12, with kernel and systemd"
echo "this takes a few minutes the first time, while packages are fetched; then the image is cached"
layout=$(vm/images/build.sh bookworm)

say "flipslot netboot: the image and a host, as a folder of static files"
command=("$flipslot" netboot "$work/served" --url http://10.77.0.1 --image "debian=oci:$layout:latest"
  --host "rack1=debian,mac=$mac" --console=ttyS0)
echo "${command[*]}"
"${command[@]}"

say "A network of its own"
leave
ip netns add "$namespace"
inside() { ip netns exec "$namespace" "$@"; }
inside ip link set lo up
inside ip link add br0 type bridge
inside ip address add 10.77.0.1/24 dev br0
inside ip link set br0 up
inside ip tuntap add tap0 mode tap
inside ip link set tap0 master br0 up
inside ethtool -K br0 tx off > /dev/null # a bridge hands on packets whose checksums a card would have filled in
say "flipslot serve: addresses, boot loaders and files, with a line for what each machine gets"
inside "$flipslot" serve "$work/served" --interface br0 > "$work/serve.log" 2>&1 &

inside demo/netboot.py "$mac" "$work/serial.log"
cat "$work/serve.log"
say "Done: $work/served is the folder, and $work/serial.log everything the serial port said."
