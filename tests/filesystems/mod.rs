//! Filesystems in files, made by their own programs: what flipslot reads of them, and what GRUB
//! says to the same bytes. The GRUB is the one that is installed.

use crate::support::disk::content_hash;
use crate::support::program::{Run, ended, tool};
use flipslot::disk::new::target::{Existing, Target};
use flipslot::filesystem::feature_table::Version;
use flipslot::filesystem::features::Features;
use flipslot::filesystem::kind::Filesystem;
use flipslot::filesystem::mkfs::{MkfsOptions, New};
use flipslot::forms::disk::grub_programs as image;
use flipslot::mount::vacant::{Ground, Vacant};
use flipslot::words::region::{Geometry, Region};
use flipslot::words::units::Bytes;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Newer than the newest GRUB that the tables know.
const ANY_GRUB: Version = (99, 0);
/// Large enough for every filesystem here.
const SIZE: u64 = 320 << 20;

/// A folder with a file of zeros, in which a filesystem with the file `hello` will be.
struct Bench(tempfile::TempDir);

impl Bench {
    fn new() -> Bench {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("tree")).unwrap();
        fs::write(folder.path().join("tree/hello"), "hello\n").unwrap();
        let file = folder.path().join("tree/hello");
        // mkfs.xfs(8), "-p": boot file, sizes, the root directory and what is in it.
        let proto = format!("/boot\n0 0\nd--755 0 0\nhello ---644 0 0 {}\n$\n", file.display());
        fs::write(folder.path().join("proto"), proto).unwrap();
        Bench(folder)
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_string_lossy().into_owned()
    }

    fn image(&self) -> PathBuf {
        let path = self.0.path().join("image");
        File::create(&path).unwrap().set_len(SIZE).unwrap();
        path
    }

    fn ext4(&self, features: &str) -> PathBuf {
        let (image, tree) = (self.image(), self.path("tree"));
        let features = format!("none,extent,64bit,filetype,ext_attr,{features}");
        let image_path = image.to_string_lossy();
        tool("mke2fs", &["-q", "-F", "-t", "ext4", "-b", "4096", "-d", &tree, "-O", &features, &image_path]);
        image
    }

    fn xfs(&self, options: &[&str]) -> PathBuf {
        let (image, proto) = (self.image(), self.path("proto"));
        tool("mkfs.xfs", &[&["-q", "-f", "-p", &proto], options, &[&image.to_string_lossy()]].concat());
        image
    }

    fn btrfs(&self, options: &[&str]) -> PathBuf {
        let (image, tree) = (self.image(), self.path("tree"));
        tool("mkfs.btrfs", &[&["-q", "-f", "--rootdir", &tree], options, &[&image.to_string_lossy()]].concat());
        image
    }

    /// A directory to mount something on.
    fn place(&self, name: &str) -> PathBuf {
        fs::create_dir(self.path(name)).unwrap();
        PathBuf::from(self.path(name))
    }

    /// A disk file that is one partition, as it is made for slots.
    fn claimed(&self, size: u64, ground: Ground) -> (Target, Vacant) {
        let geometry = Geometry { size: Bytes(size), sector: 512 };
        let mut target = Target::of_file(&self.own_path(), geometry, Existing::Replace).unwrap();
        if ground == Ground::Used {
            target.write_zeros();
        }
        let vacant = target.vacant(Region { number: 1, start: 0, size }).unwrap();
        assert_eq!(vacant.ground(), ground);
        (target, vacant)
    }

    fn own_path(&self) -> PathBuf {
        self.0.path().join("slot.img")
    }

    /// What flipslot makes in a new image, with a user's words.
    fn own(&self, filesystem: Filesystem, words: &str, ground: Ground) -> PathBuf {
        let (target, vacant) = self.claimed(SIZE, ground);
        filesystem.format(vacant, &new(&words.parse().unwrap())).unwrap();
        target.finish().publish().unwrap();
        self.own_path()
    }
}

/// A new filesystem for a slot, with a user's words.
fn new(options: &MkfsOptions) -> New<'_> {
    New { label: "slot-a", uuid: uuid::Uuid::new_v4(), options, epoch: None, kernel: None }
}

/// What GRUB's own reader makes of `hello` in a filesystem.
fn grub_reads(image: &Path) -> Result<(), Run> {
    grub_reads_as(image, "hello", b"hello\n")
}

/// The same of another file.
#[allow(clippy::disallowed_methods)] // tests start programs by themselves
fn grub_reads_as(image: &Path, name: &str, bytes: &[u8]) -> Result<(), Run> {
    let read = tempfile::NamedTempFile::new().unwrap();
    let mut reader = std::process::Command::new("grub-fstest");
    let run = ended(reader.arg(image).arg("cp").arg(format!("(loop0)/{name}")).arg(read.path()));
    if run.code == 0 && fs::read(read.path()).unwrap() == bytes { Ok(()) } else { Err(run) }
}

/// Fails unless the filesystem has the feature, and the table's word for this machine's GRUB is what
/// GRUB does. A distribution may have put a newer reader into it; then the table has a newer GRUB
/// that reads it.
fn must_have(image: &Path, feature: &str) {
    let features = Features::read(image).unwrap().expect("a filesystem that is known");
    assert!(features.names().contains(&feature), "{feature}: {features:?}");
    assert_eq!(features.too_new_for_kernel("6.16.0"), Vec::<&str>::new(), "{feature} is known");
    match grub_reads(image) {
        Ok(()) => assert_eq!(features.unread_by_grub(ANY_GRUB), Vec::<&str>::new(), "GRUB reads {feature}"),
        Err(run) => {
            let installed = image::version().expect("grub-mkimage says its version");
            assert_ne!(features.unread_by_grub(installed), Vec::<&str>::new(), "{feature}: {run:?}");
        }
    }
}

#[test]
fn f6_every_feature_that_mke2fs_makes_is_known_and_grub_does_what_the_table_says() {
    let bench = Bench::new();
    for features in [
        "has_journal,sparse_super,resize_inode,dir_index",
        "sparse_super2",
        "has_journal,fast_commit",
        "stable_inodes",
        "has_journal,orphan_file",
        "sparse_super,large_file,huge_file,dir_nlink,extra_isize",
        "uninit_bg",
        "quota",
        "quota,project",
        "bigalloc",
        "metadata_csum",
        "verity",
        "meta_bg",
        "mmp",
        "flex_bg",
        "ea_inode",
        "metadata_csum,metadata_csum_seed",
        "large_dir",
        "inline_data",
        "encrypt",
        "casefold",
    ] {
        let image = bench.ext4(features);
        features.split(',').for_each(|feature| must_have(&image, feature));
        // dumpe2fs, who made them, names the same ones and no others.
        let printed = tool("dumpe2fs", &["-h", &image.to_string_lossy()]);
        let line = printed.lines().find_map(|line| line.strip_prefix("Filesystem features:")).expect("features");
        let mut theirs: Vec<&str> = line.split_whitespace().collect();
        let found = Features::read(&image).unwrap().unwrap();
        let mut ours = found.names();
        theirs.sort_unstable();
        ours.sort_unstable();
        assert_eq!(ours, theirs);
    }
}

#[test]
fn f6_every_feature_that_mkfs_xfs_makes_is_known_and_grub_does_what_the_table_says() {
    let bench = Bench::new();
    for (options, feature) in [
        (&["-m", "finobt=1"][..], "finobt"),
        (&["-m", "rmapbt=1"], "rmapbt"),
        (&["-m", "reflink=1"], "reflink"),
        (&["-m", "inobtcount=1"], "inobtcount"),
        (&["-m", "bigtime=1"], "bigtime"),
        (&["-i", "sparse=1"], "sparse"),
        (&["-i", "nrext64=1"], "nrext64"),
        (&["-n", "ftype=1"], "ftype"),
        (&["-m", "crc=1"], "crc"),
        (&["-m", "crc=0"], "crc=0"),
        (&["-m", "crc=0", "-n", "version=ci"], "version=ci"),
    ] {
        must_have(&bench.xfs(options), feature);
    }
    let image = bench.xfs(&[]);
    tool("xfs_admin", &["-U", "generate", &image.to_string_lossy()]);
    must_have(&image, "meta_uuid");
}

#[test]
fn f6_what_flipslot_makes_is_read_by_kernels_and_grubs_of_ten_years() {
    let bench = Bench::new();
    let make = |filesystem: Filesystem, words: &str| {
        Features::read(&bench.own(filesystem, words, Ground::Used)).unwrap().unwrap()
    };
    let (ext4, xfs) = (make(Filesystem::Ext4, ""), make(Filesystem::Xfs, ""));
    let btrfs = make(Filesystem::Btrfs, "");
    assert_eq!((ext4.of, xfs.of, btrfs.of), (Filesystem::Ext4, Filesystem::Xfs, Filesystem::Btrfs));
    assert_eq!(ext4.too_new_for_kernel("3.18.0"), Vec::<&str>::new());
    assert_eq!(xfs.names(), ["crc", "finobt", "reflink", "ftype", "sparse"]);
    assert_eq!(xfs.too_new_for_kernel("4.9.0-19-amd64"), Vec::<&str>::new());
    let of_tree = ["free-space-tree", "free-space-tree-valid"];
    let of_blocks = ["mixed-backref", "extref", "skinny-metadata", "crc32c"];
    // What each says to itself of blocks that are larger than pages: newer programs, else the kernel.
    let names: Vec<&str> = btrfs.names().into_iter().filter(|name| *name != "big-metadata").collect();
    assert_eq!(names, [&of_tree[..], &of_blocks].concat());
    assert_eq!(btrfs.too_new_for_kernel("4.9.0-19-amd64"), Vec::<&str>::new());
    for features in [&ext4, &xfs, &btrfs] {
        assert_eq!(features.unread_by_grub((2, 4)), Vec::<&str>::new());
    }
    let more = make(Filesystem::Ext4, "-O orphan_file,^dir_index -E stride=4");
    let of_ext4: Vec<&str> = ext4.names().into_iter().filter(|name| *name != "dir_index").collect();
    let of_more: Vec<&str> = more.names().into_iter().filter(|name| *name != "orphan_file").collect();
    assert_eq!(of_more, of_ext4, "the user's features are added to ours");
    assert_eq!(more.too_new_for_kernel("5.10.0-32-amd64"), ["orphan_file"]);
    assert_eq!(make(Filesystem::Xfs, "-i nrext64=1").unread_by_grub((2, 6)), ["nrext64"]);
    assert_eq!(make(Filesystem::Btrfs, "-O no-holes").unread_by_grub((2, 6)), ["no-holes"]);
    assert_eq!(make(Filesystem::Btrfs, "--csum=xxhash").too_new_for_kernel("5.4"), ["xxhash64"]);
}

#[test]
fn f6_every_feature_that_mkfs_btrfs_makes_is_known_and_grub_does_what_the_table_says() {
    let bench = Bench::new();
    for (options, feature) in [
        (&["-O", "extref"][..], "extref"),
        (&["-O", "skinny-metadata"], "skinny-metadata"),
        (&["-O", "no-holes"], "no-holes"),
        (&["-O", "mixed-bg", "-n", "4096", "-m", "single", "-d", "single"], "mixed-bg"),
        (&["--csum", "xxhash"], "xxhash64"),
        (&["--csum", "sha256"], "sha256"),
        (&["--csum", "blake2"], "blake2b"),
    ] {
        must_have(&bench.btrfs(options), feature);
    }
    let image = bench.btrfs(&["-O", "^no-holes"]);
    tool("btrfstune", &["-m", &image.to_string_lossy()]);
    must_have(&image, "metadata-uuid");
    // Who made them names the same ones and no others.
    let printed = tool("btrfs", &["inspect-internal", "dump-super", &image.to_string_lossy()]);
    let flags = printed.lines().filter(|line| line.ends_with([')', '|'])).filter(|line| line.starts_with('\t'));
    let mut theirs: Vec<String> = flags
        .map(|line| line.trim_matches(|c: char| !c.is_ascii_alphanumeric()).to_lowercase().replace('_', "-"))
        .filter(|name| name != "written")
        .map(|name| if name == "extended-iref" { "extref".to_owned() } else { name })
        .chain(["crc32c".to_owned()])
        .collect();
    let found = Features::read(&image).unwrap().unwrap();
    let mut ours = found.names();
    theirs.sort_unstable();
    ours.sort_unstable();
    assert_eq!(ours, theirs, "{printed}");
}

#[test]
fn f6_a_file_with_a_hole_is_read_by_grub_from_a_slot_with_btrfs() {
    let bench = Bench::new();
    // As mkfs.btrfs makes it by itself since 5.15, GRUB before 2.12 says "extent not found".
    for (words, name) in [("", "own"), ("-O no-holes", "no-holes")] {
        let image = bench.own(Filesystem::Btrfs, words, Ground::Zeros);
        let device = Device::over(&image);
        let written = Filesystem::Btrfs.mount_to_write(Path::new(&device.0), &bench.place(name)).unwrap();
        let mut bytes = [7; 16384];
        bytes[4096..12288].fill(0);
        let file = File::create(written.mount_point().join("kernel")).unwrap();
        file.write_all_at(&bytes[..4096], 0).unwrap();
        file.write_all_at(&bytes[12288..], 12288).unwrap();
        drop(file);
        written.close().unwrap();
        drop(device);
        let is_read = grub_reads_as(&image, "kernel", &bytes);
        let features = Features::read(&image).unwrap().unwrap();
        assert!(features.names().contains(&"big-metadata"), "the kernel has seen that blocks are larger than pages");
        assert_eq!(features.too_new_for_kernel("4.9"), Vec::<&str>::new());
        let installed = image::version().expect("grub-mkimage says its version");
        let may_fail = name == "no-holes" && !features.unread_by_grub(installed).is_empty();
        assert!(is_read.is_ok() || may_fail, "{name}: {is_read:?}");
    }
}

#[test]
fn the_smallest_slot_with_btrfs_is_the_smallest_that_its_program_makes() {
    let bench = Bench::new();
    let none = MkfsOptions::default();
    let smallest = Filesystem::Btrfs.smallest().0;
    let (_target, vacant) = bench.claimed(smallest, Ground::Used);
    let device = Filesystem::Btrfs.format(vacant, &new(&none)).unwrap();
    Filesystem::Btrfs.check(device.path()).unwrap();
    let written = Filesystem::Btrfs.mount_to_write(device.path(), &bench.place("small")).unwrap();
    fs::write(written.mount_point().join("bulk"), vec![1; 24 << 20]).unwrap();
    written.close().unwrap();
    // A process that another test starts at this moment has our mounts until it has namespaces of its own.
    let begin = Instant::now();
    while let Err(error) = Filesystem::Btrfs.check(device.path()) {
        let is_busy = format!("{error:#}").contains("busy") && begin.elapsed() < Duration::from_secs(60);
        assert!(is_busy, "{error:#}");
        std::thread::sleep(Duration::from_millis(20));
    }
    let (_target, vacant) = bench.claimed(smallest - (1 << 20), Ground::Used);
    let error = Filesystem::Btrfs.format(vacant, &new(&none)).err().unwrap();
    assert!(format!("{error:#}").contains("minimum size"), "{error:#}");
}

#[test]
fn one_filesystem_over_another_leaves_nothing_of_it_that_blkid_or_flipslot_takes_for_it() {
    let bench = Bench::new();
    let (none, kinds) = (MkfsOptions::default(), [Filesystem::Ext4, Filesystem::Xfs, Filesystem::Btrfs]);
    let (_target, mut vacant) = bench.claimed(SIZE, Ground::Used);
    for (before, after) in kinds.iter().flat_map(|before| kinds.map(|after| (*before, after))) {
        let device = before.format(vacant, &new(&none)).unwrap();
        let device = after.format(device.vacate(), &new(&none)).unwrap();
        let found = Features::read(device.path()).unwrap().unwrap().of;
        assert_eq!(format!("{found:?}").to_lowercase(), after.to_string(), "over {before}");
        let path = device.path().to_string_lossy();
        let probed = tool("blkid", &["--probe", "--output=export", &path]);
        assert!(probed.contains(&format!("TYPE={after}\n")), "{after} over {before}: {probed}");
        let wiped = tool("wipefs", &["--noheadings", "--output=TYPE", &path]);
        assert_eq!(wiped.trim(), after.to_string(), "{after} over {before}");
        vacant = device.vacate();
    }
}

/// A loop device over a file, until it is dropped.
struct Device(String);

impl Device {
    fn over(file: &Path) -> Device {
        Device(tool("losetup", &["--find", "--show", &file.to_string_lossy()]).trim().to_owned())
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        tool("losetup", &["--detach", &self.0]);
    }
}

#[test]
fn f14_a_copy_of_a_mounted_root_is_read_without_its_journal_and_not_changed() {
    // No second btrfs with the UUID of one that is mounted: before Linux 6.7 never, and since then not where
    // the device is known for another one. tests/cli/btrfs.rs looks into a slot with btrfs.
    for filesystem in [Filesystem::Ext4, Filesystem::Xfs] {
        let bench = Bench::new();
        let image = bench.own(filesystem, "", Ground::Zeros);
        let place = |name: &str| bench.place(name);
        let device = Device::over(&image);
        let written = filesystem.mount_to_write(Path::new(&device.0), &place("written")).unwrap();
        fs::write(written.mount_point().join("old"), "old").unwrap();
        written.close().unwrap();
        let written = filesystem.mount_to_write(Path::new(&device.0), &place("again")).unwrap();
        // In the journal, or in btrfs' log, and nowhere else yet.
        fs::write(written.mount_point().join("new"), "new").unwrap();
        File::open(written.mount_point().join("new")).unwrap().sync_all().unwrap();

        // As after a power cut, and with the UUID of what is mounted.
        let copy = bench.path("copy");
        tool("cp", &[&image.to_string_lossy(), &copy]);
        let digest = || content_hash(Path::new(&copy));
        let before = digest();
        let copied = Device::over(Path::new(&copy));
        let read = filesystem.mount_as_grub_reads(Path::new(&copied.0), &place("read")).unwrap();
        assert_eq!(fs::read_to_string(read.mount_point().join("old")).unwrap(), "old", "{filesystem}");
        assert!(!read.mount_point().join("new").exists(), "{filesystem}: the journal was replayed");
        read.close().unwrap();
        drop(copied);
        assert_eq!(digest(), before, "{filesystem}: reading it wrote to it");

        written.close().unwrap();
        filesystem.check(Path::new(&device.0)).unwrap();
        drop(device);
    }
}
