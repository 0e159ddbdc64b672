//! One file per command: its arguments and what it does.

pub mod bench;
pub mod cluster;
pub mod completion;
pub mod config;
pub mod consume;
pub mod dev;
pub mod group;
pub mod health;
pub mod produce;
pub mod server;
pub mod storage;
mod tally;
pub mod topic;
pub mod txn;

use crate::client::Found;

/// What was found; says on standard error what may be missing, because a broker did not answer.
fn found<T>(found: Found<T>, what: &str) -> Vec<T> {
    for (node, error) in found.silent {
        eprintln!("warning: broker {} did not tell its {what}: {error}", node.id);
    }
    found.all
}
