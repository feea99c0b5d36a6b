//! Whether a slot would come up on a machine, told from its files before anything boots.
//!
//! [`table::RULES`] says what is looked for. A rule looks at a [`Subject`]: a slot's files, the machine,
//! the disk. What all rules find is a [`Report`].

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
