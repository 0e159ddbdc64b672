//! Objects as files of a local directory.
//!
//! A file appears under its name only whole and synced: it is written as a temporary file of the same file system,
//! synced, moved to its name in one step that refuses to replace (put-if-absent) or replaces (put), and then the
//! directory is synced too. Whoever is told that an object exists can rely on it after a power cut, also the loser of
//! a race, who therefore syncs the directory as well.
//!
//! Two keys of which one is a folder of the other (`a` and `a/b`) cannot both exist here; Frazil makes no such keys.
//! Deleting the last file of a folder removes the folder.

use crate::port::{Key, ObjectMeta, ObjectStorage, Operation, Payload, Reason, StoreError};
use async_trait::async_trait;
use bytes::Bytes;
use frazil_base::Env;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, ErrorKind, IoSlice, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

mod listing;
#[cfg(test)]
mod tests;

/// Temporary files live here. No key can have this name.
const TEMPORARY_FOLDER: &str = "+tmp";

/// A temporary file this old was left by a process that died.
const TEMPORARY_MS_MAX: i64 = 24 * 3_600 * 1_000;

/// How often a put makes its folder again when a delete removes it in between.
const FOLDER_RACES_MAX: usize = 100;

/// Keeps objects as files below a root directory. Clones share it.
#[derive(Clone)]
pub struct DirectoryStorage {
    root: Arc<Path>,
    env: Env,
}

impl fmt::Debug for DirectoryStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DirectoryStorage({})", self.root.display())
    }
}

impl DirectoryStorage {
    /// Uses `root`, which is made when missing, and removes temporary files that a dead process left.
    pub fn open(root: &Path, env: Env) -> io::Result<DirectoryStorage> {
        fs::create_dir_all(root)?;
        let root = fs::canonicalize(root)?;
        remove_stale_files(&root.join(TEMPORARY_FOLDER), env.clock.now_ms() - TEMPORARY_MS_MAX);
        Ok(DirectoryStorage { root: root.into(), env })
    }

    /// The directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    fn path(&self, key: &Key) -> PathBuf {
        self.root.join(key.as_str())
    }

    /// Writes `payload` to a temporary file and syncs it. Nothing is visible yet.
    fn stage(&self, payload: &Payload) -> io::Result<Staged> {
        let folder = self.root.join(TEMPORARY_FOLDER);
        let path = folder.join(format!("{:032x}", self.env.entropy.bits128()));
        let create = || File::options().write(true).create_new(true).open(&path);
        let mut file = match create() {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                fs::create_dir_all(&folder)?;
                create()?
            }
            created => created?,
        };
        let staged = Staged { path: Some(path) };
        write_all(&mut file, payload.parts())?;
        file.sync_data()?;
        Ok(staged)
    }

    fn put_blocking(&self, operation: Operation, key: &Key, payload: &Payload) -> Result<(), StoreError> {
        let not_done = |error| failure(operation, key, error, false);
        let mut staged = self.stage(payload).map_err(not_done)?;
        let target = self.path(key);
        let folder = target.parent().expect("a key lies below the root");
        let placed = self.place(&mut staged, operation, &target, folder).map_err(not_done)?;
        sync_folder(folder).map_err(|error| failure(operation, key, error, placed))?;
        if placed { Ok(()) } else { Err(StoreError::AlreadyExists { key: key.clone() }) }
    }

    /// Moves the staged file to its name; false when the name is taken and `operation` must not replace it.
    fn place(&self, staged: &mut Staged, operation: Operation, target: &Path, folder: &Path) -> io::Result<bool> {
        for _ in 0..FOLDER_RACES_MAX {
            let moved = match operation {
                Operation::PutIfAbsent => staged.rename_unless_taken(target),
                _ => staged.rename(target),
            };
            match moved {
                Ok(()) => return Ok(true),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(false),
                Err(error) if error.kind() == ErrorKind::NotFound => create_folders(&self.root, folder)?,
                Err(error) => return Err(error),
            }
        }
        Err(io::Error::other("the folder is removed again and again while the file is put into it"))
    }

    fn get_blocking(&self, key: &Key, range: Option<Range<u64>>) -> Result<Bytes, StoreError> {
        if range.as_ref().is_some_and(|range| range.is_empty()) {
            return Ok(Bytes::new());
        }
        read_part(&self.path(key), range).map_err(|error| match error.kind() {
            ErrorKind::NotFound | ErrorKind::NotADirectory => StoreError::NotFound { key: key.clone() },
            _ => failure(Operation::Get, key, error, false),
        })
    }

    fn delete_blocking(&self, key: &Key) -> Result<(), StoreError> {
        let path = self.path(key);
        match fs::remove_file(&path) {
            Ok(()) => {}
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(()),
            Err(error) => return Err(failure(Operation::Delete, key, error, false)),
        }
        let folder = path.parent().expect("a key lies below the root");
        match sync_folder(folder) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(failure(Operation::Delete, key, error, true)),
            _ => {
                self.remove_empty_folders(folder);
                Ok(())
            }
        }
    }

    /// Removes `folder` and those above it as far as they are empty. Whatever fails is left: it is only tidiness.
    fn remove_empty_folders(&self, folder: &Path) {
        let mut folder = folder;
        while folder != &*self.root && fs::remove_dir(folder).is_ok() {
            folder = folder.parent().expect("a folder of a key lies below the root");
        }
    }
}

/// A temporary file that removes itself unless it got its name.
struct Staged {
    path: Option<PathBuf>,
}

impl Staged {
    fn path(&self) -> &Path {
        self.path.as_deref().expect("a staged file is moved once")
    }

    fn rename(&mut self, target: &Path) -> io::Result<()> {
        fs::rename(self.path(), target)?;
        self.path = None;
        Ok(())
    }

    /// One atomic step: `renameat2(RENAME_NOREPLACE)`, or a hard link where the file system does not know that.
    fn rename_unless_taken(&mut self, target: &Path) -> io::Result<()> {
        use rustix::fs::{CWD, RenameFlags, renameat_with};
        use rustix::io::Errno;
        match renameat_with(CWD, self.path(), CWD, target, RenameFlags::NOREPLACE) {
            Ok(()) => {
                self.path = None;
                Ok(())
            }
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => fs::hard_link(self.path(), target),
            Err(error) => Err(error.into()),
        }
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            let _ = fs::remove_file(path);
        }
    }
}

fn write_all(file: &mut File, parts: &[Bytes]) -> io::Result<()> {
    let mut slices: Vec<IoSlice<'_>> = parts.iter().map(|part| IoSlice::new(part)).collect();
    let mut rest = &mut slices[..];
    IoSlice::advance_slices(&mut rest, 0); // drops empty slices in front
    while !rest.is_empty() {
        match file.write_vectored(rest) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(written) => IoSlice::advance_slices(&mut rest, written),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn read_part(path: &Path, range: Option<Range<u64>>) -> io::Result<Bytes> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let range = range.unwrap_or(0..length);
    let end = range.end.min(length);
    let start = range.start.min(end);
    file.seek(SeekFrom::Start(start))?;
    let mut bytes = Vec::with_capacity((end - start) as usize);
    file.take(end - start).read_to_end(&mut bytes)?;
    Ok(bytes.into())
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Makes `folder` and what is missing above it, each durable in the folder above.
fn create_folders(root: &Path, folder: &Path) -> io::Result<()> {
    if folder == root || folder.is_dir() {
        return Ok(());
    }
    let above = folder.parent().expect("a folder of a key lies below the root");
    create_folders(root, above)?;
    match fs::create_dir(folder) {
        Ok(()) => sync_folder(above),
        Err(error) if matches!(error.kind(), ErrorKind::AlreadyExists | ErrorKind::NotFound) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Best effort: what cannot be looked at or removed stays.
fn remove_stale_files(folder: &Path, before_ms: i64) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        if entry.metadata().is_ok_and(|metadata| modified_ms(&metadata) < before_ms) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

fn modified_ms(metadata: &fs::Metadata) -> i64 {
    let modified = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    modified.map_or(0, |since| since.as_millis() as i64)
}

fn reason(error: &io::Error) -> Reason {
    match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::FileTooLarge => Reason::Full,
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => Reason::Denied,
        ErrorKind::NotADirectory | ErrorKind::IsADirectory | ErrorKind::InvalidFilename => Reason::Invalid,
        _ => Reason::Unavailable,
    }
}

/// `effect`: whether the operation may have had its effect when `error` struck.
fn failure(operation: Operation, key: impl fmt::Display, error: io::Error, effect: bool) -> StoreError {
    let (reason, cause) = (reason(&error), error.to_string());
    if effect {
        StoreError::unknown(operation, key, reason, cause)
    } else {
        StoreError::not_done(operation, key, reason, cause)
    }
}

/// File operations block; a task that is waited for here goes on when the caller gives up.
async fn blocking<T: Send + 'static>(
    operation: Operation,
    key: String,
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(failure(operation, key, io::Error::other(error), operation.is_write())),
    }
}

#[async_trait]
impl ObjectStorage for DirectoryStorage {
    async fn put(&self, key: &Key, payload: Payload) -> Result<(), StoreError> {
        let (storage, name) = (self.clone(), key.clone());
        let work = move || storage.put_blocking(Operation::Put, &name, &payload);
        blocking(Operation::Put, key.to_string(), work).await
    }

    async fn put_if_absent(&self, key: &Key, payload: Payload) -> Result<(), StoreError> {
        let (storage, name) = (self.clone(), key.clone());
        let work = move || storage.put_blocking(Operation::PutIfAbsent, &name, &payload);
        blocking(Operation::PutIfAbsent, key.to_string(), work).await
    }

    async fn get(&self, key: &Key, range: Option<Range<u64>>) -> Result<Bytes, StoreError> {
        let (storage, name) = (self.clone(), key.clone());
        blocking(Operation::Get, key.to_string(), move || storage.get_blocking(&name, range)).await
    }

    async fn list(&self, prefix: &str, start_after: Option<&Key>, most: usize) -> Result<Vec<ObjectMeta>, StoreError> {
        let (root, wanted, after) = (self.root.clone(), prefix.to_owned(), start_after.cloned());
        let work = move || {
            let found = listing::list(&root, &wanted, after.as_ref(), most);
            found.map_err(|error| failure(Operation::List, &wanted, error, false))
        };
        blocking(Operation::List, prefix.to_owned(), work).await
    }

    async fn delete(&self, key: &Key) -> Result<(), StoreError> {
        let (storage, name) = (self.clone(), key.clone());
        blocking(Operation::Delete, key.to_string(), move || storage.delete_blocking(&name)).await
    }
}
