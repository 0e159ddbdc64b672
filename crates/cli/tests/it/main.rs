//! A broker in this process over its own client, and the built binary as a user runs it.

mod binary;
mod embedded;
