//! Fetches a configuration, and runs it.

use crate::boot::configured::FOLDER;
use crate::boot::run_source::Source;
use crate::error::{Result, failed};
use crate::oci::registry::file;
use crate::output::print::say_line;
use crate::tool::{Tool, is_installed};
use crate::words::digest::Digest;
use crate::words::units::Bytes;
use anyhow::Context;
use std::fs::{self, File, Permissions};
use std::io::{self, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Time for the network and the server: a machine that comes up with others after a power cut waits for them.
const PATIENCE: Duration = Duration::from_secs(600);
/// First pause before it is fetched again; each is twice as long, up to a minute.
const PAUSE: Duration = Duration::from_secs(2);
/// Largest file in bytes: programs and playbooks are a thousand times smaller.
const LARGEST: u64 = 64 << 20;
/// Time for what is run: a playbook may take an hour, and one that waits for a unit which starts after this one would wait
/// for ever.
const LONGEST: Duration = Duration::from_secs(3 * 3600);
/// Time for one try.
const ONE_TRY: Duration = Duration::from_secs(30);

/// Fetches the configuration, again and again if that fails; returns the path of its file.
pub fn fetch(source: &Source) -> Result<PathBuf> {
    let (begin, mut pause) = (Instant::now(), PAUSE);
    loop {
        match fetch_once(source) {
            Ok(ended) => return ended,
            Err(error) if begin.elapsed() + pause > PATIENCE => return Err(error),
            Err(error) => say_line(&format!("{error:#}; again in {} s", pause.as_secs()))?,
        }
        sleep(pause);
        pause = (pause * 2).min(Duration::from_secs(60));
    }
}

/// Tries once. An error inside of the result would be the same in a minute.
fn fetch_once(source: &Source) -> Result<Result<PathBuf>> {
    let folder = Path::new(FOLDER).join("run");
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("removing {}", folder.display()))?;
    }
    fs::create_dir_all(&folder)
        .and_then(|()| fs::set_permissions(&folder, Permissions::from_mode(0o700)))
        .with_context(|| format!("making {}", folder.display()))?;
    match source {
        Source::File { url, digest } => {
            let path = folder.join(source.name());
            let (stream, length) = file::open(url, ONE_TRY).with_context(|| format!("fetching {url}"))?;
            if length > LARGEST {
                let found = format!("{url} has {}, and at most {} are taken", Bytes(length), Bytes(LARGEST));
                return Ok(Err(failed(found, "fetch what is larger from within the program")));
            }
            let mut out = File::create_new(&path).with_context(|| format!("making {}", path.display()))?;
            io::copy(&mut stream.take(length), &mut out).with_context(|| format!("fetching {url}"))?;
            let found = Digest::of_stream(File::open(&path).with_context(|| format!("reading {}", path.display()))?)?;
            if found != *digest {
                let hint = "if you changed the file, name its new digest: sha256sum FILE, on the server";
                // A proxy may answer with a page of its own for a while.
                return Err(failed(format!("{url} has the digest {found}, and {digest} was asked for"), hint));
            }
            Ok(executable(path))
        }
        Source::Git { repository, commit, file } => {
            if !is_installed("git") {
                return Ok(Err(failed("git is not installed", "the image needs the package git")));
            }
            let git = |words: &[&str]| {
                // Nobody answers a question.
                let tool = Tool::new("git").arg("-C").arg(&folder).args(words).variable("GIT_TERMINAL_PROMPT", "0");
                let tool = tool.deadline(PATIENCE);
                tool.run().map(drop)
            };
            git(&["init", "--quiet"])?;
            git(&["fetch", "--quiet", "--depth=1", repository, commit])?;
            // A commit's digits are its digest: what came has them.
            git(&["checkout", "--quiet", commit])?;
            let path = folder.join(file);
            if !path.is_file() {
                let hint = "name a file of that commit: git ls-tree -r COMMIT";
                return Ok(Err(failed(format!("{repository} has no {file} in {commit}"), hint)));
            }
            Ok(executable(path))
        }
    }
}

/// Lets root execute a file; returns its path.
fn executable(path: PathBuf) -> Result<PathBuf> {
    let set = fs::set_permissions(&path, Permissions::from_mode(0o700));
    set.with_context(|| format!("making {} a program", path.display()))?;
    Ok(path)
}

/// Runs what was fetched, in its folder, with the output of this program. Returns its exit code; `None` if a signal has
/// ended it.
pub fn execute(source: &Source, path: &Path) -> Result<Option<i32>> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    let tool = if source.is_playbook() {
        let tool = Tool::new("ansible-playbook").args(["--connection=local", "--inventory=localhost,"]);
        tool.arg(path).hint("the image needs the package ansible-core")
    } else {
        Tool::new(path).hint("it needs a first line like #!/bin/sh, and /var a mount without noexec")
    };
    tool.deadline(LONGEST).run_shown(folder)
}
