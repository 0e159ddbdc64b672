//! A broker in this process over its own client, and the built binary as a user runs it.

// Helpers of tests are tests.
#![allow(clippy::unwrap_used)]

mod binary;
mod embedded;
