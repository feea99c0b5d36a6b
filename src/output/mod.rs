//! Documents that commands print, for people and as JSON.

pub mod checked;
pub mod clone_plan;
pub mod cloned;
pub mod document;
pub mod fixes;
pub mod live_status;
pub mod netboot;
pub mod plan;
pub mod plan_file;
pub mod plan_text;
pub mod planned_partition;
pub mod preview;
pub mod print;
pub mod root_file;
pub mod status;
pub mod status_text;
pub mod written;
