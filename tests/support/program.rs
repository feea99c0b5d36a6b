//! The real program, run as a user runs it, and what it leaves behind.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How a run ended.
#[derive(Debug)]
pub struct Run {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

/// A command line of flipslot in `folder`, where relative paths are.
#[allow(clippy::disallowed_methods)] // tests start programs by themselves
pub fn command(folder: &Path, arguments: &[&str]) -> Command {
    // Who runs the tests in the background gives them SIGINT ignored, and they would pass it on.
    let mut command = Command::new("/usr/bin/env");
    command.args(["--default-signal", env!("CARGO_BIN_EXE_flipslot")]).args(arguments);
    command.current_dir(folder).stdin(Stdio::null());
    // Nobody's credentials but those that a test gives.
    command
        .env("HOME", folder)
        .env_remove("REGISTRY_AUTH_FILE")
        .env_remove("DOCKER_CONFIG")
        .env_remove("XDG_RUNTIME_DIR");
    command
}

/// Runs flipslot to its end.
pub fn flipslot(folder: &Path, arguments: &[&str]) -> Run {
    ended(&mut command(folder, arguments))
}

/// Runs a prepared command to its end.
pub fn ended(command: &mut Command) -> Run {
    let output = command.output().expect("the program can be started");
    Run {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// A user who owns nothing on this machine but a home, with a copy of the program: the build may lie where nobody else
/// may look.
pub struct Nobody<'f> {
    folder: &'f Path,
    pub home: PathBuf,
}

impl<'f> Nobody<'f> {
    /// Makes both in `folder`, which everyone may read.
    pub fn in_folder(folder: &'f Path) -> Nobody<'f> {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
        let home = folder.join("home");
        fs::create_dir(&home).unwrap();
        chown(&home, Some(NOBODY), Some(NOBODY)).unwrap();
        fs::copy(env!("CARGO_BIN_EXE_flipslot"), folder.join("flipslot")).unwrap();
        Nobody { folder, home }
    }

    /// Runs the program there.
    #[allow(clippy::disallowed_methods)] // tests start programs by themselves
    pub fn flipslot(&self, arguments: &[&str]) -> Run {
        let user = NOBODY.to_string();
        let mut command = Command::new("setpriv");
        command.args(["--reuid", &user, "--regid", &user, "--clear-groups"]).arg(self.folder.join("flipslot"));
        ended(command.args(arguments).current_dir(self.folder).env("HOME", &self.home).env("TMPDIR", &self.home))
    }
}

/// No user of this machine.
const NOBODY: u32 = 65534;

/// Writes a file that nobody else may read, as the programs do that keep credentials.
pub fn write_private(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
}

/// Runs another program, which must succeed; returns what it printed.
#[allow(clippy::disallowed_methods)] // tests start programs by themselves
pub fn tool(program: &str, arguments: &[&str]) -> String {
    let run = ended(Command::new(program).args(arguments));
    assert_eq!(run.code, 0, "{program} {arguments:?}: {}{}", run.stdout, run.stderr);
    run.stdout + &run.stderr
}

/// Unmounts a filesystem. A process that another test starts at this moment has our open files until it executes its
/// program, and keeps the filesystem busy for so long.
#[allow(clippy::disallowed_methods)] // tests start programs by themselves
pub fn unmount(place: &Path) {
    let begin = Instant::now();
    loop {
        let run = ended(Command::new("umount").arg(place));
        if run.code == 0 {
            return;
        }
        let is_busy = run.stderr.contains("busy") && begin.elapsed() < Duration::from_secs(60);
        assert!(is_busy, "umount {}: {}", place.display(), run.stderr);
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Fails unless the run ended with `code` and said every one of `texts` on stderr.
impl Run {
    pub fn must_end(&self, code: i32, texts: &[&str]) {
        assert_eq!(self.code, code, "{}", self.stderr);
        for text in texts {
            assert!(self.stderr.contains(text), "'{text}' is missing in:\n{}", self.stderr);
        }
    }
}

/// Fails unless `folder` holds exactly `names`, and no loop device and no mount is left of a run
/// in it. The kernel cleans up after a kill by itself, which takes it a moment.
pub fn assert_nothing_left(folder: &Path, names: &[&str]) {
    let begin = Instant::now();
    loop {
        let left = leftovers(folder, names);
        if left.is_empty() {
            return;
        }
        assert!(begin.elapsed() < Duration::from_secs(300), "left behind: {left:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn leftovers(folder: &Path, names: &[&str]) -> Vec<String> {
    let place = folder.to_string_lossy().into_owned();
    let loops = tool("losetup", &["--list", "--noheadings", "--output", "NAME,BACK-FILE"]);
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let mut left: Vec<String> = loops.lines().filter(|line| line.contains(&place)).map(ToOwned::to_owned).collect();
    left.extend(
        mounts.lines().filter(|line| line.contains(" /run/flipslot") || line.contains(&place)).map(ToOwned::to_owned),
    );
    let mut found: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    found.sort();
    let mut expected = names.to_vec();
    expected.sort_unstable();
    if found != expected {
        left.push(format!("files {found:?} instead of {expected:?}"));
    }
    left
}

/// Kills what it holds when a test ends, however it ends.
pub struct Guard(pub Child);

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
