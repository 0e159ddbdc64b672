//! Looking into a store from outside, without a broker: `inspect` explains one object, `verify` proves all of them
//! against the metadata. Nothing is written, locked or claimed.

pub mod inspect;
mod vault;
pub mod verify;

pub use vault::{Vault, VaultError};
