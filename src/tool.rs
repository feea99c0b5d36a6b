//! External programs: the one place that starts them and reports their failures.

use crate::error::{Result, failed, refused};
use crate::sys::process::die_with_us;
use anyhow::Context;
use rustix::process::{Pid, Signal, kill_process_group};
use std::ffi::{OsStr, OsString};
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// The deadline of a program that sets none of its own.
const DEADLINE: Duration = Duration::from_secs(30 * 60);
/// Time for the last output of a program that has ended. A process that it left behind may hold its output open
/// for as long as it likes: nobody waits for that one.
const GRACE: Duration = Duration::from_millis(500);
/// Interval at which a program is looked at whose output is not read.
const EVERY: Duration = Duration::from_millis(200);
/// The part of each output stream that is kept, in bytes: its end.
const TAIL: usize = 8 * 1024;

/// A program to run, with its arguments.
pub struct Tool {
    program: OsString,
    arguments: Vec<OsString>,
    environment: Option<Vec<(String, String)>>,
    added: Vec<(&'static str, String)>,
    deadline: Duration,
    hint: String,
    kept: usize,
}

/// The output of a program that succeeded: the end of each stream, 8 KiB unless [`Tool::keeping`] says
/// otherwise.
#[derive(Debug)]
pub struct Printed {
    /// End of standard output.
    pub stdout: String,
    /// End of standard error.
    pub stderr: String,
}

impl Tool {
    /// Returns a run of the program of this name, found in `PATH`, without arguments yet.
    pub fn new(program: impl AsRef<OsStr>) -> Tool {
        Tool {
            program: program.as_ref().to_owned(),
            arguments: Vec::new(),
            environment: None,
            added: Vec::new(),
            deadline: DEADLINE,
            hint: String::new(),
            kept: TAIL,
        }
    }

    /// Adds one argument to the command line.
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Tool {
        self.arguments.push(argument.as_ref().to_owned());
        self
    }

    /// Adds several arguments to the command line.
    pub fn args<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(mut self, arguments: I) -> Tool {
        self.arguments.extend(arguments.into_iter().map(|argument| argument.as_ref().to_owned()));
        self
    }

    /// Gives the program this environment and nothing of this process's own.
    pub fn only_environment(mut self, pairs: &[(&str, &str)]) -> Tool {
        self.environment = Some(pairs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect());
        self
    }

    /// Adds a variable to the program's environment.
    pub fn variable(mut self, name: &'static str, value: impl Into<String>) -> Tool {
        self.added.push((name, value.into()));
        self
    }

    /// Sets the time after which the program is killed, with everything that it started.
    pub fn deadline(mut self, deadline: Duration) -> Tool {
        self.deadline = deadline;
        self
    }

    /// Keeps this many bytes from the end of each output stream, where more than usual is printed.
    pub fn keeping(mut self, bytes: usize) -> Tool {
        self.kept = bytes;
        self
    }

    /// Sets the hint for the user if the program is missing or fails.
    pub fn hint(mut self, hint: impl Into<String>) -> Tool {
        self.hint = hint.into();
        self
    }

    /// Runs the program to its end. Anything but exit code 0 is an error that shows the complete command
    /// line, the exit code or signal, and the end of the output.
    pub fn run(&self) -> Result<Printed> {
        self.run_for(&[0]).map(|(_, printed)| printed)
    }

    /// Like [`Tool::run`], but for a program with exit codes that have a meaning: returns any of `codes`
    /// instead of failing.
    pub fn run_for(&self, codes: &[i32]) -> Result<(i32, Printed)> {
        self.run_to_end(Stdio::null()).and_then(|ended| self.judge(ended, codes))
    }

    /// Like [`Tool::run`], with `input` as standard input, of which this process keeps no copy.
    pub fn run_with_input(&self, input: OwnedFd) -> Result<Printed> {
        let ended = self.run_to_end(input.into())?;
        self.judge(ended, &[0]).map(|(_, printed)| printed)
    }

    fn judge(&self, (status, printed): (Option<ExitStatus>, Printed), codes: &[i32]) -> Result<(i32, Printed)> {
        match status.and_then(|status| status.code()).filter(|code| codes.contains(code)) {
            Some(code) => Ok((code, printed)),
            None => Err(failed(format!("`{self}` {}{}", self.how_it_ended(status), said(&printed)), self.hint.clone())),
        }
    }

    /// Runs the program in a folder; what it says goes where this process's own words go. Returns its exit code; `None` if it
    /// was ended by a signal. Its process group is killed at the deadline, which is an error.
    pub fn run_shown(&self, folder: &Path) -> Result<Option<i32>> {
        #[allow(clippy::disallowed_methods)] // the one place
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).current_dir(folder).stdin(Stdio::null()).process_group(0);
        let starting = |error| failed(format!("starting `{self}`: {error}"), self.hint.clone());
        let mut child = command.spawn().map_err(starting)?;
        let begin = Instant::now();
        loop {
            if let Some(status) = child.try_wait().with_context(|| format!("waiting for `{self}`"))? {
                return Ok(status.code());
            }
            if begin.elapsed() > self.deadline {
                let _ = kill_process_group(Pid::from_child(&child), Signal::KILL);
                let _ = child.wait();
                let found = format!("`{self}` did not end within {} min, and was ended", self.deadline.as_secs() / 60);
                return Err(failed(found, "see what it waits for"));
            }
            thread::sleep(EVERY);
        }
    }

    /// Starts the program, which goes on beside this one. Its standard input is a pipe that is closed when this process
    /// ends, however it does; what it says on standard error can be read.
    pub fn start(&self) -> Result<Child> {
        #[allow(clippy::disallowed_methods)] // the one place
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        command.process_group(0); // a Ctrl-C is for this program
        command.spawn().map_err(|error| failed(format!("starting `{self}`: {error}"), self.hint.clone()))
    }

    /// Replaces this process by the program (execve(2)); returns only if that fails.
    pub fn become_it(&self) -> anyhow::Error {
        #[allow(clippy::disallowed_methods)] // the one place
        let error = Command::new(&self.program).args(&self.arguments).exec();
        failed(format!("starting `{self}`: {error}"), self.hint.clone())
    }

    fn run_to_end(&self, input: Stdio) -> Result<(Option<ExitStatus>, Printed)> {
        #[allow(clippy::disallowed_methods)] // the one place
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).stdin(input).stdout(Stdio::piped()).stderr(Stdio::piped());
        if let Some(environment) = &self.environment {
            command.env_clear().envs(environment.iter().map(|(key, value)| (key, value)));
        }
        command.envs(self.added.iter().map(|(name, value)| (name, value)));
        die_with_us(&mut command);
        let mut child =
            command.spawn().map_err(|error| failed(format!("starting `{self}`: {error}"), self.hint.clone()))?;
        drop(command); // and with it the descriptor of the input
        let streams = [Tail::of(child.stdout.take(), self.kept), Tail::of(child.stderr.take(), self.kept)];
        let status = wait(&mut child, self.deadline).with_context(|| format!("waiting for `{self}`"))?;
        // One grace for both.
        let end = Instant::now() + GRACE;
        let [stdout, stderr] = streams.map(|tail| tail.by(end));
        Ok((status, Printed { stdout, stderr }))
    }

    fn how_it_ended(&self, status: Option<ExitStatus>) -> String {
        match status {
            None => format!("was killed: it had not ended after {} s", self.deadline.as_secs()),
            Some(status) => match (status.code(), status.signal()) {
                (Some(code), _) => format!("ended with exit code {code}"),
                (None, Some(signal)) => format!("was ended by signal {signal}"),
                (None, None) => "ended in an unknown way".to_owned(),
            },
        }
    }
}

/// Prints the command line as it could be typed.
impl std::fmt::Display for Tool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.program.to_string_lossy())?;
        for argument in &self.arguments {
            let argument = argument.to_string_lossy();
            let plain = |c: char| c.is_ascii_alphanumeric() || "-_=+,./:@%^".contains(c);
            if !argument.is_empty() && argument.chars().all(plain) {
                write!(f, " {argument}")?;
            } else {
                write!(f, " '{}'", argument.replace('\'', r"'\''"))?;
            }
        }
        Ok(())
    }
}

/// Refuses to begin without these programs; each is given with the package that contains it.
pub fn refuse_missing(programs: &[(&str, &str)]) -> Result<()> {
    match programs.iter().find(|(program, _)| !is_installed(program)) {
        None => Ok(()),
        Some((program, package)) => {
            Err(refused(format!("{program} is not installed"), format!("apt-get install {package}")))
        }
    }
}

/// Returns true if a program of this name is found in `PATH`.
pub fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// Formats what a program printed for an error message: the end of stderr, or of stdout if that is empty.
fn said(printed: &Printed) -> String {
    let text = [&printed.stderr, &printed.stdout].map(|text| text.trim()).into_iter().find(|text| !text.is_empty());
    match text {
        None => "; it printed nothing".to_owned(),
        Some(text) => {
            let lines: Vec<&str> = text.lines().collect();
            let last = &lines[lines.len().saturating_sub(20)..];
            let plain = |c: char| if c.is_control() && c != '\n' { ' ' } else { c };
            format!("; it printed:\n    {}", last.join("\n    ")).chars().map(plain).collect()
        }
    }
}

/// The end of an output stream, which a thread reads.
struct Tail {
    bytes: Arc<Mutex<Vec<u8>>>,
    /// Closed when the stream has ended.
    ended: Receiver<()>,
}

impl Tail {
    /// Starts to read `stream`; keeps `kept` bytes.
    fn of(stream: Option<impl Read + Send + 'static>, kept: usize) -> Tail {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let (reads, ended) = mpsc::channel::<()>();
        let tail = Arc::clone(&bytes);
        thread::spawn(move || {
            let _reads = reads;
            let mut chunk = [0; 4096];
            let Some(mut stream) = stream else { return };
            while let Ok(length @ 1..) = stream.read(&mut chunk) {
                let mut tail = tail.lock().unwrap_or_else(PoisonError::into_inner);
                tail.extend_from_slice(&chunk[..length]);
                let surplus = tail.len().saturating_sub(kept);
                tail.drain(..surplus);
            }
        });
        Tail { bytes, ended }
    }

    /// Returns what was read when the stream ended, or until `end` if somebody still holds it open. The thread
    /// goes on then, and ends with the stream.
    fn by(self, end: Instant) -> String {
        let _ = self.ended.recv_timeout(end.saturating_duration_since(Instant::now()));
        let tail = self.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&tail).into_owned()
    }
}

/// Waits for the child; returns `None` if the deadline came first and its process group was killed.
fn wait(child: &mut Child, deadline: Duration) -> std::io::Result<Option<ExitStatus>> {
    let begin = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if begin.elapsed() > deadline {
            kill_process_group(Pid::from_child(child), Signal::KILL)?;
            child.wait()?;
            return Ok(None);
        }
        thread::sleep(Duration::from_millis(5));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_shows_command_line_exit_code_and_stderr() {
        let error = Tool::new("sh").args(["-c", "echo 'no space' >&2; exit 7"]).run().unwrap_err();
        let text = format!("{error:#}");
        assert!(text.contains("`sh -c 'echo"), "{text}");
        assert!(text.contains("ended with exit code 7"), "{text}");
        assert!(text.contains("no space"), "{text}");
    }

    #[test]
    fn a_signal_and_a_missing_program_are_named() {
        let killed = Tool::new("sh").args(["-c", "kill -9 $$"]).run().unwrap_err();
        assert!(format!("{killed:#}").contains("ended by signal 9"));
        let missing = Tool::new("flipslot-no-such-program").hint("apt install it").run().unwrap_err();
        assert_eq!(crate::error::hint(&missing), Some("apt install it"));
    }

    #[test]
    fn what_hangs_is_killed_with_its_children() {
        let tool = Tool::new("sh").args(["-c", "sleep 1000 & sleep 1000"]).deadline(Duration::from_millis(50));
        assert!(format!("{:#}", tool.run().unwrap_err()).contains("was killed"));
    }

    #[test]
    fn a_child_that_is_left_behind_with_the_output_open_is_not_waited_for() {
        let printed = Tool::new("sh").args(["-c", "echo early; sleep 1000 & echo $!"]).run().unwrap();
        let (said, child) = printed.stdout.trim().split_once('\n').unwrap();
        assert_eq!(said, "early");
        let child = Pid::from_raw(child.parse().unwrap()).unwrap();
        rustix::process::kill_process(child, Signal::KILL).expect("it runs still");
    }

    #[test]
    fn only_the_end_of_a_long_output_is_kept() {
        let printed = Tool::new("sh").args(["-c", "seq 100000"]).run().unwrap();
        assert!(printed.stdout.len() <= TAIL && printed.stdout.ends_with("100000\n"));
    }
}
