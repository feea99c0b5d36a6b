//! Fixtures that several tests use.
