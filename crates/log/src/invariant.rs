//! Where the process ends when its own rules are broken.

use std::fmt;

/// Ends the process: what should hold for ever does not, and going on could acknowledge or serve wrong data. Prints
/// the rule and the values. Restarting is safe, since nothing is kept here that the log does not hold; the same end
/// after a restart means that the log itself is damaged, and is meant to be seen by a person.
pub(crate) fn broken(rule: &str, values: fmt::Arguments<'_>) -> ! {
    tracing::error!(rule, %values, "invariant broken; the process ends");
    eprintln!("frazil: invariant broken: {rule}: {values}");
    std::process::abort()
}
