//! Microcode for the processor, in the archive that the kernel reads before it can unpack anything
//! (kernel: arch/x86/microcode.rst).

use crate::archive::write_cpio;
use crate::error::{Result, failed};
use crate::kernel::module_file;
use crate::root::tree::Tree;
use crate::words::units::Bytes;

/// Vendors, with the folders below which distributions install their microcode, and the name that the kernel looks for.
const VENDORS: [(&str, &str); 2] = [("intel-ucode", "GenuineIntel.bin"), ("amd-ucode", "AuthenticAMD.bin")];
/// Folders of firmware, with a merged /usr and without.
const FOLDERS: [&str; 2] = ["usr/lib/firmware", "lib/firmware"];
/// Largest file in bytes: all of Intel's together have 10 MB.
const LONGEST: u64 = 16 << 20;
/// Largest microcode of a vendor in bytes, unpacked.
const LARGEST: usize = 64 << 20;

/// Returns the archive with all microcode of a slot; empty if there is none.
pub fn early_archive(tree: &dyn Tree) -> Result<Vec<u8>> {
    let mut files = Vec::new();
    for (folder, name) in VENDORS {
        let Some(folder) = folder_of(tree, folder) else { continue };
        let mut all = Vec::new();
        // The kernel searches one file of each vendor, which is all of its pieces in a row.
        for piece in tree.list(&folder)?.into_iter().filter(|piece| is_piece(piece)) {
            let path = format!("{folder}/{piece}");
            let bytes = tree.read_bytes(&path, LONGEST)?.unwrap_or_default();
            all.extend(module_file::read(&path, &bytes[..])?);
            if all.len() > LARGEST {
                let found = format!("/{folder} holds more microcode than {}", Bytes(LARGEST as u64));
                return Err(failed(found, "remove the other files from the image"));
            }
        }
        if !all.is_empty() {
            files.push((format!("kernel/x86/microcode/{name}"), all));
        }
    }
    if files.is_empty() {
        return Ok(Vec::new());
    }
    files.insert(0, ("early_cpio".to_owned(), b"1\n".to_vec()));
    let files: Vec<_> = files.iter().map(|(path, bytes)| (path.as_str(), 0o100_644, bytes.as_slice())).collect();
    write_cpio::write(&files)
}

/// Returns true if a slot has microcode.
pub fn is_there(tree: &dyn Tree) -> bool {
    VENDORS.iter().any(|(folder, _)| folder_of(tree, folder).is_some())
}

/// Returns the folder of a vendor's microcode that is not empty.
fn folder_of(tree: &dyn Tree, vendor: &str) -> Option<String> {
    let folders = FOLDERS.map(|firmware| format!("{firmware}/{vendor}"));
    folders.into_iter().find(|folder| tree.list(folder).is_ok_and(|names| !names.is_empty()))
}

/// Returns true for a file of microcode: `06-4f-01` of Intel, `microcode_amd.bin` of AMD; not for a README or a signature.
fn is_piece(name: &str) -> bool {
    let name = name.trim_end_matches(".xz").trim_end_matches(".zst");
    let is_intel = name.split('-').count() == 3 && name.split('-').all(|part| u8::from_str_radix(part, 16).is_ok());
    is_intel || (name.starts_with("microcode_amd") && name.ends_with(".bin"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::initramfs::read::contents::Contents;
    use crate::root::mounted::directory::Root;
    use std::fs;

    #[test]
    fn all_pieces_of_a_vendor_are_one_file_and_nothing_else_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        let root = || Root::open(folder.path()).unwrap();
        assert!(early_archive(&root()).unwrap().is_empty());
        let place = folder.path().join("lib/firmware/intel-ucode");
        fs::create_dir_all(&place).unwrap();
        for (name, text) in [("06-4f-01", "one "), ("06-55-03", "two "), ("README", "no")] {
            fs::write(place.join(name), text).unwrap();
        }
        let archive = early_archive(&root()).unwrap();
        assert!(archive.windows(8).any(|bytes| bytes == b"one two "));
        let contents = Contents::read(&archive[..]).unwrap();
        assert!(contents.parts[0].early && contents.has("kernel/x86/microcode/GenuineIntel.bin"));
    }
}
