//! Nobody confirms the trial.

use super::ends_on_a;

#[test]
fn a_trial_that_nobody_confirms_ends_on_the_slot_that_worked() {
    let switch = "flipslot switch --slot b --by kexec --confirm manual --deadline 75s";
    ends_on_a("deadline", |_| {}, switch, "it was not confirmed within 75 s");
}
