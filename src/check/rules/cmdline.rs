//! Rules about the command line and the title, as GRUB and the kernel read them.

use crate::check::subject::Subject;
use crate::error::Result;
use crate::kernel::find as kernel;

/// Characters that have a meaning in GRUB's script language (GRUB manual, "Shell-like scripting").
const METACHARACTERS: &str = "{}|&$;<>'\"\\`";

/// Finds a command line that is longer than the kernel takes.
pub fn length(subject: &Subject) -> Result<Vec<String>> {
    let Some(kernel) = &subject.kernel else { return Ok(Vec::new()) };
    let head = subject.tree.head(&kernel.path, kernel::SETUP)?.unwrap_or_default();
    let Some(longest) = kernel::cmdline_size(&head) else { return Ok(Vec::new()) };
    let length = subject.cmdline.longest();
    Ok(if length > longest as usize {
        vec![format!(
            "the kernel's command line is {length} bytes long with the words of a trial; kernel {} takes {longest}",
            kernel.version
        )]
    } else {
        Vec::new()
    })
}

/// Finds a system name with characters that GRUB would read as script.
pub fn title(subject: &Subject) -> Result<Vec<String>> {
    let title = subject.release.title();
    let is_odd = |c: char| c.is_control() || METACHARACTERS.contains(c);
    Ok(if title.contains(is_odd) {
        vec![format!("os-release calls it '{}'", title.escape_debug())]
    } else {
        Vec::new()
    })
}

/// Finds a command line that names none of the machine's consoles.
pub fn console(subject: &Subject) -> Result<Vec<String>> {
    let consoles = &subject.inventory.consoles;
    let on = |name: &String| subject.words().filter_map(console_of).any(|known| known == name);
    Ok(if consoles.is_empty() || consoles.iter().any(on) {
        Vec::new()
    } else {
        vec![format!("the machine's console is {}, and no console= names it", consoles.join(" and "))]
    })
}

/// Returns the name in a word such as `console=ttyS0,115200`.
pub fn console_of(word: &str) -> Option<&str> {
    word.strip_prefix("console=")?.split(',').next()
}

/// Returns the words that put the machine's consoles on the command line, after the screen.
pub fn add_consoles(subject: &Subject) -> Vec<String> {
    let names = subject.inventory.consoles.iter();
    let words = names.map(|name| format!("console={}", crate::boot::cmdline::with_speed(name)));
    std::iter::once("console=tty0".to_owned()).chain(words).collect()
}
