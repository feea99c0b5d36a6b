//! Progress for people and for programs, always on stderr: stdout is for the result.

use crate::words::slot::Slot;
use crate::words::units::Bytes;
use clap::ValueEnum;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use serde_json::{Value, json};
use std::io::{IsTerminal, Write, stderr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The style in which progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Default)]
pub enum Style {
    /// A bar on a terminal, otherwise lines.
    #[default]
    Auto,
    /// A bar that is redrawn in place.
    Bar,
    /// A line when a step begins and ends, and every 5 s.
    Plain,
    /// A JSON object on each line.
    Json,
    /// No progress at all.
    None,
}

/// The interval between plain or JSON lines about a running step.
const EVERY: Duration = Duration::from_secs(5);

/// A step that has ended, and its duration.
#[derive(Debug, Clone, Serialize)]
pub struct Phase {
    /// Slot that the step was for, if it was for one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slot: Option<Slot>,
    /// Disk that the step was for, where there are several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disk: Option<String>,
    /// Name of the step.
    pub step: &'static str,
    /// Duration in seconds.
    pub seconds: f64,
}

/// Shows steps and remembers how long each took.
pub struct Progress {
    style: Style,
    phases: Arc<Mutex<Vec<Phase>>>,
    /// Bars of the steps that run at the same time, one line each.
    bars: MultiProgress,
}

impl Progress {
    /// Returns a display of progress in this style.
    pub fn new(style: Style) -> Progress {
        let style = match style {
            Style::Auto if stderr().is_terminal() => Style::Bar,
            Style::Auto => Style::Plain,
            style => style,
        };
        let bars = MultiProgress::with_draw_target(ProgressDrawTarget::stderr());
        Progress { style, phases: Arc::default(), bars }
    }

    /// Begins a step, which ends when the returned value is dropped. `bytes` is the number of bytes that it
    /// will count, if that is known.
    pub fn step(&self, slot: Option<Slot>, step: &'static str, bytes: Option<u64>) -> Step {
        self.begin(slot, None, step, bytes)
    }

    /// Like [`Progress::step`], but for one of several disks with steps that run at the same time.
    pub fn disk_step(&self, disk: &str, step: &'static str, bytes: Option<u64>) -> Step {
        self.begin(None, Some(disk.to_owned()), step, bytes)
    }

    fn begin(&self, slot: Option<Slot>, disk: Option<String>, step: &'static str, bytes: Option<u64>) -> Step {
        let prefix = prefix(slot, disk.as_deref());
        let bar = match self.style {
            Style::Bar => bar(&self.bars, prefix, step, bytes),
            _ => ProgressBar::hidden(),
        };
        let shown = Shown {
            style: self.style,
            bars: self.bars.clone(),
            slot,
            disk,
            step,
            bytes,
            begin: Instant::now(),
            done: AtomicU64::new(0),
            said: Mutex::new(Instant::now()),
            bar,
        };
        shown.begin();
        Step { shown: Arc::new(shown), phases: Arc::clone(&self.phases) }
    }

    /// Prints a warning: something that the user should know, but that stops nothing.
    pub fn warn(&self, slot: Option<Slot>, text: &str) {
        match self.style {
            Style::Json => say(&json!({ "event": "warning", "slot": slot, "text": text }).to_string()),
            _ => {
                let line = format!("flipslot: warning: {}{text}", prefix(slot, None));
                self.bars.suspend(|| say(&line));
            }
        }
    }

    /// Returns the steps that have ended, in that order.
    pub fn phases(&self) -> Vec<Phase> {
        self.phases.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A running step, which ends when it is dropped.
pub struct Step {
    shown: Arc<Shown>,
    phases: Arc<Mutex<Vec<Phase>>>,
}

impl Step {
    /// Returns a function that counts bytes of this step, for another thread.
    pub fn counter(&self) -> impl Fn(u64) + Send + Clone + 'static {
        let shown = Arc::clone(&self.shown);
        move |bytes| shown.advance(bytes)
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        let phase = self.shown.end();
        self.phases.lock().unwrap_or_else(PoisonError::into_inner).push(phase);
    }
}

struct Shown {
    style: Style,
    bars: MultiProgress,
    slot: Option<Slot>,
    disk: Option<String>,
    step: &'static str,
    bytes: Option<u64>,
    begin: Instant,
    done: AtomicU64,
    said: Mutex<Instant>,
    bar: ProgressBar,
}

impl Shown {
    fn begin(&self) {
        match self.style {
            Style::Plain => {
                let bytes = self.bytes.map(|bytes| format!(" ({})", Bytes(bytes))).unwrap_or_default();
                say(&format!("{}{}{bytes}", self.prefix(), self.step));
            }
            Style::Json => self.say_json("begin", &[("bytes", json!(self.bytes))]),
            _ => {}
        }
    }

    fn advance(&self, bytes: u64) {
        let done = self.done.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.bar.inc(bytes);
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        if said.elapsed() < EVERY {
            return;
        }
        *said = Instant::now();
        match self.style {
            Style::Plain => {
                // A rate of bytes needs no more precision than this: it is shown with one decimal.
                #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
                let rate = Bytes((done as f64 / self.begin.elapsed().as_secs_f64()) as u64);
                let total = self.bytes.map(|total| format!(" of {}", Bytes(total))).unwrap_or_default();
                say(&format!("{}{}: {}{total}, {rate}/s", self.prefix(), self.step, Bytes(done)));
            }
            Style::Json => self.say_json("progress", &[("done", json!(done)), ("bytes", json!(self.bytes))]),
            _ => {}
        }
    }

    fn end(&self) -> Phase {
        self.bar.finish_and_clear();
        let seconds = (self.begin.elapsed().as_secs_f64() * 1000.0).round() / 1000.0;
        match self.style {
            Style::Plain | Style::Bar => {
                let line = format!("{}{}: {seconds:.1} s", self.prefix(), self.step);
                self.bars.suspend(|| say(&line));
            }
            Style::Json => self.say_json("end", &[("seconds", json!(seconds))]),
            _ => {}
        }
        Phase { slot: self.slot, disk: self.disk.clone(), step: self.step, seconds }
    }

    fn prefix(&self) -> String {
        prefix(self.slot, self.disk.as_deref())
    }

    fn say_json(&self, event: &str, more: &[(&str, Value)]) {
        let mut line = json!({ "event": event, "step": self.step });
        if let Some(slot) = self.slot {
            line["slot"] = json!(slot);
        }
        if let Some(disk) = &self.disk {
            line["disk"] = json!(disk);
        }
        for (key, value) in more.iter().filter(|(_, value)| !value.is_null()) {
            line[*key] = value.clone();
        }
        say(&line.to_string());
    }
}

/// Returns the start of a line: the slot or disk of the step.
fn prefix(slot: Option<Slot>, disk: Option<&str>) -> String {
    let slot = slot.map(|slot| format!("slot {slot}: "));
    slot.or(disk.map(|disk| format!("{disk}: "))).unwrap_or_default()
}

/// Writes one line to stderr; a closed stderr is not an error.
fn say(line: &str) {
    let _ = writeln!(stderr(), "{line}");
}

// indicatif's own placeholders, not Rust's.
#[allow(clippy::literal_string_with_formatting_args)]
fn bar(bars: &MultiProgress, prefix: String, step: &'static str, bytes: Option<u64>) -> ProgressBar {
    let template = match bytes {
        Some(_) => "{prefix}{msg} {wide_bar} {bytes}/{total_bytes} {binary_bytes_per_sec} {eta}",
        None => "{prefix}{msg} {spinner} {elapsed}",
    };
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = bars.add(bytes.map_or_else(ProgressBar::new_spinner, ProgressBar::new));
    bar.set_style(style);
    bar.set_prefix(prefix);
    bar.set_message(step);
    bar.enable_steady_tick(Duration::from_millis(120));
    bar
}
