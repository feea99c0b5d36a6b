//! Every effect on a boot partition and on a new disk, in the order in which it reaches the disk, and what a
//! power cut after any of them leaves. Nothing here needs root.

use crate::support::program::tool;
use flipslot::boot::cmdline::Cmdline;
use flipslot::boot::entry::{Entry, GrubEntry};
use flipslot::boot::grub::menu_entry::{self, Content};
use flipslot::boot::initramfs_source::MadeBy;
use flipslot::boot::ledger::{Boot, By, Confirm, Ledger};
use flipslot::boot::record::{self, Fixes, Record};
use flipslot::boot::root_on::RootOn;
use flipslot::boot::sealed::Sealed;
use flipslot::boot::state::{Copies, State};
use flipslot::boot::trial::{BootedBy, Terms};
use flipslot::disk::fat;
use flipslot::disk::installed::boot_files::{BootFiles, Holding, LEDGER, STATE, entry_path, record_path};
use flipslot::disk::installed::boot_partition::BootPartition;
use flipslot::disk::medium::Medium;
use flipslot::disk::new::layout::{Data, Layout, LayoutRequest};
use flipslot::disk::new::writer::DiskWriter;
use flipslot::disk::power_cut::Cut;
use flipslot::disk::recorder::{Contents, Effect, Recorder};
use flipslot::filesystem::kind::Filesystem;
use flipslot::kernel::find::Kernel;
use flipslot::mount::vacant::Ground;
use flipslot::words::digest::Digest;
use flipslot::words::origin::Origin;
use flipslot::words::partuuid::PartUuid;
use flipslot::words::region::{Region, Run, TableKind};
use flipslot::words::slot::Slot;
use flipslot::words::units::Bytes;
use std::collections::BTreeMap;
use std::path::Path;

const MIB: u64 = 1 << 20;

fn slot(letter: &str) -> Slot {
    letter.parse().unwrap()
}

/// The record of an image with this kernel; its entry is longer than a sector.
fn image(slot: Slot, version: &str) -> Record {
    let words = format!("{} ", "word=value".repeat(8)).repeat(6);
    let kernel = Kernel { version: version.to_owned(), path: format!("boot/vmlinuz-{version}") };
    let on = RootOn::Partition { partuuid: PartUuid::NONE, filesystem: Filesystem::Ext4 };
    let entry = Entry {
        title: format!("Linux {version}"),
        kernel_digest: Digest::of(version.as_bytes()),
        initramfs: format!("boot/initrd-{version}"),
        initramfs_digest: Digest::of(b"initramfs"),
        cmdline: Cmdline::new(Some(slot), &on, &[], &words).unwrap(),
        kernel,
    };
    Record {
        created: None,
        root: None,
        signed_by: Vec::new(),
        version: 1,
        reference: format!("docker://example.org/linux:{version}"),
        digest: Digest::of(version.as_bytes()),
        grub: GrubEntry { entry, table: TableKind::Gpt.into(), partition: 3 + slot.index() },
        filesystem: Filesystem::Ext4.into(),
        filesystem_uuid: "0f0e0d0c-0b0a-0908-0706-050403020100".to_owned(),
        hardware: "qemu".to_owned(),
        drivers: Vec::new(),
        initramfs_by: MadeBy::Dracut.into(),
        fixed: Fixes::default(),
        allowed: Vec::new(),
        agent: Vec::new(),
        keep: None,
        written: 1,
        flipslot: "0.1.0".to_owned(),
    }
}

/// The record of a slot whose filesystem was checked.
fn sealed(record: &Record) -> Sealed {
    let filesystem = tempfile::NamedTempFile::new().unwrap();
    filesystem.as_file().set_len(8 * MIB).unwrap();
    tool("mke2fs", &["-q", "-F", &filesystem.path().to_string_lossy()]);
    Sealed::new(record.clone(), Filesystem::Ext4.check(filesystem.path()).unwrap())
}

/// The boot partition of a disk with sectors of `sector` bytes: an image in slot a, which is proven, and one
/// in slot b.
fn boot_partition(sector: u64) -> Recorder {
    let state = State::first(slot("a")).render().to_vec();
    let mut files = vec![
        (STATE[0].to_owned(), state.clone()),
        (LEDGER.to_owned(), Ledger::default().render().unwrap()),
        (STATE[1].to_owned(), state),
    ];
    for slot in [slot("a"), slot("b")] {
        let record = image(slot, "6.1");
        files.push((entry_path(slot), menu_entry::render(slot, Content::Entry(&record.grub)).unwrap()));
        files.push((record_path(slot), record::render(Some(&record)).unwrap()));
    }
    let size = if sector == 512 { 64 * MIB } else { 288 * MIB };
    Recorder::over(Contents::new(fat::volume(size, sector, "FLIPSLOT", 7, &files).unwrap()))
}

fn files(recorder: &Recorder) -> BootFiles {
    let partition = BootPartition::on(Box::new(recorder.clone()), 0);
    BootFiles::new(partition).unwrap().expect("the state block is there")
}

/// Calls `check` with the boot partition that each power cut leaves.
fn at_each_cut(recorder: &Recorder, mut check: impl FnMut(&Cut, &BootFiles)) {
    let recording = recorder.recording();
    let mut cuts = 0;
    for cut in recording.cuts() {
        check(&cut, &files(&Recorder::over(recording.after(&cut))));
        cuts += 1;
    }
    assert!(cuts > recording.effects.len(), "the cut after each effect, and torn writes");
}

#[test]
fn a_flash_that_is_cut_leaves_the_old_image_the_new_one_or_none_and_grub_sees_no_half_of_one() {
    let (a, b) = (slot("a"), slot("b"));
    let (old, new) = (image(b, "6.1"), image(b, "6.12"));
    for sector in [512, 4096] {
        let recorder = boot_partition(sector);
        files(&recorder).withdraw(b).unwrap();
        let withdrawn = recorder.recording().effects.len();
        files(&recorder).publish(b, &sealed(&new)).unwrap();
        let mut seen = BTreeMap::new();
        at_each_cut(&recorder, |cut, files| {
            let holding = files.holding(b).unwrap();
            let name = match &holding {
                Holding::Whole(record) if **record == old && cut.effects < withdrawn => "old",
                Holding::Whole(record) if **record == new && cut.effects > withdrawn => "new",
                Holding::Whole(record) => panic!("{cut:?} leaves {record:?}"),
                Holding::Nothing => "nothing",
                Holding::Half => "half",
                Holding::Damaged => "damaged",
            };
            *seen.entry(name).or_insert(0) += 1;
            assert_eq!(files.boots(b).unwrap(), holding.record().is_some(), "GRUB boots half an image: {cut:?}");
            assert_eq!(files.holding(a).unwrap().record(), Some(&image(a, "6.1")), "slot a: {cut:?}");
            assert_eq!(files.state().unwrap(), Copies::Whole(State::first(a)), "{cut:?}");
        });
        assert_eq!(seen.into_keys().collect::<Vec<_>>(), ["half", "new", "old"]);
        assert!(files(&recorder).has_room(b).unwrap());
    }
}

#[test]
fn a_state_that_is_cut_while_it_is_written_is_the_old_one_or_the_new_one() {
    let (a, b) = (slot("a"), slot("b"));
    let first = State::first(a);
    let states = [
        first.trying(b, Terms { confirm: Confirm::Manual, deadline: 604_800 }),
        first.trying(b, Terms::default()).confirmed(b, BootedBy::Firmware, Terms::default()),
        first.confirmed(b, BootedBy::Kexec, Terms::default()),
        State { wanted: slot("z"), proven: slot("z"), tries: 3, before: Some(a), terms: None },
        first,
    ];
    for sector in [512, 4096] {
        let mut before = first;
        let mut recorder = boot_partition(sector);
        for state in states {
            files(&recorder).write_state(state).unwrap();
            at_each_cut(&recorder, |cut, files| match files.state().unwrap() {
                Copies::Whole(found) | Copies::Half(found, _) => {
                    assert!([before, state].contains(&found), "{cut:?} leaves {found:?}");
                }
                Copies::Neither => panic!("{cut:?} leaves no state"),
            });
            before = state;
            recorder = again(&recorder);
        }
    }
}

/// The medium as it is now, with nothing recorded.
fn again(recorder: &Recorder) -> Recorder {
    let recording = recorder.recording();
    let last = recording.cuts().last().unwrap();
    Recorder::over(recording.after(&last))
}

#[test]
fn no_write_to_the_boot_partition_is_outside_of_its_files() {
    let b = slot("b");
    let recorder = boot_partition(512);
    let of = |path: String| -> Vec<(u64, u64)> { fat::extents(&recorder, 0, &path).unwrap().unwrap() };
    let paths = [STATE[0], STATE[1], LEDGER].map(ToOwned::to_owned).into_iter().chain([entry_path(b), record_path(b)]);
    let allowed: Vec<(u64, u64)> = paths.flat_map(of).collect();
    let files = files(&recorder);
    files.write_state(State::first(b)).unwrap();
    files.withdraw(b).unwrap();
    files.publish(b, &sealed(&image(b, "6.12"))).unwrap();
    let mut ledger = Ledger::default();
    ledger.push(Boot::new(b, By::Kexec));
    files.write_ledger(&ledger).unwrap();
    let effects = recorder.recording().effects;
    for effect in &effects {
        let Effect::Write { offset, bytes } = effect else { continue };
        let end = offset + bytes.len() as u64;
        let is_within = allowed.iter().any(|(start, length)| start <= offset && end <= start + length);
        assert!(is_within, "{offset}..{end} is not in a file that may be written");
    }
    assert_eq!(effects.last(), Some(&Effect::Flush));
    let flushes = effects.iter().filter(|effect| **effect == Effect::Flush).count();
    assert_eq!(flushes, 2 + 3 + 3 + 1, "the parts that must be safe before the next: state, withdraw, publish, ledger");
}

/// A disk of 200 MiB that holds something else.
fn used_disk(table: TableKind) -> (Layout, Recorder) {
    let size = 200 * MIB;
    let request = LayoutRequest {
        size: Bytes(size),
        sector: 512,
        table,
        slots: 1,
        slot_sizes: BTreeMap::new(),
        data: Data::None,
    };
    let bytes = vec![0xaa; usize::try_from(size).unwrap()];
    (Layout::compute(&request).unwrap(), Recorder::over(Contents::new(bytes)))
}

#[test]
fn the_first_mib_of_a_new_disk_is_its_last_effect_flushed_before_and_after() {
    for table in [TableKind::Gpt, TableKind::Mbr] {
        let (layout, recorder) = used_disk(table);
        let disk = DiskWriter::on(Box::new(recorder.clone()), Path::new("disk"), Ground::Used);
        let whole = Region { number: 0, start: 0, size: layout.size };
        disk.zero_ends(&std::iter::once(whole).chain(layout.partitions()).collect::<Vec<_>>()).unwrap();
        let withdrawn = recorder.recording().effects.len();
        disk.write_region(layout.core, &[0xc0; 2048]).unwrap();
        disk.write_region(layout.boot, &[0xb0; 8192]).unwrap();
        let written = recorder.recording().effects.len();
        let ids = flipslot::disk::table::ids::Ids::new(&layout, &Origin::Fresh);
        let mut last = ids.table(&layout).unwrap();
        last.push(Run { offset: 0, bytes: vec![0xb0; 440] });
        disk.write_ends(last).unwrap();
        let effects = recorder.recording().effects;
        assert_eq!(effects[withdrawn - 1], Effect::Flush, "nothing boots before anything else is written");
        assert!(matches!(&effects[0], Effect::Write { offset: 0, bytes } if bytes == &vec![0; 1 << 20]));
        let is_core = |offset: u64| (layout.core.start..layout.core.start + layout.core.size).contains(&offset);
        let of_first_mib = |effect: &Effect| matches!(effect, Effect::Write { offset, .. } if *offset < MIB);
        assert!(effects[withdrawn..written].iter().all(|effect| match effect {
            Effect::Write { offset, .. } => *offset >= MIB || is_core(*offset),
            Effect::Flush => true,
        }));
        let first = written + effects[written..].iter().position(of_first_mib).unwrap();
        assert_eq!(effects[first - 1], Effect::Flush, "all else is safe by then: {table}");
        let (end, head) = effects[first..].split_last().unwrap();
        assert!(head.iter().all(of_first_mib), "nothing else is written after the first MiB has begun: {table}");
        assert_eq!(*end, Effect::Flush);
    }
}

#[test]
fn a_new_file_gets_no_page_of_zeros_that_it_has_anyway() {
    let recorder = Recorder::over(Contents::new(vec![0; usize::try_from(4 * MIB).unwrap()]));
    let file = DiskWriter::on(Box::new(recorder.clone()), Path::new("disk"), Ground::Zeros);
    let mut bytes = vec![0; 3 * 4096];
    bytes[5000] = 1;
    file.write_at(MIB, &bytes).unwrap();
    assert_eq!(recorder.recording().effects, [Effect::Write { offset: MIB + 4096, bytes: bytes[4096..8192].to_vec() }]);
    assert!(file.write_region(Region { number: 1, start: 0, size: 4096 }, &bytes).is_err(), "it does not fit");
    let mut read = [0; 1];
    recorder.read_exact_at(&mut read, MIB + 5000).unwrap();
    assert_eq!(read, [1]);
}
