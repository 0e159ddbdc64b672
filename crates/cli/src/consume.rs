//! What `frazil consume` reads and how it prints: offset ranges and format strings.

pub mod offsets;
pub mod template;
