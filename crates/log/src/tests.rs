//! The data path over engines and stores in memory, under paused time.

mod path;
mod world;
