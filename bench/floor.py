#!/usr/bin/env python3
"""Pulling and writing an image, against what this machine can do at all with the same bytes.

The floor is the larger of two times: decompressing the layers into memory, and `tar -x` of the uncompressed layers into a
new filesystem of the same kind. Prints the ratio of each pair, and their median, for gzip and zstd, one layer and twelve.
Needs root and what `make deps` installs. RUNS=3 by default.
"""
import gzip, hashlib, io, json, os, shutil, statistics, subprocess, sys, tarfile, tempfile, time
from pathlib import Path

TREE = Path(__file__).resolve().parent.parent
FLIPSLOT = TREE / "target/flipslot"
RUNS = int(os.environ.get("RUNS", "3"))


def run(*command, **more):
    return subprocess.run([str(word) for word in command], check=True, **more)


def seconds(work):
    begin = time.monotonic()
    work()
    return time.monotonic() - begin


def split(tar, parts, folder):
    """The entries of an archive in `parts` archives of about the same size, in their order."""
    whole = tarfile.open(tar)
    entries = list(whole)
    room = sum(entry.size + 512 for entry in entries) / parts
    paths, out, filled = [], None, room
    for entry in entries:
        if filled >= room and len(paths) < parts:
            if out:
                out.close()
            paths.append(folder / f"{parts}-{len(paths)}.tar")
            out, filled = tarfile.open(paths[-1], "w", format=tarfile.PAX_FORMAT), 0
        out.addfile(entry, whole.extractfile(entry) if entry.isreg() else None)
        filled += entry.size + 512
    out.close()
    return paths


def layout(folder, tars, packing):
    """An OCI layout of these layers; returns it with the paths of its packed layers."""
    blobs = folder / "blobs/sha256"
    blobs.mkdir(parents=True)

    def blob(data, media_type):
        digest = hashlib.sha256(data).hexdigest()
        (blobs / digest).write_bytes(data)
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(data)}

    diff_ids, layers, packed = [], [], []
    for tar in tars:
        diff_ids.append("sha256:" + hashlib.sha256(tar.read_bytes()).hexdigest())
        command = ["gzip", "-6", "-n", "-c"] if packing == "gzip" else ["zstd", "-3", "-q", "-c"]
        data = run(*command, tar, stdout=subprocess.PIPE).stdout
        layers.append(blob(data, f"application/vnd.oci.image.layer.v1.tar+{packing}"))
        packed.append(blobs / layers[-1]["digest"][7:])
    config = {"architecture": "amd64", "os": "linux", "config": {}, "rootfs": {"type": "layers", "diff_ids": diff_ids}}
    manifest = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "config": blob(json.dumps(config).encode(), "application/vnd.oci.image.config.v1+json"), "layers": layers}
    entry = blob(json.dumps(manifest).encode(), manifest["mediaType"])
    entry["annotations"] = {"org.opencontainers.image.ref.name": "1"}
    (folder / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [entry]}))
    (folder / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
    return packed


def decompress(packed, packing):
    """Into memory: each core does what it can, as for flipslot."""
    tool = ["gzip", "-dc"] if packing == "gzip" else ["zstd", "-dcq"]
    for path in packed:
        run(*tool, path, stdout=subprocess.DEVNULL)


def extract(tars, work):
    disk, place = work / "floor.raw", work / "place"
    disk.unlink(missing_ok=True)
    with open(disk, "wb") as file:
        file.truncate(3 << 30)
    run("mke2fs", "-q", "-F", "-t", "ext4", "-m", "0", "-E", "lazy_itable_init=1,nodiscard", disk)
    place.mkdir(exist_ok=True)
    run("mount", "-o", "loop,noinit_itable,noatime", disk, place)
    try:
        return seconds(lambda: [run("tar", "-x", "--numeric-owner", "--xattrs", "-p", "-f", tar, "-C", place) for tar in tars])
    finally:
        run("umount", place)


def ours(reference, work):
    disk = work / "flipslot.raw"
    command = [FLIPSLOT, "create", disk, "--no-cache", "--size", "4GiB", "--slots", "1", "--slot-size", "3GiB", "--yes",
               "--slot", f"a={reference}", "--hardware", "qemu", "--allow", "reachable", "--progress", "none", "--json"]
    phases = json.loads(run(*command, stdout=subprocess.PIPE, text=True).stdout)["phases"]
    return next(phase["seconds"] for phase in phases if phase["step"] == "writing layers")


def main():
    work = Path(tempfile.mkdtemp(prefix="flipslot-floor-", dir=os.environ.get("BENCH_DIR")))
    registry = subprocess.Popen([TREE / "scripts/registry.sh", work / "registry"])
    try:
        while not (work / "registry/address").exists():
            time.sleep(0.1)
        address = (work / "registry/address").read_text().strip()
        debian = Path(run(TREE / "vm/images/build.sh", "bookworm", stdout=subprocess.PIPE, text=True).stdout.strip())
        index = json.loads((debian / "index.json").read_text())
        read = lambda descriptor: (debian / "blobs/sha256" / descriptor["digest"][7:]).read_bytes()
        manifest = json.loads(read(index["manifests"][0]))
        tar = work / "whole.tar"
        tar.write_bytes(b"".join(gzip.decompress(read(layer)) for layer in manifest["layers"][:1]))
        for count in (1, 12):
            tars = [tar] if count == 1 else split(tar, count, work)
            for packing in ("gzip", "zstd"):
                measure(work, address, tars, packing)
    finally:
        registry.kill()
        shutil.rmtree(work)


def measure(work, address, tars, packing):
    name = f"{packing}-{len(tars)}"
    packed = layout(work / name, tars, packing)
    reference = f"docker://{address}/{name}:1"
    run("skopeo", "copy", "-q", "--preserve-digests", "--dest-tls-verify=false", f"oci:{work / name}:1", reference)
    ratios = []
    for _ in range(RUNS):
        floor = (seconds(lambda: decompress(packed, packing)), extract(tars, work))
        mine = ours(reference, work)
        ratios.append(mine / max(floor))
        print(f"  {packing}, {len(tars):2} layers: decompressing {floor[0]:.2f} s, tar -x {floor[1]:.2f} s, "
              f"flipslot {mine:.2f} s = {ratios[-1]:.2f} times the floor", flush=True)
    print(f"{packing}, {len(tars)} layers: {statistics.median(ratios):.2f} times the floor (median of {RUNS} pairs)", flush=True)


if __name__ == "__main__":
    main()
