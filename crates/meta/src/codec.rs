//! Varints and checked reads for records and snapshots.
