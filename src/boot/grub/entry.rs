//! The menu entry of a slot, as GRUB script of a fixed size.

use crate::boot::entry::Entry;
use crate::boot::grub::quote::quote;
use crate::error::{Result, failed};
use crate::slot::Slot;

/// Size of `flipslot/slot-a.cfg` in bytes, the same for ever: a flash rewrites it in place.
pub const SIZE: usize = 4096;

/// The file for a slot; only a comment if it holds nothing.
///
/// `boot_disk` comes from `grub/`, which asks for `entry`. A kernel without its initramfs would come up and
/// find no root, so both must be there, or the entry fails and GRUB takes the next.
pub fn render(slot: Slot, entry: Option<&Entry>) -> Result<Vec<u8>> {
    let text = match entry {
        None => format!("# slot {slot} holds nothing\n"),
        Some(entry) => {
            // GRUB's menu takes c (command line) and e (editor) for itself.
            let hotkey = if matches!(slot.to_string().as_str(), "c" | "e") {
                String::new()
            } else {
                format!(" --hotkey {slot}")
            };
            let title = quote(&format!("slot {slot}: {}", entry.title));
            let (kernel, initramfs) = (quote(&absolute(&entry.kernel.path)), quote(&absolute(&entry.initramfs)));
            let words: Vec<String> = entry.cmdline.to_string().split(' ').map(quote).collect();
            format!(
                "set entry=\"yes\"\n\
                 menuentry {title} --id slot-{slot}{hotkey} {{\n\
                 \tset root=\"$boot_disk,gpt{partition}\"\n\
                 \tif [ -s {kernel} -a -s {initramfs} ]; then\n\
                 \t\techo 'flipslot: booting slot {slot}'\n\
                 \t\tlinux {kernel} {words}\n\
                 \t\tinitrd {initramfs}\n\
                 \telse\n\
                 \t\techo 'flipslot: slot {slot} has no kernel or no initramfs'\n\
                 \tfi\n\
                 }}\n",
                partition = entry.partition,
                words = words.join(" "),
            )
        }
    };
    let mut bytes = text.into_bytes();
    if bytes.len() > SIZE - 2 {
        return Err(failed(
            format!("the GRUB entry of slot {slot} has {} bytes; {SIZE} are reserved", bytes.len()),
            "shorten --kargs",
        ));
    }
    // A comment to the end: what an earlier, longer entry left there means nothing.
    bytes.resize(SIZE - 1, b'#');
    bytes.push(b'\n');
    Ok(bytes)
}

fn absolute(path: &str) -> String {
    format!("/{}", path.trim_start_matches('/'))
}
