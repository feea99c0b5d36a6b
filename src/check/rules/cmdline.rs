//! The command line and the title: what GRUB and the kernel make of them.

use crate::boot::kernel;
use crate::check::Subject;
use crate::error::Result;

/// What GRUB's script language gives a meaning (GRUB manual, "Shell-like scripting").
const METACHARACTERS: &str = "{}|&$;<>'\"\\`";

/// The kernel would cut it off.
pub fn length(subject: &Subject) -> Result<Vec<String>> {
    let Some(kernel) = &subject.kernel else { return Ok(Vec::new()) };
    let head = subject.tree.head(&kernel.path, kernel::SETUP)?.unwrap_or_default();
    let Some(longest) = kernel::cmdline_size(&head) else { return Ok(Vec::new()) };
    let length = subject.cmdline.longest();
    Ok(if length > longest as usize {
        vec![format!(
            "the kernel's command line has {length} bytes with the words of a trial; kernel {} takes {longest}",
            kernel.version
        )]
    } else {
        Vec::new()
    })
}

/// The name of the system holds what GRUB reads as a program.
pub fn title(subject: &Subject) -> Result<Vec<String>> {
    let title = subject.release.title();
    let is_odd = |c: char| c.is_control() || METACHARACTERS.contains(c);
    Ok(if title.contains(is_odd) {
        vec![format!("os-release calls it '{}'", title.escape_debug())]
    } else {
        Vec::new()
    })
}

/// No console of the machine is on the command line.
pub fn console(subject: &Subject) -> Result<Vec<String>> {
    let consoles = &subject.inventory.consoles;
    let on = |name: &String| subject.words().filter_map(console_of).any(|known| known == name);
    Ok(if consoles.is_empty() || consoles.iter().any(on) {
        Vec::new()
    } else {
        vec![format!("the machine's console is {}, and no console= names it", consoles.join(" and "))]
    })
}

/// The name in `console=ttyS0,115200`.
pub fn console_of(word: &str) -> Option<&str> {
    word.strip_prefix("console=")?.split(',').next()
}

/// Adds the machine's consoles.
pub fn add_consoles(subject: &Subject) -> Vec<String> {
    let names = subject.inventory.consoles.iter();
    let words = names.map(|name| format!("console={}", crate::boot::cmdline::with_speed(name)));
    std::iter::once("console=tty0".to_owned()).chain(words).collect()
}
