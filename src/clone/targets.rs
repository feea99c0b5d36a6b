//! Claims the disks that become copies: all of them are examined before any is written.

use crate::clone::golden::Master;
use crate::clone::source::{Source, is_same};
use crate::clone::writer::Sink;
use crate::disk::new::target::{Target, geometry_of};
use crate::disk::which::identity;
use crate::error::{Result, refused, usage};
use crate::publish::format::Format;
use crate::words::region::Geometry;
use crate::words::units::{Bytes, MIB};
use rustix::fs::{FileType, stat};
use std::fs;
use std::path::{Path, PathBuf};

/// A disk that was claimed to become a copy.
pub struct Claimed {
    /// Path as the user wrote it.
    pub path: PathBuf,
    /// Serial number that the disk reports; a disk file has none.
    pub serial: Option<String>,
    /// Its size in bytes.
    pub size: u64,
    /// The disk, open for writing.
    pub sink: Sink,
}

impl Claimed {
    /// Returns path, serial number and size, which identify the disk in a report even after `self` was lost.
    pub fn name(&self) -> (PathBuf, Option<String>, u64) {
        (self.path.clone(), self.serial.clone(), self.size)
    }
}

/// A disk that is large enough to become a copy.
pub struct Measured {
    /// Path as the user wrote it.
    pub path: PathBuf,
    /// Size of the disk and of its sectors.
    pub geometry: Geometry,
    is_device: bool,
}

/// Examines every target, and changes none. Disk files get `size` bytes, or the size of the golden disk.
pub fn measure(paths: &[PathBuf], master: Master, size: Option<Bytes>) -> Result<Vec<Measured>> {
    refuse_same(paths, master.source)?;
    paths.iter().map(|path| measure_one(path, master, size)).collect()
}

/// Claims all targets, or none, through `take`, the single place that asks for a target: a disk file or a
/// disk of this geometry, which may be overwritten. Opens each with `open` once all are granted.
pub fn claim<G>(
    targets: Vec<Measured>,
    take: impl Fn(&Path, Geometry) -> Result<G>,
    open: impl Fn(G) -> Result<Target>,
) -> Result<Vec<Claimed>> {
    let granted: Vec<_> = targets.iter().map(|target| take(&target.path, target.geometry)).collect::<Result<_>>()?;
    let claim_one = |(Measured { path, geometry, is_device }, granted): (Measured, G)| {
        let target = open(granted)?;
        let serial = if is_device { identity::serial_of(target.file(), &path.display().to_string())? } else { None };
        let sink = Sink::new(target, &path)?;
        Ok(Claimed { path, serial, size: geometry.size.0, sink })
    };
    targets.into_iter().zip(granted).map(claim_one).collect()
}

/// Returns the size of a disk file for a golden disk of `size` bytes: whole MiBs and no larger, so that the
/// file fits such a disk again, unless that is too small for its partitions.
fn whole_mib(size: u64, smallest: u64) -> Bytes {
    let floor = size / MIB * MIB;
    Bytes(if floor >= smallest { floor } else { floor + MIB })
}

fn measure_one(path: &Path, master: Master, wished: Option<Bytes>) -> Result<Measured> {
    let Master { source, golden } = master;
    let is_device = stat(path).is_ok_and(|found| FileType::from_raw_mode(found.st_mode) == FileType::BlockDevice);
    if !is_device && Format::of(path)? != Format::Raw {
        let found = format!("{} names a format other than raw, but a copy is raw", path.display());
        return Err(usage(found, "name it .raw, and convert it afterwards: qemu-img convert"));
    }
    let asked = if is_device { None } else { Some(wished.unwrap_or(whole_mib(source.size, golden.table.smallest()))) };
    let geometry = geometry_of(path, asked, asked.map(|_| golden.table.sector))?;
    let Geometry { size, sector } = geometry;
    let smallest = golden.table.smallest();
    if size.0 < smallest {
        let found = format!(
            "{} is too small: it has {size}, but the partitions of {} and the table behind them need {}",
            path.display(),
            source.path.display(),
            Bytes(smallest)
        );
        return Err(refused(found, "name a disk that is as large as the golden one"));
    }
    if sector != golden.table.sector {
        let (name, meant) = (path.display(), golden.table.sector);
        let found = format!("{name} has sectors of {sector} bytes, but the golden disk is made for {meant}");
        return Err(refused(found, format!("name disks with sectors of {meant} bytes")));
    }
    let table = golden.table.renewed(&golden.table.fresh_ids(), size.0, golden.first_mib.clone());
    table.map_err(|error| {
        let found = format!("the table of {} cannot be rewritten for a copy: {error:#}", source.path.display());
        refused(found, "fix it first: sgdisk --verify, sfdisk --verify")
    })?;
    Ok(Measured { path: path.to_owned(), geometry, is_device })
}

/// Refuses the golden disk as its own copy, and the same disk twice, under any names.
fn refuse_same(paths: &[PathBuf], source: &Source) -> Result<()> {
    let mut seen = Vec::new();
    for path in paths {
        let name = path.display();
        if seen.iter().any(|(other, _): &(&PathBuf, _)| place_of(other) == place_of(path)) {
            return Err(refused(format!("{name} is named twice"), "name every disk once"));
        }
        let found = stat(path).ok();
        if found.as_ref().is_some_and(|found| source.is(found)) {
            return Err(refused(format!("{name} is the golden disk itself"), "name other disks than the source"));
        }
        let same = |(_, other): &&(&PathBuf, Option<rustix::fs::Stat>)| {
            other.as_ref().zip(found.as_ref()).is_some_and(|(other, found)| is_same(other, found))
        };
        if let Some((other, _)) = seen.iter().find(same) {
            let found = format!("{} and {name} are the same disk", other.display());
            return Err(refused(found, "name every disk once"));
        }
        seen.push((path, found));
    }
    Ok(())
}

/// Returns the canonical form of a path, even if there is no file at the path yet.
fn place_of(path: &Path) -> PathBuf {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::canonicalize(folder).unwrap_or(folder.to_owned()).join(path.file_name().unwrap_or_default())
}
