//! A store and its metadata log, opened to be read only.

use crate::server::JOURNAL_DIRECTORY;
use crate::settings::StoreUrl;
use bytes::Bytes;
use frazil_base::{Env, Seq};
use frazil_meta::engine::inspect;
use frazil_store::{Key, ObjectMeta, ObjectStorage, RetryPolicy, StoreError};
use std::path::{Path, PathBuf};
use std::sync::Arc;

const PAGE: usize = 1000;
const ATTEMPTS: u32 = 4;
/// First bytes of a log object that nearly always hold its record.
const HEAD_BYTES: u64 = 16 << 10;

/// Why a store cannot be looked into.
#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    /// Its URL names no usable store.
    #[error("the store cannot be opened")]
    Open(#[from] frazil_store::OpenError),
    /// There is no such directory.
    #[error("there is no directory {}", .0.display())]
    NoDirectory(PathBuf),
    /// A request failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file of the journal cannot be read.
    #[error("{} cannot be read", path.display())]
    Journal {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// The store, and the journal beside it on a local directory.
#[derive(Debug)]
pub struct Vault {
    /// The store.
    pub store: Arc<dyn ObjectStorage>,
    /// The journal's directory; `None` where the log's entries are objects.
    pub journal: Option<PathBuf>,
}

impl Vault {
    /// Opens a store to read it. Nothing is made that is missing.
    pub async fn open(url: &StoreUrl) -> Result<Vault, VaultError> {
        let directory = url.directory();
        if let Some(missing) = directory.as_ref().filter(|directory| !directory.is_dir()) {
            return Err(VaultError::NoDirectory(missing.clone()));
        }
        let env = Env::system();
        let options = frazil_store::Options { create_bucket: false, ..frazil_store::Options::new(env.clone()) };
        let bare = frazil_store::open(url.expose().as_str(), options).await?;
        let mut unread = frazil_console::Registry::default();
        let store = frazil_store::decorate(bare, &env, RetryPolicy::bounded(ATTEMPTS), &mut unread).storage;
        Ok(Vault { store, journal: directory.map(|directory| directory.join(JOURNAL_DIRECTORY)) })
    }

    /// All objects below a prefix, by key.
    pub async fn list(&self, prefix: &str) -> Result<Vec<ObjectMeta>, VaultError> {
        let (mut objects, mut after) = (Vec::new(), None);
        loop {
            let page = self.store.list(prefix, after.as_ref(), PAGE).await?;
            let is_last = page.len() < PAGE;
            after = page.last().map(|object| object.key.clone());
            objects.extend(page);
            if is_last {
                return Ok(objects);
            }
        }
    }

    /// A whole object; `None` if there is none.
    pub async fn get(&self, key: &Key) -> Result<Option<Bytes>, VaultError> {
        match self.store.get(key, None).await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(StoreError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Envelope and record of a log object, without its body; `None` if there is no object, or it is no log entry.
    pub async fn log_head(&self, key: &Key) -> Result<Option<inspect::SeenObject>, VaultError> {
        let start = match self.store.get(key, Some(0..HEAD_BYTES)).await {
            Ok(start) => start,
            Err(StoreError::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let Some(needed) = inspect::head_bytes_of(&start) else { return Ok(None) };
        let head = match needed > start.len() as u64 {
            true => self.store.get(key, Some(0..needed)).await?,
            false => start.slice(..needed as usize),
        };
        Ok(inspect::object(&head))
    }

    /// The journal's chunks: first entry and file, ascending.
    pub fn chunks(&self) -> Result<Vec<(Seq, PathBuf)>, VaultError> {
        let Some(directory) = &self.journal else { return Ok(Vec::new()) };
        let failed = |source| VaultError::Journal { path: directory.clone(), source };
        let mut chunks = Vec::new();
        for file in std::fs::read_dir(directory).map_err(failed)? {
            let path = file.map_err(failed)?.path();
            if let Some(first) = chunk_first(&path) {
                chunks.push((first, path));
            }
        }
        chunks.sort();
        Ok(chunks)
    }

    /// A chunk's file.
    pub fn read_chunk(path: &Path) -> Result<Bytes, VaultError> {
        let failed = |source| VaultError::Journal { path: path.to_path_buf(), source };
        std::fs::read(path).map(Bytes::from).map_err(failed)
    }
}

/// The number in a chunk's name.
fn chunk_first(path: &Path) -> Option<Seq> {
    let name = path.file_name()?.to_str()?;
    name.strip_suffix(".chunk").filter(|digits| digits.len() == 20)?.parse().ok().map(Seq)
}

/// The name of a log object.
pub fn log_key(seq: Seq) -> Key {
    Key::new(format!("{}{:020}", inspect::OBJECT_PREFIX, seq.0))
}

/// The number in a log object's name.
pub fn log_number(key: &Key) -> Option<Seq> {
    let digits = key.as_str().strip_prefix(inspect::OBJECT_PREFIX)?;
    (digits.len() == 20).then(|| digits.parse().ok().map(Seq)).flatten()
}
