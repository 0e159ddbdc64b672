//! `frazil storage`: looks into a store and proves it.

use crate::exit::Outcome;

/// What to do with a store.
#[derive(Debug, clap::Subcommand)]
pub enum StorageVerb {}

/// Runs one of the verbs.
pub async fn run(verb: StorageVerb) -> Outcome {
    match verb {}
}
