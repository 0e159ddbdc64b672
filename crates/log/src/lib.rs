//! The data path: segment format, write, read and cache, collect garbage
