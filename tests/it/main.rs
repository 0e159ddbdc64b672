//! it

mod hostile_decode;
mod store_minio;
