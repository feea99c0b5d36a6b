//! Layers: what they may do to a slot, and what they may never do.
