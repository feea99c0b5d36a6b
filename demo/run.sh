#!/bin/bash
# The demo: two Debian images go to a registry on this machine, flipslot makes a disk of one, QEMU
# boots it, and that server flashes the other, jumps into it, and goes back. Needs root; `make demo`
# installs and builds what it needs. The times that it announces are those of two cores without KVM.
set -euo pipefail
cd "$(dirname "$0")/.."
work=demo/work
flipslot=target/flipslot
rm -rf "$work" && mkdir -p "$work"
processes=()
trap 'for process in "${processes[@]}"; do kill "$process" 2>/dev/null || true; done' EXIT
say() { printf '\n== %s\n' "$*"; }

say "Two images: Debian 12 and Debian 13, with kernel, systemd and dracut"
echo "this takes a few minutes the first time, while packages are fetched; then the images are cached"
layouts=()
for suite in bookworm trixie; do
  layouts+=("$(vm/images/build.sh "$suite")")
  echo "$suite: ${layouts[-1]}"
done

say "A registry on this machine"
echo "this takes about 10 s"
scripts/registry.sh "$work/registry" & processes+=($!)
until [[ -e $work/registry/address ]]; do sleep 0.1; done
address=$(cat "$work/registry/address")
skopeo copy -q --dest-tls-verify=false "oci:${layouts[0]}:latest" "docker://$address/os/debian:12"
skopeo copy -q --dest-tls-verify=false "oci:${layouts[1]}:latest" "docker://$address/os/debian:13"
echo "docker://$address/os/debian:12 and :13"

say "flipslot create: Debian 12 into slot a of a new disk; slot b stays empty"
echo "this takes about 10 s"
command=("$flipslot" create "$work/golden.raw" --size 8GiB --hardware qemu --slot "a=docker://$address/os/debian:12")
echo "${command[*]}"
"${command[@]}"

demo/switch.py "$work/golden.raw" "${address##*:}" "$work/serial.log"
say "Done: $work/golden.raw holds both, and $work/serial.log everything the serial port said."
