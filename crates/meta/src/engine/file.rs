//! The engine on a local directory: a journal of chunk files.
//!
//! Chunks are written in order by a few threads ([`writer`]), one write per group of appends, past the page cache and
//! synced by the write itself (`O_DIRECT|O_DSYNC`); where the file system refuses that, through the page cache with a
//! `fdatasync` behind. Four writes at once hide what a synced write waits for (640 KiB twice at once: four times the
//! throughput of one after the other), and what arrives meanwhile makes the next group larger. Entries are whole blocks,
//! so a segment built in an aligned buffer is written from where it lies ([`gather`]).
//!
//! A start never continues the chunk it finds: it walks the newest one to its last valid entry ([`scan`]), cuts off what
//! is torn, and begins a new chunk with the first append. A chunk's name is its first number and its header carries a
//! random nonce that its entries repeat, so neither torn writes nor what a recycled file held before can come back.
//! Numbers are contiguous, over all chunks.
//!
//! Reads run on tokio's blocking threads, with direct I/O as well. A bounded index places them ([`catalogue`]), and small
//! ones that stand next to each other share one ([`windows`]).
//! The format is in `docs/format/journal.md`. Not solved here: a second copy; a lost disk is a lost log.

mod catalogue;
mod disk;
mod format;
mod gather;
mod scan;
mod windows;
mod writer;

#[cfg(test)]
mod tests;

use crate::engine::recent::{self, Recent};
use crate::port::{AppendError, Appended, CommitLog, Entry, LiveBodies, ReadError};
use async_trait::async_trait;
use bytes::Bytes;
use catalogue::{Catalogue, OpenChunk, chunk_first, chunk_path};
use disk::{Disk, RealDisk};
pub(crate) use format::{ChunkHeader, ENTRY_HEADER_BYTES, EntryHeader};
use frazil_base::limits::BLOCK_BYTES;
use frazil_base::{AlignedBuffer, Env, Seq};
use parking_lot::Mutex;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;
use tokio::sync::{Semaphore, oneshot, watch};
use windows::Windows;
use writer::{Request, Shared, Start, WRITES_AT_ONCE, Writer};

/// How a journal is kept.
#[derive(Clone, Debug)]
pub struct FileOptions {
    /// A chunk is full at this length. Larger: fewer files; smaller: dead entries give their space back sooner.
    pub chunk_bytes: u64,
    /// Dead chunks kept to be written again, which is faster than growing new ones; an idle journal keeps none.
    pub spare_chunks: usize,
    /// Write past the page cache where the file system can.
    pub direct: bool,
}

impl Default for FileOptions {
    fn default() -> FileOptions {
        FileOptions { chunk_bytes: 64 << 20, spare_chunks: 2, direct: true }
    }
}

/// Why a journal cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error("journal {} is in use by {holder}: stop that process, or give this one another directory", dir.display())]
    Locked {
        /// The journal's directory.
        dir: PathBuf,
        /// What the holder wrote into the lock file.
        holder: String,
    },
    /// The file system says no.
    #[error("cannot {operation} {}: {source}", path.display())]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// An entry that was durable is not whole any more. Nobody guesses: the journal stays closed.
    #[error(
        "journal chunk {} is damaged: entry {seq} at {position} was acknowledged (the entry at {witness} says so) but is \
         not valid; restore the file, or cut it to {position} bytes to give up entry {seq} and all after it",
        path.display()
    )]
    Damaged {
        /// The chunk.
        path: PathBuf,
        /// The entry.
        seq: Seq,
        /// Where it should start.
        position: u64,
        /// Where the later entry stands.
        witness: u64,
    },
}

/// Reads of bodies at once. Each occupies a thread with buffers of its own; a burst of readers once made 420 threads that
/// held 2 GiB and spent their time on clearing fresh pages, while four keep this disk as busy as it gets.
const READS_AT_ONCE: usize = 4;

/// The handle on a journal. Dropping it waits for the write under way.
#[derive(Debug)]
pub struct FileLog {
    shared: Arc<Shared>,
    spare_chunks: usize,
    queue: Mutex<Option<mpsc::Sender<Request>>>,
    writers: Mutex<Vec<thread::JoinHandle<()>>>,
    /// Closes when the writers have ended.
    ended: watch::Receiver<()>,
    /// Greatest number that some call has returned to its caller.
    returned: AtomicU64,
    /// Lets `READS_AT_ONCE` reads through.
    reads: Semaphore,
    windows: Windows,
}

impl FileLog {
    /// Opens the journal in `dir`, which is created if it does not exist, and locks it.
    pub async fn open(dir: &Path, env: Env, options: FileOptions) -> Result<FileLog, OpenError> {
        let dir = dir.to_path_buf();
        let opened = tokio::task::spawn_blocking(move || FileLog::open_blocking(&dir, &env, &options, None));
        opened.await.expect("opening a journal does not panic")
    }

    fn open_blocking(
        dir: &Path,
        env: &Env,
        options: &FileOptions,
        disk: Option<Arc<dyn Disk>>,
    ) -> Result<FileLog, OpenError> {
        fs::create_dir_all(dir).map_err(io_error("create", dir))?;
        let lock = lock(dir)?;
        let direct = describe_holder(dir, options.direct)?;
        let disk = disk.unwrap_or_else(|| Arc::new(RealDisk { direct }));
        let (catalogue, tail) = open_chunks(dir, direct, disk.as_ref())?;
        let shared = Arc::new(Shared {
            catalogue,
            tail: watch::Sender::new(tail),
            recent: Mutex::new(Recent::new(tail)),
            busy: AtomicBool::new(false),
            #[cfg(test)]
            departed: Default::default(),
        });
        let (queue, requests) = mpsc::channel();
        let (end, ended) = watch::channel(());
        let (entropy, chunk_bytes) = (env.entropy.clone(), options.chunk_bytes);
        let start = Start { shared: shared.clone(), disk, entropy, chunk_bytes, tail, lock, end };
        let log = FileLog {
            shared,
            spare_chunks: options.spare_chunks,
            queue: Mutex::new(Some(queue)),
            writers: Mutex::new(Vec::new()),
            ended,
            returned: AtomicU64::new(0),
            reads: Semaphore::new(READS_AT_ONCE),
            windows: Windows::default(),
        };
        log.start_writers(Writer::new(start, requests)).map_err(io_error("start the writers of", dir))?;
        Ok(log)
    }

    fn start_writers(&self, writer: Writer) -> io::Result<()> {
        let writer = Arc::new(writer);
        for _ in 0..WRITES_AT_ONCE {
            let writer = writer.clone();
            let thread = thread::Builder::new().name("journal".into()).spawn(move || writer.run())?;
            self.writers.lock().push(thread);
        }
        Ok(())
    }

    /// Queues the entries; the order of these calls is the order in the log.
    fn submit(&self, entries: Vec<Entry>) -> Result<oneshot::Receiver<Result<Seq, AppendError>>, AppendError> {
        let (answer, answered) = oneshot::channel();
        let closed = || AppendError::NotDone { cause: "the journal is closed".into() };
        let queue = self.queue.lock();
        queue.as_ref().ok_or_else(closed)?.send(Request { entries, answer }).map_err(|_| closed())?;
        Ok(answered)
    }

    fn check_known(&self, known: Seq) -> Result<(), AppendError> {
        match self.shared.catalogue.first().filter(|first| known.next() < *first) {
            None => Ok(()),
            Some(first) => {
                let cause = format!("the journal was trimmed below {first}, the caller knows it up to {known}");
                Err(AppendError::NotDone { cause: cause.into() })
            }
        }
    }

    /// A small part of a body, out of a window that is read once for all who want parts of it. `None`: it has to be read by
    /// itself, also when the window cannot be read: the part may be well.
    async fn read_in_window(&self, seq: Seq, range: &Range<u64>) -> Option<Bytes> {
        let (chunk, range) = self.shared.catalogue.part_of_body(seq, range)?;
        let window = self.windows.of(&chunk, &range)?;
        let read = async {
            let _turn = self.reads.acquire().await.expect("never closed");
            let whole = window.range();
            let read = self.blocking(move |shared| {
                let read = shared.catalogue.read_range(&chunk, whole).ok().flatten();
                read.ok_or(ReadError::NotFound { seq })
            });
            read.await
        };
        let bytes = window.bytes.get_or_try_init(|| read).await.ok()?;
        Some(window.take(bytes, &range))
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Shared) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, ReadError> {
        let shared = self.shared.clone();
        let done = tokio::task::spawn_blocking(move || work(&shared)).await;
        done.unwrap_or_else(|error| Err(ReadError::Unavailable { cause: error.to_string().into() }))
    }
}

#[async_trait]
impl CommitLog for FileLog {
    fn carries_bodies(&self) -> bool {
        true
    }

    fn is_exclusive(&self) -> bool {
        true
    }

    fn appends_in_flight(&self) -> usize {
        WRITES_AT_ONCE
    }

    async fn append(&self, known: Seq, entries: Vec<Entry>) -> Result<Appended, AppendError> {
        assert!(!entries.is_empty(), "an append has at least one entry");
        let known = known.max(Seq(self.returned.load(Ordering::Acquire)));
        self.check_known(known)?;
        let count = entries.len() as u64;
        let answered = self.submit(entries)?;
        let gone = |_| AppendError::Unknown { cause: "the journal's writer ended".into() };
        let first = answered.await.map_err(gone)??;
        let last = Seq(first.0 + count - 1);
        let unread = |error: ReadError| AppendError::Unknown { cause: format!("appended, but {error}").into() };
        // What other calls have returned meanwhile, their callers know.
        let known = known.max(Seq(self.returned.load(Ordering::Acquire)).min(Seq(first.0 - 1)));
        let records = recent::between(self, known, last).await.map_err(unread)?;
        self.returned.fetch_max(last.0, Ordering::AcqRel);
        Ok(Appended { first, records })
    }

    async fn read(&self, after: Seq, max_bytes: usize) -> Result<Vec<(Seq, Bytes)>, ReadError> {
        let last = *self.shared.tail.borrow();
        if after >= last {
            return Ok(Vec::new());
        }
        if let Some(records) = self.shared.recent.lock().after(after, max_bytes) {
            return Ok(records);
        }
        self.blocking(move |shared| shared.catalogue.read(after, last, max_bytes)).await
    }

    async fn read_body(&self, seq: Seq, range: Range<u64>) -> Result<Bytes, ReadError> {
        if let Some(bytes) = self.read_in_window(seq, &range).await {
            return Ok(bytes);
        }
        let _turn = self.reads.acquire().await.expect("never closed");
        self.blocking(move |shared| shared.catalogue.read_body(seq, range)).await
    }

    async fn wait_beyond(&self, seq: Seq, timeout: Duration) -> Result<Seq, ReadError> {
        let mut tail = self.shared.tail.subscribe();
        // Running out of time is an answer too: the tail is what it is.
        let _ = tokio::time::timeout(timeout, tail.wait_for(|tail| *tail > seq)).await;
        Ok(*tail.borrow())
    }

    async fn tail(&self) -> Result<Seq, ReadError> {
        Ok(*self.shared.tail.borrow())
    }

    async fn trim(&self, below: Seq, live: &LiveBodies) -> Result<(), ReadError> {
        let (live, spares) = (live.clone(), self.spare_chunks);
        // Called from time to time: a moment to give the memory of the last reads back.
        self.windows.clear();
        self.blocking(move |shared| {
            // Nothing appended since the last time: an idle journal holds no disk space for later.
            let spares = if shared.busy.swap(false, Ordering::AcqRel) { spares } else { 0 };
            let trimmed = shared.catalogue.trim(below, &live, spares);
            let dropped = if spares == 0 { shared.catalogue.drop_spares() } else { Ok(()) };
            let cause = |error| format!("trim {}: {error}", shared.catalogue.dir().display()).into();
            trimmed.and(dropped).map_err(|error| ReadError::Unavailable { cause: cause(error) })
        })
        .await
    }

    async fn close(&self) {
        drop(self.queue.lock().take());
        // An error means that the writer has dropped its end: it is done.
        let _ = self.ended.clone().changed().await;
    }
}

impl Drop for FileLog {
    fn drop(&mut self) {
        drop(self.queue.lock().take());
        // The lock is free when this returns, so that the same process can open the journal again.
        for writer in std::mem::take(&mut *self.writers.lock()) {
            if writer.join().is_err() {
                tracing::error!("a writer of the journal panicked");
            }
        }
    }
}

fn io_error(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> OpenError {
    let path = path.to_path_buf();
    move |source| OpenError::Io { operation, path, source }
}

fn lock_path(dir: &Path) -> PathBuf {
    dir.join("lock")
}

fn lock(dir: &Path) -> Result<File, OpenError> {
    let path = lock_path(dir);
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
    let mut file = file.map_err(io_error("open", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::Error(source)) => Err(io_error("lock", &path)(source)),
        Err(fs::TryLockError::WouldBlock) => {
            let mut holder = String::new();
            // The message is better with the holder's name, but true without.
            let _ = (&mut file).take(BLOCK_BYTES as u64).read_to_string(&mut holder);
            let holder = holder.trim_matches(|c: char| c == '\0' || c.is_whitespace()).to_owned();
            let holder = if holder.is_empty() { "another process".to_owned() } else { holder };
            Err(OpenError::Locked { dir: dir.to_path_buf(), holder })
        }
    }
}

/// Writes who holds the lock, and finds out by it whether the file system takes direct writes.
fn describe_holder(dir: &Path, direct: bool) -> Result<bool, OpenError> {
    let path = lock_path(dir);
    let mut block = AlignedBuffer::with_capacity(BLOCK_BYTES);
    block.extend_from_slice(format!("process {}\n", std::process::id()).as_bytes());
    block.pad_to(BLOCK_BYTES);
    if direct && disk::takes_direct_writes(&path, &block) {
        return Ok(true);
    }
    fs::write(&path, block.as_slice()).map_err(io_error("write", &path))?;
    Ok(false)
}

/// Finds the chunks and the last number, and cuts what is torn.
fn open_chunks(dir: &Path, direct: bool, disk: &dyn Disk) -> Result<(Catalogue, Seq), OpenError> {
    let mut firsts = list_chunks(dir)?;
    firsts.sort_unstable();
    let Some(newest) = firsts.last().copied() else {
        return Ok((Catalogue::new(dir, direct, []), Seq::ZERO));
    };
    let (chunk, end) = open_newest(dir, direct, newest)?;
    let entries = chunk.places.lock().len() as u64;
    let tail = Seq(newest.0 + entries - 1);
    if entries > 0 {
        cut(dir, newest, end, disk)?;
        let catalogue = Catalogue::new(dir, direct, firsts);
        catalogue.insert(Arc::new(chunk));
        return Ok((catalogue, tail));
    }
    // It was being created: its name says where the log ends, and the first append takes it over.
    firsts.pop();
    let catalogue = Catalogue::new(dir, direct, firsts.iter().copied());
    if let Some(previous) = firsts.last() {
        catalogue.insert(Arc::new(open_previous(dir, direct, *previous, newest)?));
    }
    Ok((catalogue, tail))
}

/// First numbers of the chunks in `dir`; removes files that were waiting to be recycled.
fn list_chunks(dir: &Path) -> Result<Vec<Seq>, OpenError> {
    let mut firsts = Vec::new();
    for file in fs::read_dir(dir).map_err(io_error("list", dir))? {
        let path = file.map_err(io_error("list", dir))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if let Some(first) = chunk_first(name) {
            firsts.push(first);
        } else if name.ends_with(".spare") {
            fs::remove_file(&path).map_err(io_error("remove", &path))?;
        }
    }
    Ok(firsts)
}

fn open_newest(dir: &Path, direct: bool, first: Seq) -> Result<(OpenChunk, u64), OpenError> {
    let path = chunk_path(dir, first);
    let file = disk::open_to_read(&path, direct).map_err(io_error("open", &path))?;
    let found = scan::walk_newest(&file, first).map_err(|error| match error {
        scan::TailError::Io(source) => io_error("read", &path)(source),
        scan::TailError::Damaged { seq, position, witness } => {
            OpenError::Damaged { path: path.clone(), seq, position, witness }
        }
    })?;
    Ok((OpenChunk::new(first, found.nonce, file, found.places), found.end))
}

fn open_previous(dir: &Path, direct: bool, first: Seq, next_first: Seq) -> Result<OpenChunk, OpenError> {
    let path = chunk_path(dir, first);
    let file = disk::open_to_read(&path, direct).map_err(io_error("open", &path))?;
    let found = scan::walk_sealed(&file, first, next_first).map_err(io_error("read", &path))?;
    let (nonce, places) = found.map_or((0, Vec::new()), |found| (found.nonce, found.places));
    Ok(OpenChunk::new(first, nonce, file, places))
}

/// Removes what lies behind the last valid entry, so that it gives its space back. What was found is made durable first:
/// a write of a killed process may have reached the file without having been synced.
fn cut(dir: &Path, first: Seq, end: u64, disk: &dyn Disk) -> Result<(), OpenError> {
    let path = chunk_path(dir, first);
    let file = OpenOptions::new().write(true).open(&path).map_err(io_error("open", &path))?;
    file.sync_data().map_err(io_error("sync", &path))?;
    if file.metadata().map_err(io_error("read", &path))?.len() > end {
        disk.truncate(&file, end).map_err(io_error("cut", &path))?;
    }
    Ok(())
}
