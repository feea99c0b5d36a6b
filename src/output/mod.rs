//! What commands print: documents for people and as JSON.

pub mod checked;
pub mod clone_plan;
pub mod cloned;
pub mod plan;
pub mod preview;
pub mod print;
pub mod status;
pub mod status_text;
pub mod written;
