#!/bin/bash
# The demo: two Debian images go to a registry on this machine, flipslot makes a disk of them, and
# QEMU boots both slots. Needs root; `make demo` installs and builds what it needs.
set -euo pipefail
cd "$(dirname "$0")/.."
work=demo/work
flipslot=target/release/flipslot
rm -rf "$work" && mkdir -p "$work"
processes=()
trap 'for process in "${processes[@]}"; do kill "$process" 2>/dev/null || true; done' EXIT
say() { printf '\n== %s\n' "$*"; }

say "Two images: Debian 12 and Debian 13, with kernel, systemd and dracut"
layouts=()
for suite in bookworm trixie; do
  layouts+=("$(vm/images/build.sh "$suite")")
  echo "$suite: ${layouts[-1]}"
done

say "A registry on this machine"
scripts/registry.sh "$work/registry" & processes+=($!)
until [[ -e $work/registry/address ]]; do sleep 0.1; done
address=$(cat "$work/registry/address")
skopeo copy -q --dest-tls-verify=false "oci:${layouts[0]}:latest" "docker://$address/os/debian:12"
skopeo copy -q --dest-tls-verify=false "oci:${layouts[1]}:latest" "docker://$address/os/debian:13"
echo "docker://$address/os/debian:12 and :13"

say "flipslot create: both images into the slots of one disk"
command=("$flipslot" create "$work/golden.raw" --size 8GiB --hardware qemu
  --slot "a=docker://$address/os/debian:12" --slot "b=docker://$address/os/debian:13")
echo "${command[*]}"
"${command[@]}"

# boot SLOT OS: boots the disk, types the slot's letter into GRUB's menu, waits for the login.
boot() {
  local slot=$1 os=$2 log=$work/slot-$1.log keys=$work/keys qemu
  rm -f "$keys" && mkfifo "$keys"
  qemu-system-x86_64 -accel tcg,thread=multi -cpu max -m 1024 -nic none -display none -monitor none \
    -no-reboot -drive "file=$work/golden.raw,format=raw,if=virtio,snapshot=on" -serial stdio < "$keys" > "$log" &
  qemu=$!; processes+=("$qemu")
  exec 3> "$keys"
  for _ in $(seq 1800); do
    sleep 0.1
    if [[ -e $keys ]] && grep -aq 'GNU GRUB' "$log"; then printf '%s' "$slot" >&3; rm "$keys"; fi
    grep -aq 'login:' "$log" && break
  done
  kill "$qemu"; wait "$qemu" 2>/dev/null || true
  exec 3>&-
  grep -aq "$os" "$log" && grep -aq 'login:' "$log" || { echo "slot $slot did not come up: see $log" >&2; exit 1; }
  grep -a -A2 "^$os" "$log" | tr -d '\r'
  echo
}

say "Slot a (about 45 s without KVM)"
boot a "Debian GNU/Linux 12"
say "Slot b"
boot b "Debian GNU/Linux 13"
say "Done: $work/golden.raw boots both. The logs of the serial port are beside it."
