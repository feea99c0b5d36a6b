//! The menu entry of a slot, as GRUB script of a fixed size.

use crate::boot::entry::Entry;
use crate::boot::grub::quote::quote;
use crate::boot::trial::BootedBy;
use crate::error::{Result, failed};
use crate::slot::Slot;

/// Size of `flipslot/slot-a.cfg` in bytes, the same for ever: a flash rewrites it in place.
pub const SIZE: usize = 4096;

/// What the file of a slot says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content<'e> {
    /// Nothing was ever written there.
    Empty,
    /// A flash has begun, and has not come to its end.
    Half,
    /// An image.
    Entry(&'e Entry),
}

/// The file for a slot; only a comment if there is nothing to boot.
///
/// `boot_disk` and `proven` come from `grub/`, which asks for `entry`. A slot that is not the proven
/// one is on trial, and its kernel is told so. A kernel without its initramfs would come up and
/// find no root, so both must be there, or the entry fails and GRUB takes the next.
pub fn render(slot: Slot, content: Content) -> Result<Vec<u8>> {
    let text = match content {
        Content::Empty | Content::Half => first_line(slot, content),
        Content::Entry(entry) => {
            // GRUB's menu takes c (command line) and e (editor) for itself.
            let hotkey = if matches!(slot.to_string().as_str(), "c" | "e") {
                String::new()
            } else {
                format!(" --hotkey {slot}")
            };
            let title = quote(&format!("slot {slot}: {}", entry.title));
            let (kernel, initramfs) = (quote(&absolute(&entry.kernel.path)), quote(&absolute(&entry.initramfs)));
            let [linux, initrd] = commands(entry);
            let start = first_line(slot, content);
            format!(
                "{start}\
                 menuentry {title} --id slot-{slot}{hotkey} {{\n\
                 \tset root=\"$boot_disk,{table}{partition}\"\n\
                 \tset how='{trial}'\n\
                 \tif [ \"$proven\" = '{slot}' ]; then set how='{proven}'; fi\n\
                 \tif [ -s {kernel} -a -s {initramfs} ]; then\n\
                 \t\techo 'flipslot: booting slot {slot}'\n\
                 \t\t{linux} $how\n\
                 \t\t{initrd}\n\
                 \telse\n\
                 \t\techo 'flipslot: slot {slot} has no kernel or no initramfs'\n\
                 \tfi\n\
                 }}\n",
                table = entry.table.in_grub(),
                partition = entry.partition,
                trial = BootedBy::Firmware.words(),
                proven = BootedBy::Proven.words(),
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

/// The line that tells what the file says; it comes first, in the first sector.
pub fn first_line(slot: Slot, content: Content) -> String {
    match content {
        Content::Empty => format!("# slot {slot} holds nothing\n"),
        Content::Half => format!("# slot {slot} is being written\n"),
        Content::Entry(_) => "set entry=\"yes\"\n".to_owned(),
    }
}

/// Whether the file of a slot boots just what `entry` says, so that a kexec boots the same.
pub fn boots(file: &[u8], entry: &Entry) -> bool {
    let text = String::from_utf8_lossy(file);
    commands(entry).iter().all(|command| text.contains(command.as_str())) && text.starts_with("set entry=\"yes\"\n")
}

/// The commands that load kernel and initramfs.
fn commands(entry: &Entry) -> [String; 2] {
    let words: Vec<String> = entry.cmdline.to_string().split(' ').map(quote).collect();
    [
        format!("linux {} {}", quote(&absolute(&entry.kernel.path)), words.join(" ")),
        format!("initrd {}", quote(&absolute(&entry.initramfs))),
    ]
}

fn absolute(path: &str) -> String {
    format!("/{}", path.trim_start_matches('/'))
}
