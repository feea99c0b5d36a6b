//! `flipslot cleanup`: what an interrupted run left behind, and what a power cut tore.

use crate::disk::Disk;
use crate::disk::boot_files::Holding;
use crate::disk::boot_partition::Access;
use crate::error::Result;
use crate::jump::leftovers;

/// Removes it. Mounts and loop devices of a killed run are gone already: the kernel removes them.
pub fn run() -> Result<()> {
    let disk = Disk::open(None, Access::Change)?; // mends the state block
    let removed = leftovers::remove();
    for what in &removed {
        println!("removed {what}");
    }
    for slot in disk.table.slots.keys() {
        match disk.files.holding(*slot)? {
            Holding::Half => println!("slot {slot} is half written and cannot boot: flash it again"),
            Holding::Damaged => println!("slot {slot} is damaged and cannot boot: flash it again"),
            Holding::Nothing | Holding::Image(_) => {}
        }
    }
    if removed.is_empty() {
        println!("nothing was left behind");
    }
    Ok(())
}
