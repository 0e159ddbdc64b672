//! What commands do with groups, apart from asking the broker: which partitions are meant, and where a reset leads.

pub mod reset;
pub mod scope;
