//! Which accelerator QEMU gets. `/dev/kvm` may open and still run no guest, so it is tried.

use crate::images;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

const KVM: &str = "kvm";
const TCG: &str = "tcg,thread=multi";
/// A guest under KVM prints its first line in less than a second.
const PATIENCE: Duration = Duration::from_secs(8);

/// The value of QEMU's `-accel`: KVM if a kernel comes out of its decompressor under it.
pub fn best() -> &'static str {
    static BEST: OnceLock<&str> = OnceLock::new();
    BEST.get_or_init(|| if kvm_boots() { KVM } else { TCG })
}

/// The value of QEMU's `-cpu`. Under TCG it is an early Atom with 64 bits: it has no instructions whose
/// translation takes long, and it speculates nothing, so Linux takes no measures against that
/// (`cpu_vuln_whitelist` in arch/x86/kernel/cpu/common.c). A boot takes 4 of 26 s less.
pub fn cpu() -> &'static str {
    if best() == KVM { "max" } else { "qemu64,vendor=GenuineIntel,family=6,model=28,stepping=2" }
}

#[allow(clippy::disallowed_methods)] // tests start programs by themselves
fn kvm_boots() -> bool {
    if !std::path::Path::new("/dev/kvm").exists() {
        return false;
    }
    let arguments =
        ["-accel", KVM, "-m", "512", "-display", "none", "-monitor", "none", "-serial", "stdio", "-no-reboot"];
    let started = Command::new("qemu-system-x86_64")
        .args(arguments)
        .args(["-append", "console=ttyS0 earlyprintk=ttyS0 panic=-1"])
        .arg("-kernel")
        .arg(images::kernel("bookworm"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let Ok(mut qemu) = started else { return false };
    let (sender, receiver) = channel();
    let output = qemu.stdout.take().expect("stdout was piped");
    thread::spawn(move || {
        let lines = BufReader::new(output).split(b'\n').map_while(Result::ok);
        let came_up = lines.into_iter().any(|line| String::from_utf8_lossy(&line).contains("Linux version"));
        let _ = sender.send(came_up);
    });
    let came_up = receiver.recv_timeout(PATIENCE).unwrap_or(false);
    let _ = qemu.kill();
    let _ = qemu.wait();
    came_up
}
