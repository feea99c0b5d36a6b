#!/usr/bin/env python3
"""The second half of the demo: a running server flashes its other slot, jumps into it, and goes back."""
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "scripts"))
from guest import Guest

DISK, PORT, LOG = sys.argv[1:]
REFERENCE = f"docker://10.0.2.2:{PORT}/os/debian:13"


def say(title, seconds):
    print(f"\n== {title}\nthis takes about {seconds} s without KVM", flush=True)


def show(command, printed):
    print(f"# {command}\n{printed}", flush=True)


guest = Guest(DISK, LOG)
try:
    say("A server boots slot a", 60)
    guest.log_in("Debian GNU/Linux 12")
    guest.run("i=$(ls /sys/class/net | grep -v lo); ip link set $i up; ip addr add 10.0.2.15/24 dev $i")
    show("flipslot status", guest.run("flipslot status"))

    say("It pulls Debian 13 from the registry into its slot b", 90)
    command = f"flipslot flash {REFERENCE} --slot b --plain-http 10.0.2.2:{PORT}"
    show(command, guest.run(f"{command} --progress none"))

    say("It jumps there, without the firmware", 60)
    print("# flipslot switch --slot b", flush=True)
    guest.type("flipslot switch --slot b")
    guest.wait_for("Linux version")
    guest.log_in("Debian GNU/Linux 13")
    show("flipslot status", guest.until("flipslot status", "is confirmed"))

    say("And back", 60)
    print("# flipslot rollback", flush=True)
    guest.type("flipslot rollback")
    guest.wait_for("Linux version")
    guest.log_in("Debian GNU/Linux 12")
    show("flipslot status", guest.until("flipslot status", "is confirmed"))
finally:
    guest.kill()
