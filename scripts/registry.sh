#!/bin/bash
# Runs Debian's docker-registry on a free port of this machine until it is killed.
#
#   registry.sh DIRECTORY [HTPASSWD]   keeps its data there; writes host:port to DIRECTORY/address. With lines of
#                                      htpasswd(1), it lets in only those who have one of these passwords.
set -euo pipefail
directory=$1
mkdir -p "$directory"
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
cat > "$directory/config.yml" <<CONFIG
version: 0.1
storage: {filesystem: {rootdirectory: $directory/data}}
http: {addr: "127.0.0.1:$port"}
log: {level: error, accesslog: {disabled: true}}
CONFIG
if [[ -n ${2:-} ]]; then
  printf '%s\n' "$2" > "$directory/htpasswd"
  echo "auth: {htpasswd: {realm: registry, path: $directory/htpasswd}}" >> "$directory/config.yml"
fi
( for _ in $(seq 100); do
    (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && break
    sleep 0.1
  done
  echo "127.0.0.1:$port" > "$directory/address.new" && mv "$directory/address.new" "$directory/address" ) &
exec docker-registry serve "$directory/config.yml" > "$directory/log" 2>&1
