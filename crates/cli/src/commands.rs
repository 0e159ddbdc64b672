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
