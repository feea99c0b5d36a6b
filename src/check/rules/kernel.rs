//! Rules about kernels: there must be exactly one to boot, which this machine can start, with its modules.

use crate::check::subject::Subject;
use crate::error::Result;
use crate::kernel::find as kernel;

/// Finds a slot without a kernel.
pub fn missing(subject: &Subject) -> Result<Vec<String>> {
    let places = "/boot/vmlinuz-*, /usr/lib/modules/*/vmlinuz, /boot/<machine-id>/<version>/linux";
    Ok(if subject.kernels.is_empty() { vec![format!("it has no kernel ({places})")] } else { Vec::new() })
}

/// Finds several kernels of which none was chosen, or a request for one that is not there.
pub fn several(subject: &Subject) -> Result<Vec<String>> {
    let is_there = !subject.kernels.is_empty();
    Ok(subject.no_kernel.iter().filter(|_| is_there).cloned().collect())
}

/// Finds a kernel that is not for this kind of machine.
pub fn format(subject: &Subject) -> Result<Vec<String>> {
    let Some(kernel) = &subject.kernel else { return Ok(Vec::new()) };
    let head = subject.tree.head(&kernel.path, kernel::SETUP)?.unwrap_or_default();
    Ok(match kernel::cmdline_size(&head) {
        Some(_) => Vec::new(),
        None => {
            vec![format!("/{} is not an x86-64 Linux kernel (bzImage): {}", kernel.path, kernel::what_it_is(&head))]
        }
    })
}

/// Finds a kernel whose modules are not there.
pub fn modules(subject: &Subject) -> Result<Vec<String>> {
    let Some(kernel) = &subject.kernel else { return Ok(Vec::new()) };
    if subject.modules.is_some() {
        return Ok(Vec::new());
    }
    let mut others = subject.tree.list("usr/lib/modules")?;
    others.extend(subject.tree.list("lib/modules")?);
    others.sort();
    others.dedup();
    others.retain(|other| *other != kernel.version);
    let others = if others.is_empty() { String::new() } else { format!("; it has those of {}", others.join(", ")) };
    Ok(vec![format!("it has no modules of its kernel (/lib/modules/{}/modules.dep){others}", kernel.version)])
}
