#!/usr/bin/env python3
"""Boots a machine without a disk from the network, breaks something in it, and restarts it. Run by netboot.sh."""
import sys, time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "scripts"))
from guest import Guest


def say(text):
    print(f"\n== {text}", flush=True)


def show(guest, command):
    print(f"# {command}\n{guest.run(command)}", flush=True)


def boot(guest, what):
    begin = time.monotonic()
    guest.wait_for("flipslot: eth0 has the address")
    print(f"{time.monotonic() - begin:.0f} s: the initramfs has an address", flush=True)
    guest.log_in("Debian GNU/Linux 12 rack1")
    print(f"{time.monotonic() - begin:.0f} s: {what}", flush=True)


mac, log = sys.argv[1:]
say("QEMU, with 512 MiB of memory and no disk, boots from the network")
card = ["-netdev", "tap,id=network,ifname=tap0,script=no,downscript=no",
        "-device", f"virtio-net-pci,netdev=network,mac={mac},bootindex=0"]
guest = Guest(None, log, memory="512", more=card)
boot(guest, "logged in")
show(guest, "flipslot status")
say("Something is broken in it")
show(guest, "rm -r /usr/share /etc/passwd; ls -d /usr/share /etc/passwd")
say("A restart")
guest.type("systemctl reboot -f")
boot(guest, "logged in again")
show(guest, "ls -d /usr/share /etc/passwd")
show(guest, "grep -E 'MemTotal|MemAvailable' /proc/meminfo")
guest.qemu.kill()
