//! Reads headers and sections of little-endian ELF files: elf(5).

/// Header fields of a program or library.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Elf {
    /// Processor that it is for (`e_machine`).
    pub machine: u16,
    /// Path of the program that loads it; `None` if it is linked statically.
    pub interpreter: Option<String>,
}

/// `e_machine` of 32-bit x86 (`EM_386`).
pub const X86: u16 = 3;
/// `e_machine` of x86-64 (`EM_X86_64`).
pub const X86_64: u16 = 62;
/// Type of the program header that names the interpreter (`PT_INTERP`).
const PT_INTERP: u32 = 3;
/// Number of bytes at the beginning of a file that contain its headers and the interpreter's name: linkers put
/// both first.
pub const HEAD: u64 = 4096;

/// Differences between 32 and 64 bits: offsets in the file header (`e_phoff`, `e_phentsize`, `e_phnum`) and in
/// a program header (`p_offset`, `p_filesz`), and the size of an offset.
struct Form {
    phoff: usize,
    phentsize: usize,
    phnum: usize,
    offset: usize,
    filesz: usize,
    wide: bool,
}

const FORM_32: Form = Form { phoff: 0x1c, phentsize: 0x2a, phnum: 0x2c, offset: 4, filesz: 16, wide: false };
const FORM_64: Form = Form { phoff: 0x20, phentsize: 0x36, phnum: 0x38, offset: 8, filesz: 32, wide: true };

impl Elf {
    /// Parses the beginning of a file; `None` if it is not an ELF file, or if its headers or the interpreter's
    /// name are beyond it.
    pub fn parse(head: &[u8]) -> Option<Elf> {
        if head.get(..4)? != b"\x7fELF" {
            return None;
        }
        let form = if *head.get(4)? == 1 { FORM_32 } else { FORM_64 };
        let number = |at: usize| if form.wide { u64_at(head, at) } else { u32_at(head, at).map(u64::from) };
        let machine = u16_at(head, 0x12)?;
        let table = usize::try_from(number(form.phoff)?).ok()?;
        let (size, count) = (usize::from(u16_at(head, form.phentsize)?), usize::from(u16_at(head, form.phnum)?));
        let mut interpreter = None;
        for index in 0..count {
            let at = table.checked_add(index * size)?;
            if u32_at(head, at)? == PT_INTERP {
                let start = usize::try_from(number(at + form.offset)?).ok()?;
                let length = usize::try_from(number(at + form.filesz)?).ok()?;
                let name = head.get(start..start.checked_add(length)?)?;
                interpreter = Some(String::from_utf8_lossy(name.strip_suffix(b"\0").unwrap_or(name)).into_owned());
            }
        }
        Some(Elf { machine, interpreter })
    }
}

/// Returns the content of a section of a 64-bit file; `None` if there is no such section, or if the headers
/// point beyond the end of the file.
pub fn section<'f>(file: &'f [u8], name: &str) -> Option<&'f [u8]> {
    /// Offsets in the file header: `e_shoff`, `e_shentsize`, `e_shnum`, `e_shstrndx`.
    const HEADER: [usize; 4] = [0x28, 0x3a, 0x3c, 0x3e];
    /// Offsets in a section header: `sh_name`, `sh_offset`, `sh_size`.
    const SECTION: [usize; 3] = [0, 24, 32];
    if file.get(..5)? != b"\x7fELF\x02" {
        return None;
    }
    let table = usize::try_from(u64_at(file, HEADER[0])?).ok()?;
    let size = usize::from(u16_at(file, HEADER[1])?);
    let header = |index: u16| table.checked_add(usize::from(index).checked_mul(size)?);
    let content = |at: usize| {
        let start = usize::try_from(u64_at(file, at.checked_add(SECTION[1])?)?).ok()?;
        let length = usize::try_from(u64_at(file, at.checked_add(SECTION[2])?)?).ok()?;
        file.get(start..start.checked_add(length)?)
    };
    let names = content(header(u16_at(file, HEADER[3])?)?)?;
    let is_it = |at: usize| {
        let start = usize::try_from(u32_at(file, at.checked_add(SECTION[0])?)?).ok()?;
        Some(names.get(start..)?.split(|byte| *byte == 0).next()? == name.as_bytes())
    };
    let wanted = (0..u16_at(file, HEADER[2])?).filter_map(header).find(|at| is_it(*at) == Some(true))?;
    content(wanted)
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at.checked_add(2)?)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at.checked_add(8)?)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_program_that_needs_a_c_library_is_told_from_one_that_does_not() {
        let own = Elf::parse(&fs::read("/proc/self/exe").unwrap()[..4096]).unwrap();
        assert_eq!(own, Elf { machine: X86_64, interpreter: None }, "the tests are built as the program is");
        let shell = Elf::parse(&fs::read("/bin/sh").unwrap()[..4096]).unwrap();
        assert_eq!(shell.interpreter.as_deref(), Some("/lib64/ld-linux-x86-64.so.2"));
    }

    #[test]
    fn a_section_is_found_by_its_name_and_never_beyond_the_file() {
        let shell = fs::read("/bin/sh").unwrap();
        let interp = section(&shell, ".interp").unwrap();
        assert_eq!(interp, b"/lib64/ld-linux-x86-64.so.2\0");
        assert_eq!(section(&shell, ".modinfo"), None);
        let headers = usize::try_from(u64_at(&shell, 0x28).unwrap()).unwrap();
        assert_eq!(section(&shell[..headers + 1], ".interp"), None, "its headers are cut");
        for at in (0..64).chain(headers..shell.len().min(headers + 2000)) {
            let mut odd = shell.clone();
            odd[at] = 0xff;
            section(&odd, ".interp"); // it may find something else, and must not panic
        }
    }

    #[test]
    fn what_is_cut_or_absurd_is_no_program() {
        let shell = fs::read("/bin/sh").unwrap();
        assert_eq!(Elf::parse(b"#!/bin/sh"), None);
        for length in [0, 5, 0x20, 0x41] {
            assert_eq!(Elf::parse(&shell[..length]), None, "{length} bytes");
        }
        let mut absurd = shell[..4096].to_vec();
        absurd[0x20..0x28].copy_from_slice(&u64::MAX.to_le_bytes());
        assert_eq!(Elf::parse(&absurd), None);
    }
}
