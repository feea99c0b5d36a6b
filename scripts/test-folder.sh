#!/bin/bash
# Prints the folder for what the program tests write: /dev/shm if memory has room for it, else /tmp.
#
# With three tests at a time at most 4 GiB were in use at once. 12 GiB leave as much again, and what the
# programs need that the tests start.
set -euo pipefail
needed=$((12 << 20)) # KiB

free=$(df --output=avail /dev/shm 2> /dev/null | tail -n 1 || echo 0)
available=$(sed -n 's/^MemAvailable: *\([0-9]*\) kB$/\1/p' /proc/meminfo)
if ((${free:-0} >= needed && ${available:-0} >= needed)); then echo /dev/shm; else echo /tmp; fi
