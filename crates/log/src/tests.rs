//! The data path over engines and stores in memory, under paused time.

mod chaos;
mod cluster;
mod crash;
mod fetching;
mod limits;
mod path;
mod retention;
mod storage;
mod time;
mod transactions;
mod world;
