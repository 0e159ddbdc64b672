//! The Kafka server: connections, one file per API.
//!
//! A connection (`connection`) reads frames within a budget of bytes, hands produce requests to the log one after the
//! other without waiting for them, handles everything else in turn, and answers in the order of the requests. The
//! APIs are files of their own (`api`); none of them decides anything that the metadata log decides. Errors of other crates become
//! Kafka's codes in one place (`error_code`), settings stand in one table (`config`). Consumer groups (`group`) are kept
//! in memory by the broker that coordinates them, and recorded when anything about them has to last.
//!
//! The broker keeps nothing: it can be stopped, killed and started anywhere, and holds only connections.

mod api;
mod broker;
mod budget;
mod config;
mod connection;
mod error_code;
mod features;
mod group;
mod metrics;
mod node;
mod retention;
mod scram;
mod settings;
mod stopping;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod topic_name;
mod transaction;
mod zone;

#[cfg(test)]
mod tests;

pub use broker::Broker;
pub use config::WITHOUT_EFFECT;
pub use settings::BrokerSettings;
