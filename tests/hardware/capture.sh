#!/bin/bash
# Makes a fixture of the machine on which it runs: prints what `flipslot hardware` reads of its
# sysfs, one entry a line, with paths below /sys. What hangs on ACPI's namespace, loop devices and
# the like are left out, because no disk and no card is there.
#   d PATH          a directory that is looked for
#   l PATH TARGET   a link
#   f PATH TEXT     a file, of which this is the first line
cd /sys || exit 1
shopt -s nullglob
link() { if [[ -L $1 ]]; then printf 'l %s %s\n' "$1" "$(readlink "$1")"; fi; }
file() { if [[ -f $1 ]]; then printf 'f %s %s\n' "$1" "$(head -n 1 "$1" 2>/dev/null | tr -d '\0')"; fi; }
real() { realpath --relative-to=/sys "$1"; }

for entry in class/block/* class/net/* class/watchdog/* fs/btrfs/*/devices/*; do
  [[ $entry = */loop* ]] || link "$entry"
done
find devices -name modalias | grep -vE '^devices/(LNX|pnp|system|virtual|platform/(i8042|pcspkr))' | sort |
  while read -r modalias; do
    device=${modalias%/modalias}
    file "$modalias"
    link "$device/driver"
    [[ -L $device/driver/module ]] && link "$(real "$device/driver")/module"
  done | sort -u
for entry in class/block/*; do
  [[ $entry = */loop* ]] && continue
  block=$(real "$entry")
  for name in dev size partition serial queue/logical_block_size queue/physical_block_size; do
    file "$block/$name"
  done
  for name in device "$block"/slaves/*; do link "$block/${name#"$block"/}"; done
  [[ -e $block/dev ]] && link "dev/block/$(< "$block/dev")"
  [[ -L $block/device ]] && for name in model serial; do file "$(real "$block/device")/$name"; done
done
for subsystem in devices/virtual/nvme-subsystem/*; do
  for controller in "$subsystem"/nvme*; do link "$controller"; done
done
for card in class/net/*; do link "$(real "$card")/device"; done
for watchdog in class/watchdog/*; do file "$(real "$watchdog")/identity"; done
file class/tty/console/active
if [[ -e class/dmi/id ]]; then
  link class/dmi/id
  file devices/virtual/dmi/id/sys_vendor
  file devices/virtual/dmi/id/product_name
fi
file firmware/devicetree/base/model
file kernel/kexec_loaded
if [[ -d firmware/efi ]]; then echo d firmware/efi; fi
