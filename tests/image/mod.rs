//! `image`: the root of an image as one file.

mod random;
mod written;
