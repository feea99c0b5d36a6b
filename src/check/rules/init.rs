//! Rules about the first program: it must be there, and this kernel must be able to start it.

use crate::check::subject::Subject;
use crate::error::Result;
use crate::kernel::elf;
use crate::kernel::elf::Elf;
use crate::root::tree::{Last, What};

/// Path of the first program for a kernel and for an initramfs, unless the command line names another
/// (`init=`).
const INIT: &str = "sbin/init";

fn path<'s>(subject: &'s Subject) -> &'s str {
    subject.word("init").map_or(INIT, |path| path.trim_start_matches('/'))
}

/// Finds a slot without a first program.
pub fn missing(subject: &Subject) -> Result<Vec<String>> {
    let path = path(subject);
    let found = subject.tree.look(path, Last::NoFollow)?;
    Ok(if found.is_none() { vec![format!("it has no init (/{path})")] } else { Vec::new() })
}

/// Finds a first program that cannot be started.
pub fn broken(subject: &Subject) -> Result<Vec<String>> {
    let path = path(subject);
    let Some(link) = subject.tree.look(path, Last::NoFollow)? else { return Ok(Vec::new()) };
    let Some(found) = subject.tree.look(path, Last::Follow)? else {
        let target = if let What::Symlink { target } = link.what { target } else { Vec::new() };
        return Ok(vec![format!("/{path} leads to {}, which is not there", target.escape_ascii())]);
    };
    Ok(match found.what {
        What::File { size: 0 } => vec![format!("/{path} is empty")],
        What::File { .. } if found.mode & 0o111 == 0 => {
            vec![format!("/{path} cannot be executed (mode {:o})", found.mode)]
        }
        What::File { .. } => unstartable(subject, path)?.into_iter().map(|why| format!("/{path} {why}")).collect(),
        _ => vec![format!("/{path} is not a file")],
    })
}

/// Returns the reason why a program cannot be started, as a clause after its name.
fn unstartable(subject: &Subject, path: &str) -> Result<Option<String>> {
    let head = subject.tree.head(path, elf::HEAD)?.unwrap_or_default();
    if let Some(line) = head.strip_prefix(b"#!") {
        let line = String::from_utf8_lossy(line.split(|byte| *byte == b'\n').next().unwrap_or_default()).into_owned();
        let interpreter = line.split_whitespace().next().unwrap_or_default();
        return Ok(lacking(subject, interpreter));
    }
    let Some(elf) = Elf::parse(&head) else {
        return Ok(Some("is not a program (neither ELF nor a script)".to_owned()));
    };
    if ![elf::X86_64, elf::X86].contains(&elf.machine) {
        return Ok(Some(format!("is a program for another processor (ELF machine {})", elf.machine)));
    }
    Ok(elf.interpreter.and_then(|interpreter| lacking(subject, &interpreter)))
}

fn lacking(subject: &Subject, interpreter: &str) -> Option<String> {
    let is_there = subject.tree.has_program(interpreter.trim_start_matches('/'));
    (!is_there).then(|| format!("needs {}, which is not there", interpreter.escape_debug()))
}
