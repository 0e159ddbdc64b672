//! The broker from outside: requests over TCP against brokers in this process.

mod administration;
mod cluster;
mod configs;
mod connections;
mod fetching;
mod groups;
mod hostile;
mod metadata;
mod producing;
mod topics;
mod transactions;
mod world;
