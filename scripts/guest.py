"""A QEMU guest that is driven over its serial port, for the demo and the bench."""
import os, re, subprocess, threading, time
from pathlib import Path


class Guest:
    """Boots a raw disk, or without one what `more` says; `log` keeps all that the serial port says."""

    def __init__(self, disk, log, memory="1024", more=()):
        # Without erms the kernel clears memory by eight bytes instead of one, which is much less work to emulate.
        command = ["qemu-system-x86_64", "-machine", "q35", "-accel", "tcg,thread=multi", "-cpu", "max,-erms,-fsrm", "-m", memory,
                   "-display", "none", "-monitor", "none", "-serial", "stdio", *more]
        if disk is not None:
            command += ["-nic", "user,model=virtio-net-pci", "-drive", f"file={disk},format=raw,if=virtio"]
        self.qemu = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.log = Path(log)
        self.text = ""
        self.seen = 0
        threading.Thread(target=self._record, daemon=True).start()

    def _record(self):
        with open(self.log, "wb") as log:
            while chunk := os.read(self.qemu.stdout.fileno(), 4096):
                log.write(chunk)
                log.flush()
                self.text += chunk.decode("ascii", "replace").replace("\r", "")

    def wait_for(self, text, patience=300):
        """Waits until the serial port says `text`, after what was waited for before."""
        begin = time.monotonic()
        while (at := self.text.find(text, self.seen)) < 0:
            if self.qemu.poll() is not None or time.monotonic() - begin > patience:
                raise SystemExit(f"the guest did not say '{text}': see {self.log}")
            time.sleep(0.02)
        self.seen = at + len(text)

    def type(self, line):
        self.qemu.stdin.write(f"{line}\n".encode())
        self.qemu.stdin.flush()

    def log_in(self, system):
        """Waits for the login prompt of `system`, logs in as root without a password, silences the kernel."""
        self.wait_for(f"{system} ")
        self.wait_for("login:")
        self.type("root")
        self.wait_for(":~#")
        self.run("dmesg --console-level emerg; systemctl is-system-running --wait")

    def run(self, command, patience=300):
        """What a command prints."""
        self.type(f"echo beg''in; {command}; echo en''d $?")
        self.wait_for("begin\n", patience)
        start = self.seen
        self.wait_for("end ", patience)
        text = self.text[start:self.seen - len("end ")]
        text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text)
        # The kernel's lines, and those that journald forwards to the console in the same form.
        return re.sub(r"\[ *\d+\.\d{6}\] [^\n]*(\n|$)", "", text).strip()

    def until(self, command, text):
        """Runs a command until it prints `text`; returns all that it printed then."""
        for _ in range(100):
            if text in (printed := self.run(command)):
                return printed
            time.sleep(1)
        raise SystemExit(f"`{command}` never printed '{text}': see {self.log}")

    def kill(self):
        self.qemu.kill()
        self.qemu.wait()
