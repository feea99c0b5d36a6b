#!/usr/bin/env python3
"""The boot time of a slot as its initramfs grows by files that nobody reads: in one stage and in two.

One stage is what dracut makes by default, with these files in it; two stages have them in the second. Prints seconds from
the kernel's first line to the login prompt, and draws them. Needs root and what `make deps` installs. RUNS=1 by default.

  two_stage.py [PICTURE.svg]
"""
import os, shutil, statistics, subprocess, sys, tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from initramfs import BOOTED, SUITE, TREE, boot, create, default, with_initramfs

RUNS = int(os.environ.get("RUNS", "1"))
SIZES = [0, 50, 100, 200]
MIB = 1 << 20


def with_ballast(layout, work, megabytes):
    """The image with a file of random bytes, which dracut is told to install."""
    tree = work / f"ballast-{megabytes}"
    (tree / "etc/dracut.conf.d").mkdir(parents=True)
    (tree / "opt").mkdir()
    (tree / "opt/ballast").write_bytes(os.urandom(megabytes * MIB))
    (tree / "etc/dracut.conf.d/ballast.conf").write_text('install_items+=" /opt/ballast "\n')
    image = work / f"image-{megabytes}"
    shutil.copytree(layout, image)
    subprocess.run(["tar", "-C", tree, "-cf", work / "ballast.tar", "etc", "opt"], check=True)
    subprocess.run(["umoci", "raw", "add-layer", "--image", f"{image}:latest", work / "ballast.tar"], check=True, capture_output=True)
    shutil.rmtree(tree)
    return image


def one_stage(image, work, kernel):
    """A disk whose slot boots with what dracut makes by default."""
    disk, place = work / "one.raw", work / "mnt"
    create(disk, image, "--hardware", "qemu")
    default(disk, kernel, place, work / f"tree/boot/initrd.img-{kernel}")
    shutil.rmtree(work / "own", ignore_errors=True)
    create(disk, with_initramfs(image, work, work / "tree"), "--hardware", "qemu", "--initramfs", "image", *BOOTED)
    return disk


def draw(path, lines):
    """A picture with one line for each kind: megabytes to the right, seconds up."""
    width, height, most = 480, 300, max(seconds for points in lines.values() for _, seconds in points)
    at = lambda size, seconds: (60 + size / SIZES[-1] * 380, 250 - seconds / most * 210)
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">',
             f'<rect width="{width}" height="{height}" fill="white"/>', '<path d="M60 40V250H440" fill="none" stroke="black"/>',
             '<text x="250" y="285" text-anchor="middle">MB of files that nobody reads</text>',
             '<text x="60" y="25" text-anchor="middle">seconds to the login</text>']
    parts += [f'<text x="{at(size, 0)[0]}" y="266" text-anchor="middle">{size}</text>' for size in SIZES]
    for (name, points), colour in zip(lines.items(), ["#c00", "#06c"]):
        drawn = " ".join(f"{x:.0f},{y:.0f}" for x, y in (at(*point) for point in points))
        x, y = at(*points[-1])
        parts.append(f'<polyline points="{drawn}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts.append(f'<text x="{x - 8:.0f}" y="{y - 8:.0f}" text-anchor="end" fill="{colour}">{name} ({points[-1][1]:.0f} s)</text>')
    Path(path).write_text("\n".join([*parts, "</svg>"]) + "\n")


def main():
    work = Path(tempfile.mkdtemp(prefix="flipslot-bench-", dir=os.environ.get("BENCH_DIR")))
    (work / "mnt").mkdir()
    lines = {"one stage": [], "two stages": []}
    try:
        built = subprocess.run([TREE / "vm/images/build.sh", SUITE], check=True, stdout=subprocess.PIPE, text=True)
        for size in SIZES:
            image = with_ballast(Path(built.stdout.strip()), work, size)
            two = work / "two.raw"
            kernel = create(two, image, "--hardware", "qemu", "--initramfs", "two-stage", *BOOTED)["slots"][0]["kernel"]
            one = one_stage(image, work, kernel)
            runs = [(boot(one, work)[1], boot(two, work)[1]) for _ in range(RUNS)]
            for name, column in zip(lines, zip(*runs)):
                lines[name].append((size, statistics.median(column)))
            print(f"  {size:3} MB: one stage {lines['one stage'][-1][1]:.1f} s, two stages {lines['two stages'][-1][1]:.1f} s", flush=True)
            shutil.rmtree(image)
        if len(sys.argv) > 1:
            draw(sys.argv[1], lines)
    finally:
        shutil.rmtree(work)


if __name__ == "__main__":
    main()
