#!/bin/bash
# Asks kmod for each device of a profile or an inventory: which modules of an unpacked image drive it?
#   hardware/resolve.sh INVENTORY ROOT...
# ROOT is a root filesystem with kmod in it. Where its kernel's aliases do not know the device, the
# name of the module, which the inventory tells, is looked for: among what is built in (which has no
# aliases before Linux 6.18), then among the modules. Needs root.
set -euo pipefail
inventory=$1
shift
status=0
for root in "$@"; do
  version=$(ls "$root/lib/modules")
  modules=$root/lib/modules/$version
  echo "== $version"
  while IFS=$'\t' read -r path modalias module; do
    found=$(chroot "$root" /sbin/modprobe -S "$version" -R "$modalias" 2> /dev/null | sort -u | tr '\n' ' ') || true
    if [[ ! $found ]]; then
      if grep -q "/$module\.ko$" <(tr - _ < "$modules/modules.builtin"); then
        found="built in: $module"
      elif grep -q "^[^:]*/$module\.ko[^:]*:" <(tr - _ < "$modules/modules.dep"); then
        found="by name alone: $module"
      else
        status=1
      fi
    fi
    printf '%-34s %-62s %s\n' "$path" "$modalias" "${found:-NONE}"
  done < <(python3 -c 'import json, sys
for device in json.load(open(sys.argv[1]))["devices"]:
    print(device["path"], device["modalias"], device.get("module", "-"), sep="\t")' "$inventory")
done
exit $status
