//! Engines
