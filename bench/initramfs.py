#!/usr/bin/env python3
"""The initramfs for one machine, by dracut and by flipslot, against dracut's default one: size, seconds to make it,
seconds to boot. And that of two stages.

The machine is a QEMU guest, whose inventory is taken in it. Both are made of the same Debian 12 image
on this machine, and both boot the same slot with the same kernel. Needs root and what `make deps`
installs. RUNS=3 by default.
"""
import json, os, shutil, statistics, subprocess, sys, tempfile, time
from contextlib import contextmanager
from pathlib import Path

TREE = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TREE / "scripts"))
from guest import Guest

FLIPSLOT = TREE / "target/flipslot"
RUNS = int(os.environ.get("RUNS", "3"))
SUITE, SYSTEM = "bookworm", "Debian GNU/Linux 12"
SLOT_OFFSET, SLOT_SIZE = 66 << 20, 3 << 30
MIB = 1 << 20
PHASE = "making the initramfs"
MAKERS = ["dracut", "flipslot", "two-stage"]
# QEMU 7.2 without KVM keeps a translation of each page of a program for each address at which it ran. With random
# addresses there are thousands, and clearing such a page once it is free takes a second: which boots meet that is chance.
BOOTED = ["--kargs", "norandmaps"]


def create(disk, layout, *more):
    """Makes a disk with one slot; what flipslot says of it, as JSON."""
    command = [FLIPSLOT, "create", disk, "--size", "4GiB", "--slots", "1", "--slot-size", "3GiB", "--yes",
               "--slot", f"a=oci:{layout}:latest", "--allow", "reachable", "--progress", "none", "--json", *more]
    printed = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return json.loads(printed)


def seconds(result, step=PHASE):
    return next(phase["seconds"] for phase in result["phases"] if phase["step"] == step)


@contextmanager
def slot(disk, place, options):
    """The slot of a disk, mounted."""
    loop = subprocess.run(["losetup", "-f", "--show", "-o", str(SLOT_OFFSET), "--sizelimit", str(SLOT_SIZE), disk],
                          check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
    try:
        subprocess.run(["mount", "-o", options, loop, place], check=True)
        try:
            yield place
        finally:
            subprocess.run(["umount", "-R", place], check=True)
    finally:
        subprocess.run(["losetup", "-d", loop], check=True)


def ours(disk, layout, hardware, place, maker):
    """Seconds that its initramfs took, and its bytes: those that a boot loader loads."""
    result = create(disk, layout, "--hardware", hardware, "--initramfs", maker)
    with slot(disk, place, "ro,noload") as root:
        size = (root / f"boot/initramfs-{result['slots'][0]['kernel']}.img").stat().st_size
    return seconds(result), size


def default(disk, kernel, place, kept):
    """The same of dracut's own, which is kept; and the command line."""
    command = ["dracut", "--force", "--no-hostonly", f"/boot/initrd.img-{kernel}", kernel]
    with slot(disk, place, "rw") as root:
        for name in ["dev", "proc", "sys"]:
            subprocess.run(["mount", "--bind", f"/{name}", root / name], check=True)
        begin = time.monotonic()
        subprocess.run(["chroot", root, *command], check=True, capture_output=True)
        elapsed = time.monotonic() - begin
        made = root / f"boot/initrd.img-{kernel}"
        size = made.stat().st_size
        kept.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(made, kept)
        made.unlink()
    return elapsed, size, " ".join(command)


def with_initramfs(layout, work, tree):
    """The image with one more layer, which holds `tree`: a layout of its own."""
    shutil.copytree(layout, work / "own")
    subprocess.run(["tar", "-C", tree, "-cf", work / "layer.tar", "boot"], check=True)
    subprocess.run(["umoci", "raw", "add-layer", "--image", f"{work}/own:latest", work / "layer.tar"],
                   check=True, capture_output=True)
    return work / "own"


def inventory(disk, work):
    """What a guest that boots from `disk` needs to boot."""
    guest = Guest(disk, work / "serial.log", more=["-snapshot"])
    try:
        guest.log_in(SYSTEM)
        text = guest.run("flipslot hardware")
    finally:
        guest.kill()
    json.loads(text)
    file = work / "guest.json"
    file.write_text(text)
    return file


def boot(disk, work):
    """Seconds from QEMU's start, and from the kernel's first line, to the login prompt."""
    begin = time.monotonic()
    guest = Guest(disk, work / "serial.log", more=["-snapshot"])
    try:
        guest.wait_for("Linux version")
        kernel = time.monotonic()
        guest.wait_for(f"{SYSTEM} ")
        guest.wait_for("login:")
        login = time.monotonic()
    finally:
        guest.kill()
    return login - begin, login - kernel


def main():
    work = Path(tempfile.mkdtemp(prefix="flipslot-bench-", dir=os.environ.get("BENCH_DIR")))
    try:
        measure(work)
    finally:
        shutil.rmtree(work)


def measure(work):
    built = subprocess.run([TREE / "vm/images/build.sh", SUITE], check=True, stdout=subprocess.PIPE, text=True)
    layout, disk, place = Path(built.stdout.strip()), work / "small.raw", work / "mnt"
    place.mkdir()
    kernel = create(disk, layout, "--hardware", "generic", "--console", "ttyS0")["slots"][0]["kernel"]
    hardware = inventory(disk, work)
    made, large = {maker: [] for maker in MAKERS}, []
    for _ in range(RUNS):
        for maker in MAKERS:
            made[maker].append(ours(disk, layout, hardware, place, maker))
        create(disk, layout, "--hardware", hardware)
        *default_made, command = default(disk, kernel, place, work / f"tree/boot/initrd.img-{kernel}")
        large.append(default_made)
    print(f"\nthe initramfs for one machine (a QEMU guest with virtio), {SUITE}; medians of {RUNS} runs in turn")
    show_made(f"{command}, in the same slot", large)
    for maker in MAKERS:
        show_made(f"flipslot create --hardware FILE --initramfs {maker}: this step, compression included", made[maker])
        print(f"    {statistics.median(m[1] / l[1] for m, l in zip(made[maker], large)) * 100:7.1f} % of its size, "
              f"{statistics.median(l[0] / m[0] for m, l in zip(made[maker], large)):.1f} times faster")
    for kind in ["qemu", "generic"]:
        seconds_of, size = ours(disk, layout, kind, place, "flipslot")
        print(f"  --hardware {kind} --initramfs flipslot: {seconds_of:.2f} s, {size / MIB:.1f} MiB, "
              f"{size / large[-1][1] * 100:.1f} % of dracut's default")
    show_this(work, layout)

    disks = {"default": work / "default.raw"} | {maker: work / f"{maker}.raw" for maker in MAKERS}
    own = create(disks["default"], with_initramfs(layout, work, work / "tree"), "--hardware", hardware, "--initramfs", "image",
                 *BOOTED)
    assert own["slots"][0]["initramfs_by"] == "image"
    for maker in MAKERS:
        create(disks[maker], layout, "--hardware", hardware, "--initramfs", maker, *BOOTED)
    runs = [{name: boot(path, work) for name, path in disks.items()} for _ in range(RUNS)]
    print("  to the login prompt, without KVM, from QEMU's start (from the kernel's first line)")
    for name in disks:
        start, first = (statistics.median(run[name][index] for run in runs) for index in (0, 1))
        print(f"    {start:7.2f} s  ({first:.2f} s)  {name}")
    for one, other in [("dracut", "default"), ("flipslot", "dracut"), ("flipslot", "default"),
                       ("two-stage", "default"), ("two-stage", "dracut")]:
        ratios = [run[one][1] / run[other][1] for run in runs]
        print(f"    {statistics.median(ratios):7.2f}  {one} / {other}, from the kernel's first line "
              f"(of each pair: {', '.join(f'{ratio:.2f}' for ratio in ratios)})", flush=True)


def show_made(title, runs):
    elapsed, size = (statistics.median(column) for column in zip(*runs))
    print(f"  {title}\n    {elapsed:7.2f} s\n    {size / MIB:7.1f} MiB")


def show_this(work, layout):
    """The same for the machine that this runs on, where its inventory can be taken."""
    taken = subprocess.run([FLIPSLOT, "hardware"], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    if taken.returncode != 0:
        print(f"  --hardware this does not work here: {taken.stderr.strip()}")
        return
    show_made("flipslot create --hardware this, on this machine", [ours(work / "this.raw", layout, "this", work / "mnt", "flipslot")])
    (work / "this.raw").unlink()


if __name__ == "__main__":
    main()
