//! The menu entry of a slot, as GRUB script of a fixed size.

use crate::boot::entry::{Entry, GrubEntry};
use crate::boot::grub::quote::quote;
use crate::boot::trial::BootedBy;
use crate::error::{Result, failed};
use crate::words::slot::Slot;

/// Size of `flipslot/slot-a.cfg` in bytes, which never changes: a flash rewrites it in place.
pub const SIZE: usize = 4096;

/// Content of a slot's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content<'e> {
    /// No image: the slot was never written.
    Empty,
    /// A flash that has begun and has not finished.
    Half,
    /// The boot entry of an image.
    Entry(&'e GrubEntry),
}

/// Renders the file of a slot; only a comment if there is nothing to boot. Fails if it is longer than [`SIZE`].
///
/// The scripts in `grub/` set `boot_disk` and `proven`, and read `entry`. A slot other than the proven one is on
/// trial, and its kernel gets the words for that. A kernel without its initramfs would start and not find its
/// root, so both must be there; otherwise the entry fails and GRUB takes the next one.
pub fn render(slot: Slot, content: Content) -> Result<Vec<u8>> {
    let text = match content {
        Content::Empty | Content::Half => first_line(slot, content),
        Content::Entry(GrubEntry { entry, table, partition }) => {
            let table = table.known().ok_or_else(|| {
                failed(
                    format!("slot {slot} is on a table of type {table}, which this flipslot does not know"),
                    "use a later flipslot",
                )
            })?;
            // GRUB's menu uses c (command line) and e (editor) itself.
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
                table = table.in_grub(),
                trial = BootedBy::Firmware.words(),
                proven = BootedBy::Proven.words(),
            )
        }
    };
    let mut bytes = text.into_bytes();
    if bytes.len() > SIZE - 2 {
        return Err(failed(
            format!("the GRUB entry of slot {slot} has {} bytes, but its file only {SIZE}", bytes.len()),
            "shorten --kargs",
        ));
    }
    // A comment to the end overwrites what an earlier, longer entry left there.
    bytes.resize(SIZE - 1, b'#');
    bytes.push(b'\n');
    Ok(bytes)
}

/// Returns the first line of the file, in its first sector, by which the content is recognised.
pub fn first_line(slot: Slot, content: Content) -> String {
    match content {
        Content::Empty => format!("# slot {slot} holds nothing\n"),
        Content::Half => format!("# slot {slot} is being written\n"),
        Content::Entry(_) => "set entry=\"yes\"\n".to_owned(),
    }
}

/// Returns true if the file of a slot boots exactly `entry`, so that a kexec of it boots the same.
pub fn boots(file: &[u8], entry: &Entry) -> bool {
    let text = String::from_utf8_lossy(file);
    commands(entry).iter().all(|command| text.contains(command.as_str())) && text.starts_with("set entry=\"yes\"\n")
}

/// Returns the GRUB commands that load kernel and initramfs.
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
