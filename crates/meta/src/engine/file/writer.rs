//! The thread that owns the journal's end.
//!
//! Appends queue up; what has arrived while one group was being written is the next group, one write each. The thread
//! ends when the queue's sender is dropped, after writing what is left.
//!
//! A write that fails may have left anything behind. Nothing of it may ever come back, so before `NotDone` is answered
//! the chunk is cut where the group began, durably, and given up; the next group starts a new chunk, whose random nonce
//! makes whatever else the disk kept void. Where cutting fails too the answer is `Unknown`, and cutting is tried again
//! before the next write.

use super::catalogue::{Catalogue, OpenChunk, chunk_path};
use super::disk::Disk;
use super::format::ChunkHeader;
use super::gather::{Gathered, Group, bytes_of};
use crate::engine::recent::Recent;
use crate::port::{AppendError, Entry};
use frazil_base::{Entropy, Seq};
use parking_lot::Mutex;
use std::fmt::Display;
use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use tokio::sync::{oneshot, watch};

/// A group takes further appends up to this.
const GROUP_BYTES_MAX: u64 = 16 << 20;

/// One call of `append` in the queue.
pub(crate) struct Request {
    pub entries: Vec<Entry>,
    pub answer: oneshot::Sender<Result<Seq, AppendError>>,
}

/// What the writer and the handle share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub catalogue: Catalogue,
    pub tail: watch::Sender<Seq>,
    pub recent: Mutex<Recent>,
    /// Whether anything was appended since the last trim.
    pub busy: AtomicBool,
}

/// State of the thread.
pub(crate) struct Writer {
    pub shared: Arc<Shared>,
    pub disk: Arc<dyn Disk>,
    pub entropy: Arc<dyn Entropy>,
    pub chunk_bytes: u64,
    pub tail: Seq,
    pub current: Option<Current>,
    /// A chunk that must be cut at this length before anything else is written.
    pub torn: Option<(Arc<File>, u64)>,
    /// Holds the directory's lock.
    pub lock: File,
}

/// The chunk being written.
pub(crate) struct Current {
    chunk: Arc<OpenChunk>,
    position: u64,
    /// Whether readers know it: only after its first group is durable.
    listed: bool,
}

/// Why a group was not written.
struct Failure {
    cause: Arc<str>,
    certain: bool,
}

impl Writer {
    /// Writes what comes until nobody can send any more.
    pub(crate) fn run(mut self, queue: &mpsc::Receiver<Request>) {
        let mut left = None;
        while let Some(first) = left.take().or_else(|| queue.recv().ok()) {
            let mut requests = vec![first];
            let mut bytes = bytes_of(&requests[0].entries);
            while let Ok(request) = queue.try_recv() {
                let more = bytes_of(&request.entries);
                if bytes + more > GROUP_BYTES_MAX {
                    left = Some(request);
                    break;
                }
                bytes += more;
                requests.push(request);
            }
            self.commit(requests, bytes);
        }
        drop(self.lock);
    }

    fn commit(&mut self, requests: Vec<Request>, bytes: u64) {
        match self.write(&requests, bytes) {
            Ok(first) => self.succeed(first, requests),
            Err(failure) => fail(&failure, requests),
        }
    }

    /// Makes a group durable; returns its first number.
    fn write(&mut self, requests: &[Request], bytes: u64) -> Result<Seq, Failure> {
        self.cut_torn_chunk()?;
        let first = self.tail.next();
        let mut current = self.chunk_for(bytes)?;
        let header = ChunkHeader { first: current.chunk.first, nonce: current.chunk.nonce };
        let mut group = Group::new(header, current.position, self.tail);
        requests.iter().flat_map(|request| &request.entries).for_each(|entry| group.push(entry));
        let (start, end, last) = (group.start(), group.end(), group.last());
        let gathered = group.gather();
        self.disk
            .write(&current.chunk.file, &gathered.slices(), start)
            .map_err(|error| self.give_up(&current, &error))?;
        current.position = end;
        self.tail = last;
        self.publish(&mut current, gathered);
        self.current = Some(current);
        Ok(first)
    }

    fn publish(&self, current: &mut Current, gathered: Gathered) {
        current.chunk.places.lock().extend(gathered.into_places());
        if !current.listed {
            self.shared.catalogue.insert(current.chunk.clone());
            current.listed = true;
        }
    }

    /// The chunk that takes the next group: the current one, or a new one when that is full.
    fn chunk_for(&mut self, bytes: u64) -> Result<Current, Failure> {
        match self.current.take() {
            Some(current) if current.position + bytes <= self.chunk_bytes => Ok(current),
            _ => self.new_chunk(),
        }
    }

    fn new_chunk(&mut self) -> Result<Current, Failure> {
        let first = self.tail.next();
        let path = chunk_path(self.shared.catalogue.dir(), first);
        let file =
            self.create(&path).map_err(|error| Failure { cause: describe("create", &path, &error), certain: true })?;
        let places = Mutex::new(Vec::new());
        let chunk = OpenChunk { first, nonce: self.entropy.bits64(), file: Arc::new(file), places };
        Ok(Current { chunk: Arc::new(chunk), position: 0, listed: false })
    }

    /// A recycled file is faster to write than a growing one, by two thirds on the disk this was measured on.
    fn create(&self, path: &Path) -> io::Result<File> {
        if let Some(spare) = self.shared.catalogue.take_spare() {
            match fs::rename(&spare, path) {
                Ok(()) => return self.disk.create(path, false),
                Err(error) => tracing::warn!(spare = %spare.display(), %error, "cannot recycle a journal chunk"),
            }
        }
        self.disk.create(path, true)
    }

    /// After a failed write: nothing of the group may ever be read.
    fn give_up(&mut self, current: &Current, error: &io::Error) -> Failure {
        let path = chunk_path(self.shared.catalogue.dir(), current.chunk.first);
        let cause = describe("write", &path, error);
        // A read-only file system refuses before it writes anything.
        let refused = error.kind() == io::ErrorKind::ReadOnlyFilesystem;
        self.torn = Some((current.chunk.file.clone(), current.position));
        let certain = self.cut_torn_chunk().is_ok() || refused;
        tracing::error!(cause = %cause, certain, "journal write failed");
        Failure { cause, certain }
    }

    fn cut_torn_chunk(&mut self) -> Result<(), Failure> {
        let Some((file, bytes)) = self.torn.take() else { return Ok(()) };
        self.disk.truncate(&file, bytes).map_err(|error| {
            self.torn = Some((file, bytes));
            Failure { cause: describe("cut a torn chunk in", self.shared.catalogue.dir(), &error), certain: true }
        })
    }

    fn succeed(&self, first: Seq, requests: Vec<Request>) {
        let mut seq = first;
        let mut answers = Vec::with_capacity(requests.len());
        let mut recent = self.shared.recent.lock();
        for request in requests {
            answers.push((request.answer, seq));
            for entry in request.entries {
                recent.push(seq, entry.record);
                seq = seq.next();
            }
        }
        drop(recent);
        self.shared.busy.store(true, Ordering::Release);
        self.shared.tail.send_replace(self.tail);
        // Whoever waited may be gone; the entry is in the log all the same.
        answers.into_iter().for_each(|(answer, seq)| drop(answer.send(Ok(seq))));
    }
}

fn fail(failure: &Failure, requests: Vec<Request>) {
    for Request { entries, answer } in requests {
        drop(entries);
        let cause = failure.cause.clone();
        let error = match failure.certain {
            true => AppendError::NotDone { cause },
            false => AppendError::Unknown { cause },
        };
        drop(answer.send(Err(error)));
    }
}

fn describe(operation: &str, path: &Path, error: &dyn Display) -> Arc<str> {
    format!("{operation} {}: {error}", path.display()).into()
}
