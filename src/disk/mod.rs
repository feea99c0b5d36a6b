//! Disks: which one it is and whether it may be written, its table, a new one, one with slots.
//!
//! Knowledge flows one way here too. The rooms from low to high, each of which uses only those before it:
//! `medium`, `recorder`, `power_cut`, `fat`, `probe`, `table`, `safety`, `which`, `new`, `installed`.

pub mod fat;
pub mod installed;
pub mod medium;
pub mod new;
pub mod power_cut;
pub mod probe;
pub mod recorder;
pub mod safety;
pub mod table;
pub mod which;
