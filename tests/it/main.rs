//! Tests of the whole. One program, because each that links all crates costs seconds to build.

mod broker_client;
mod chaos;
mod clients;
mod commands;
mod crash_points;
mod documents;
mod group_codes;
mod hostile_decode;
mod oracle;
mod outages;
mod promises;
mod retention;
mod simulation;
mod site;
mod store_minio;
mod walls;

/// As in the binary `frazil`: decoding hostile counts must be tried under the allocator that the broker has.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;
