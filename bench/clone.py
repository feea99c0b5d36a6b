#!/usr/bin/env python3
"""One golden disk to four disks at once: against one disk, and against bmaptool four times in a row.

The golden disk has 8 GiB with 1.5 GiB allocated. The disks are loop devices over files in memory (/dev/shm;
BENCH_DIR names another place); the source is in memory, too. flipslot reads every copy back and gives it an
identity of its own, bmaptool does neither. There, two cores are what four disks wait for, whoever copies: dd
beside it, which writes as much to each disk at once and reads it back, tells how much of that is ours. Then
the same with each disk held to what a SATA SSD does (blkio.throttle, where the kernel has it).
Needs root, what `make deps` installs, and 8 GiB of free memory. RUNS=3 by default.
"""
import json, os, shutil, statistics, subprocess, tempfile, time
from pathlib import Path

TREE = Path(__file__).resolve().parent.parent
FLIPSLOT = Path(os.environ.get("FLIPSLOT", TREE / "target/flipslot"))
RUNS = int(os.environ.get("RUNS", "3"))
SUITE, DISKS = "bookworm", 4
SLOT_OFFSET, SLOT_SIZE = 66 << 20, 3 << 30
MIB = 1 << 20
ALLOCATED = 1536 * MIB
GROUP, SSD = Path("/sys/fs/cgroup/blkio/flipslot-bench"), 500_000_000


def run(*command, **more):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, **more).stdout.strip()


def allocated(file):
    return file.stat().st_blocks * 512


def golden(work):
    """The disk, with random bytes in its slot until it has what is wanted."""
    layout = run(TREE / "vm/images/build.sh", SUITE)
    disk, place = work / "golden.raw", work / "mnt"
    run(FLIPSLOT, "create", disk, "--size", "8GiB", "--slot-size", "3GiB", "--data", "--hardware", "qemu",
        "--slot", f"a=oci:{layout}:latest", "--progress", "none")
    place.mkdir()
    loop = run("losetup", "-f", "--show", "-o", str(SLOT_OFFSET), "--sizelimit", str(SLOT_SIZE), disk)
    try:
        run("mount", loop, place)
        with open(place / "srv/filler", "wb") as filler:
            for _ in range((ALLOCATED - allocated(disk)) // MIB):
                filler.write(os.urandom(MIB))
        run("umount", place)
    finally:
        run("losetup", "-d", loop)
    return disk


class Disks:
    """Loop devices over empty files."""

    def __init__(self, work, count):
        self.files = [work / f"disk-{number}" for number in range(count)]
        for file in self.files:
            file.unlink(missing_ok=True)
            with open(file, "wb") as empty:
                empty.truncate(8 << 30)
        self.devices = [run("losetup", "-f", "--show", file) for file in self.files]

    def __enter__(self):
        return self.devices

    def __exit__(self, *_):
        for device in self.devices:
            run("losetup", "-d", device)
        for file in self.files:
            file.unlink()


def timed(*command):
    begin = time.monotonic()
    printed = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    elapsed = time.monotonic() - begin
    if printed.returncode != 0:
        raise SystemExit(f"{command}: {printed.stderr}")
    return elapsed, printed


def ours(work, disk, count):
    with Disks(work, count) as devices:
        elapsed, printed = timed(FLIPSLOT, "clone", disk, *devices, "--json", "--progress", "json")
    result = json.loads(printed.stdout)
    assert all(one["outcome"] == "cloned" for one in result["disks"])
    steps = {}
    for line in map(json.loads, printed.stderr.splitlines()):
        if line.get("event") == "end":
            steps[line["step"]] = max(steps.get(line["step"], 0), line["seconds"])
    return elapsed, steps


def plain(work, disk, count):
    """dd: as much as is allocated, to every disk at once, and back."""
    size = ["bs=1M", f"count={ALLOCATED // MIB}", "status=none"]
    with Disks(work, count) as devices:
        begin = time.monotonic()
        for way in (lambda device: [f"if={disk}", f"of={device}", "skip=66", "oflag=direct"],
                    lambda device: [f"if={device}", "of=/dev/null", "iflag=direct"]):
            for one in [subprocess.Popen(["dd", *way(device), *size]) for device in devices]:
                assert one.wait() == 0
        return time.monotonic() - begin


def held(work, disk, count):
    """flipslot, each disk as fast as a SATA SSD."""
    with Disks(work, count) as devices:
        GROUP.mkdir()
        try:
            for device in devices:
                number = os.stat(device).st_rdev
                for way in ("read", "write"):
                    limit = f"{os.major(number)}:{os.minor(number)} {SSD}"
                    (GROUP / f"blkio.throttle.{way}_bps_device").write_text(limit)
            # The shell is in the group, and what it becomes.
            begin = time.monotonic()
            run("sh", "-c", 'echo $$ > "$0" && exec "$@"', GROUP / "tasks",
                FLIPSLOT, "clone", disk, *devices, "--progress", "none")
            return time.monotonic() - begin
        finally:
            GROUP.rmdir()


def theirs(work, disk, bmap):
    with Disks(work, DISKS) as devices:
        return sum(timed("bmaptool", "copy", "--bmap", bmap, disk, device)[0] for device in devices)


def main():
    work = Path(tempfile.mkdtemp(prefix="flipslot-bench-", dir=os.environ.get("BENCH_DIR", "/dev/shm")))
    try:
        measure(work)
    finally:
        shutil.rmtree(work)


def measure(work):
    disk, bmap = golden(work), work / "golden.bmap"
    run("bmaptool", "create", "-o", bmap, disk)
    print(f"a golden disk of 8 GiB with {allocated(disk) / MIB:.0f} MiB allocated; {RUNS} runs in turn, "
          f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}", flush=True)
    one, four, row, dd, ssd = [], [], [], [], []
    for _ in range(RUNS):
        one.append(ours(work, disk, 1))
        four.append(ours(work, disk, DISKS))
        row.append(theirs(work, disk, bmap))
        dd.append((plain(work, disk, 1), plain(work, disk, DISKS)))
        print(f"  one {one[-1][0]:.1f} s, four {four[-1][0]:.1f} s, bmaptool {row[-1]:.1f} s, dd {dd[-1][0]:.1f} and "
              f"{dd[-1][1]:.1f} s (load {os.getloadavg()[0]:.1f})", flush=True)
        if GROUP.parent.is_dir():
            ssd.append((held(work, disk, 1), held(work, disk, DISKS)))
            print(f"  held to {SSD // 1000000} MB/s: one {ssd[-1][0]:.1f} s, four {ssd[-1][1]:.1f} s", flush=True)
    show("flipslot clone, one disk", one)
    show(f"flipslot clone, {DISKS} disks at once", four)
    print(f"  {statistics.median(row):7.2f} s  bmaptool copy, {DISKS} times in a row (nothing zeroed, nothing read back)")
    print(f"  {statistics.median(b[0] / a[0] for a, b in zip(one, four)):7.2f} times as long as one")
    print(f"  {statistics.median(b / a for a, b in dd):7.2f} times as long as one takes dd")
    print(f"  {statistics.median(b / a[0] for a, b in zip(four, row)):7.2f} times less than bmaptool")
    if ssd:
        print(f"  {statistics.median(b / a for a, b in ssd):7.2f} times as long as one, each disk held to {SSD // 1000000} MB/s")


def show(title, runs):
    steps = ", ".join(f"{step} {statistics.median(run[1][step] for run in runs):.1f}" for step in runs[0][1])
    print(f"  {statistics.median(run[0] for run in runs):7.2f} s  {title} ({steps})")


if __name__ == "__main__":
    main()
