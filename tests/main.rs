//! Everything that needs no VM. Most of it needs root, and says so instead of passing without.

mod cli;
mod layers;
mod support;
