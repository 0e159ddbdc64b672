//! The floor: what this machine allows, without anything that makes a log a log.

pub mod bucket;
pub mod disk;
pub mod server;
