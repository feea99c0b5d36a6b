//! Machines that boot: every scenario is a file, and its evidence is the serial log.
//!
//! Needs root, QEMU, OVMF and the packages that `make test` installs. Logs of every run are left
//! in `vm/logs/`; a failure names the step and the log.

mod accelerator;
mod bus;
mod disks;
mod images;
mod inventories;
mod lan;
mod machine;
mod registry;
mod saved;
mod scenarios;
mod setup;
