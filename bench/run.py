#!/usr/bin/env python3
"""flipslot against what people do by hand (by-hand.sh), on the same image, slot and registry.

Runs both in turn and prints medians and the ratio, phase by phase. Needs root and what
`make deps` installs. RUNS=3 by default; SUITES, HARDWARE, INITRAMFS choose less.
"""
import json, os, shutil, statistics, subprocess, sys, tempfile, time
from pathlib import Path

HERE = Path(__file__).resolve().parent
TREE = HERE.parent
FLIPSLOT = TREE / "target/flipslot"
RUNS = int(os.environ.get("RUNS", "3"))
SUITES = os.environ.get("SUITES", "bookworm trixie").split()
HARDWARE = os.environ.get("HARDWARE", "generic qemu").split()
INITRAMFS = os.environ.get("INITRAMFS", "dracut flipslot").split()
SLOT_OFFSET, SLOT_SIZE = 66 << 20, 3 << 30
MIB = 1 << 20


def by_hand(reference, disk):
    """Seconds by step, as by-hand.sh prints them."""
    disk.unlink(missing_ok=True)
    with open(disk, "wb") as file:
        file.truncate(SLOT_OFFSET + SLOT_SIZE)
    command = [HERE / "by-hand.sh", reference, disk, str(SLOT_OFFSET), str(SLOT_SIZE)]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return {step: float(seconds) for step, seconds in (line.split() for line in printed.splitlines())}


def flipslot(reference, disk, hardware, initramfs):
    """Seconds by phase, and the peak memory of the program and the largest of its children."""
    command = [FLIPSLOT, "create", disk, "--no-cache", "--size", "4GiB", "--slots", "1", "--slot-size", "3GiB", "--yes",
               "--slot", f"a={reference}", "--hardware", hardware, "--initramfs", initramfs, "--allow", "reachable", "--progress", "none", "--json"]
    begin = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    printed = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    total = time.monotonic() - begin
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        sys.exit(f"flipslot failed with {process.returncode}")
    phases = {phase["step"]: phase["seconds"] for phase in json.loads(printed)["phases"]}
    phases["total"] = total
    return phases, usage.ru_maxrss * 1024


def median(runs):
    return {step: statistics.median(run[step] for run in runs) for step in runs[0]}


def show(title, phases):
    print(f"  {title}")
    for step, seconds in phases.items():
        print(f"    {seconds:7.2f} s  {step}")


def main():
    work = Path(tempfile.mkdtemp(prefix="flipslot-bench-", dir=os.environ.get("BENCH_DIR")))
    registry = subprocess.Popen([TREE / "scripts/registry.sh", work / "registry"])
    try:
        while not (work / "registry/address").exists():
            time.sleep(0.1)
        address = (work / "registry/address").read_text().strip()
        for suite in SUITES:
            bench(suite, address, work)
    finally:
        registry.kill()
        shutil.rmtree(work)


def bench(suite, address, work):
    layout = subprocess.run([TREE / "vm/images/build.sh", suite], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
    reference = f"docker://{address}/os/{suite}:latest"
    subprocess.run(["skopeo", "copy", "-q", "--dest-tls-verify=false", f"oci:{layout}:latest", reference], check=True)
    kinds = [(hardware, initramfs) for initramfs in INITRAMFS for hardware in HARDWARE]
    hand, ours, peak = [], {kind: [] for kind in kinds}, 0
    for _ in range(RUNS):
        hand.append(by_hand(reference, work / "hand.raw"))
        for kind in kinds:
            phases, memory = flipslot(reference, work / "flipslot.raw", *kind)
            ours[kind].append(phases)
            peak = max(peak, memory)
    stored = sum(file.stat().st_size for file in Path(layout).glob("blobs/sha256/*"))
    print(f"\n{suite}: {stored / MIB:.0f} MiB in the registry; medians of {RUNS} runs in turn")
    show("by hand", median(hand))
    for hardware, initramfs in kinds:
        runs = ours[hardware, initramfs]
        show(f"flipslot create --hardware {hardware} --initramfs {initramfs}", median(runs))
        ratios = [h["total"] / o["total"] for h, o in zip(hand, runs)]
        print(f"    {statistics.median(ratios):7.1f} times faster than by hand "
              f"(of each pair: {', '.join(f'{ratio:.1f}' for ratio in ratios)})")
    print(f"  peak memory of flipslot and of each program that it runs: {peak / MIB:.0f} MiB", flush=True)


if __name__ == "__main__":
    main()
