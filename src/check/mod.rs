//! Predicts from a slot's files whether it would come up on a machine, before anything boots.
//!
//! [`table::RULES`] lists the rules. A rule examines a [`Subject`]: a slot's files, the machine, the disk.
//! The findings of all rules make up a [`Report`].

pub mod choice;
pub mod mend;
pub mod report;
pub mod rule;
pub mod rules;
pub mod subject;
pub mod surroundings;
pub mod table;
pub mod units;

pub use report::Report;
pub use rule::Policy;
pub use subject::Subject;
