//! What `frazil consume` reads and how it prints: offset ranges, format strings, JSON.

pub mod offsets;
pub mod printer;
pub mod template;
