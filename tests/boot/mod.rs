//! What boots next, in every order of events that a machine can live through.

mod machine;
mod model;
