//! The forms that a bootable root takes: one folder or file per form, each with its last effect marked.
//!
//! [`slot`] fills a partition; [`disk`] makes a disk of several; [`keep_data`] writes slots of a disk that is there;
//! [`image`] writes one file; [`netboot`] a folder for machines that boot by PXE.

pub mod disk;
pub mod image;
pub mod keep_data;
pub mod netboot;
pub mod slot;
