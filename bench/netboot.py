#!/usr/bin/env python3
"""A machine without a disk: flipslot's own init against dracut's livenet, with the same squashfs over the same network.

Both boot a whole Debian 13 in 512 MiB of memory, in turn. Prints, for each: bytes of the initramfs, seconds from the start
of its init until the root is ready and until the login prompt, CPU seconds of QEMU until then, and MiB of memory used and
available. Needs root and what `make deps` installs. RUNS=3 by default.
"""
import os, re, statistics, subprocess, sys, tempfile, threading, time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "scripts"))
from guest import Guest

TREE = Path(__file__).resolve().parent.parent
RUNS = int(os.environ.get("RUNS", "3"))
MAC = "52:54:00:12:34:56"
# Packages of an image that dracut makes a live initramfs of.
LIVE = ["dracut-live", "dracut-network", "curl", "dmsetup"]
NET = ["-netdev", "user,id=network", "-device", f"virtio-net-pci,netdev=network,mac={MAC}"]


def run(*command, **more):
    return subprocess.run(list(map(str, command)), check=True, text=True, stdout=subprocess.PIPE, **more).stdout


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def serve(folder):
    """Serves a folder for guests; returns the port."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_address[1]


def livenet(root, work):
    """An initramfs by the image's own dracut for any hardware, as its manual has it (dracut.cmdline(7), root=live:)."""
    lower, upper, merged = (work / name for name in ("lower", "upper", "merged"))
    for folder in (lower, upper, merged):
        folder.mkdir()
    run("mount", "-o", "loop,ro", root, lower)
    run("mount", "-t", "tmpfs", "tmpfs", upper)
    for name in ("files", "work"):
        (upper / name).mkdir()
    run("mount", "-t", "overlay", "overlay", "-o", f"lowerdir={lower},upperdir={upper}/files,workdir={upper}/work", merged)
    try:
        for name in ("dev", "proc", "sys"):
            run("mount", "--rbind", f"/{name}", merged / name)
        kernel = next((merged / "lib/modules").iterdir()).name
        run("chroot", merged, "dracut", "--force", "--no-hostonly", "--zstd", "--add", "dmsquash-live livenet", "/tmp/initrd",
            kernel, stderr=subprocess.DEVNULL)
        initrd = work / "livenet"
        initrd.write_bytes((merged / "tmp/initrd").read_bytes())
        return initrd
    finally:
        run("umount", "-R", "-l", merged)
        run("umount", upper)
        run("umount", lower)


def boot(kernel, initrd, words, ready, work):
    """Boots; returns seconds from init to the root and to the login, CPU seconds, and memory used and available."""
    more = [*NET, "-kernel", str(kernel), "-initrd", str(initrd), "-append", words]
    guest = Guest(None, work / "serial.log", memory="512", more=more)
    try:
        guest.wait_for("Run /init as init process")
        begin = time.monotonic()
        guest.wait_for(ready)
        root = time.monotonic() - begin
        guest.wait_for("login:")
        login = time.monotonic() - begin
        times = Path(f"/proc/{guest.qemu.pid}/stat").read_text().rsplit(")", 1)[1].split()
        cpu = (int(times[11]) + int(times[12])) / os.sysconf("SC_CLK_TCK")
        guest.type("root")
        guest.wait_for(":~#")
        guest.run("dmesg --console-level emerg; systemctl is-system-running --wait")
        memory = dict(re.findall(r"^(\w+):\s+(\d+) kB$", guest.run("cat /proc/meminfo"), re.M))
        total, available = (int(memory[name]) // 1024 for name in ("MemTotal", "MemAvailable"))
        return root, login, cpu, total - available, available
    finally:
        guest.qemu.kill()
        guest.qemu.wait()


def main():
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        served = work / "served"
        served.mkdir()
        port = serve(served)
        layout = run(TREE / "vm/images/build.sh", "trixie", *LIVE).strip()
        run(TREE / "target/flipslot", "netboot", served, "--url", f"http://10.0.2.2:{port}", "--image", f"os=oci:{layout}:latest",
            "--host", f"rack1=os,mac={MAC}", "--console=ttyS0", "--kargs=norandmaps", "--progress=none")
        image = next((served / "images").iterdir())
        root = image / "root.squashfs"
        script = (served / "hosts/rack1/boot.ipxe").read_text()
        words = re.search(r"^kernel \S+ (.*)$", script, re.M)[1].replace("BOOTIF=01-${netX/mac:hexhyp}", "")
        by_dracut = livenet(root, work)
        live = (f"root=live:http://10.0.2.2:{port}/images/{image.name}/root.squashfs rd.live.image rd.live.overlay.overlayfs=1 "
                "ip=dhcp rd.neednet=1 console=ttyS0,115200 norandmaps panic=30")
        print(f"root {root.stat().st_size / 1e6:.0f} MB; initramfs: flipslot {(image / 'initrd').stat().st_size / 1e6:.1f} MB, "
              f"livenet {by_dracut.stat().st_size / 1e6:.1f} MB", flush=True)
        kinds = {
            "flipslot": (image / "initrd", words, "root.squashfs in"),
            "livenet": (by_dracut, live, "Switch Root"),
        }
        results = {name: [] for name in kinds}
        for _ in range(RUNS):
            for name, (initrd, words, ready) in kinds.items():
                results[name].append(boot(image / "vmlinuz", initrd, words, ready, work))
                root_ready, login, cpu, used, available = results[name][-1]
                print(f"{name}: root {root_ready:.1f} s, login {login:.1f} s, CPU {cpu:.1f} s, "
                      f"used {used} MiB, available {available} MiB", flush=True)
        for index, what in enumerate(["root ready", "login", "CPU"]):
            ratios = [own[index] / other[index] for own, other in zip(results["flipslot"], results["livenet"])]
            print(f"flipslot / livenet, {what}: {statistics.median(ratios):.2f} (median of {RUNS} pairs)")


main()
