#!/usr/bin/env python3
"""Seconds from `flipslot switch` to the login prompt, against `reboot` through firmware and GRUB.

Both in the same guest, in turn, between two slots that hold the same image. QEMU's firmware takes a
second or two where a server's takes minutes, so the difference here is the least there is. Needs
root and what `make deps` installs. RUNS=3 by default.
"""
import json, os, shutil, statistics, subprocess, sys, tempfile, time
from pathlib import Path

TREE = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TREE / "scripts"))
from guest import Guest

RUNS = int(os.environ.get("RUNS", "3"))
SUITE, SYSTEM = "trixie", "Debian GNU/Linux 13"


def timed(guest, command):
    """Types a command that ends the system; seconds until the next login prompt, and to the kernel."""
    guest.type(command)
    begin = time.monotonic()
    guest.wait_for("Linux version")
    kernel = time.monotonic() - begin
    guest.wait_for(f"{SYSTEM} ")
    guest.wait_for("login:")
    login = time.monotonic() - begin
    guest.type("root")
    guest.wait_for(":~#")
    guest.run("dmesg --console-level emerg; systemctl is-system-running --wait")
    return kernel, login


def main():
    work = Path(tempfile.mkdtemp(prefix="flipslot-bench-", dir=os.environ.get("BENCH_DIR")))
    try:
        layout = subprocess.run([TREE / "vm/images/build.sh", SUITE], check=True, stdout=subprocess.PIPE, text=True)
        reference = f"oci:{layout.stdout.strip()}:latest"
        disk = work / "disk.raw"
        subprocess.run([TREE / "target/flipslot", "create", disk, "--size", "4GiB", "--hardware", "qemu", "--progress", "none",
                        "--allow", "reachable", "--slot", f"a={reference}", "--slot", f"b={reference}"], check=True, stdout=subprocess.DEVNULL)
        guest = Guest(disk, work / "serial.log")
        try:
            measure(guest)
        finally:
            guest.kill()
    finally:
        shutil.rmtree(work)


def measure(guest):
    guest.log_in(SYSTEM)
    jumps, reboots = [], []
    for run in range(RUNS):
        slot = "ba"[run % 2]
        jumps.append(timed(guest, f"flipslot switch --slot {slot} --by kexec"))
        guest.until("flipslot status", "is confirmed")
        reboots.append(timed(guest, "reboot"))
        guest.until("flipslot status", f"boots slot {slot}, which is proven")
    print(f"\nswitch against reboot, Debian 13, in one guest without KVM; medians of {RUNS} runs in turn")
    for title, runs in [("flipslot switch, by kexec", jumps), ("reboot, by firmware and GRUB", reboots)]:
        kernel, login = (statistics.median(column) for column in zip(*runs))
        print(f"  {title}\n    {kernel:7.2f} s  to the kernel's first line\n    {login:7.2f} s  to the login prompt")
    ratios = [reboot[1] / jump[1] for jump, reboot in zip(jumps, reboots)]
    print(f"    {statistics.median(ratios):7.2f} times faster to the login (of each pair: "
          f"{', '.join(f'{ratio:.2f}' for ratio in ratios)})")
    status = json.loads(guest.run("flipslot status --json"))
    print(f"  the ledger says: {status['last_switch']['downtime_seconds']:.1f} s by kexec, "
          f"{status['last_firmware_boot']['downtime_seconds']:.1f} s through the firmware (from stop to healthy)", flush=True)


if __name__ == "__main__":
    main()
