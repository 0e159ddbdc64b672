//! Coordinators over one log in memory, without a network and with paused time.

mod commits;
mod consumer_protocol;
mod consumers;
mod roles;
mod scale;
mod tools;
mod world;
