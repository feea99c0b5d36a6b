#!/bin/bash
# Makes a tree with the skopeo of Debian 13 and prints its path: Debian 12 has signing with sigstore keys switched off. The
# tree is cached as the images are (vm/images/build.sh). Needs root and mmdebstrap.
set -euo pipefail
recipe=(--variant=apt --include=skopeo trixie)
cache=${FLIPSLOT_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/flipslot}/images
tree=$cache/skopeo-$(sha256sum <<< "${recipe[*]}" | cut -c1-16)
mkdir -p "$cache"
exec 9>"$tree.lock"
flock 9
if [[ ! -e $tree/done ]]; then
  rm -rf "$tree" && mkdir -p "$tree"
  mmdebstrap --quiet "${recipe[@]}" "$tree" >&2
  touch "$tree/done"
fi
echo "$tree"
