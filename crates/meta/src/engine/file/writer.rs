//! The threads that write the journal's end.
//!
//! Appends queue up. A thread takes what has arrived as one group, gives it its numbers and its place, and writes it,
//! while others write the groups before and after it: a synced write waits far longer than it works, so four at once
//! take hardly longer than one. What arrives while all of them write makes the next group larger (group commit).
//! Groups land in any order and are answered in the order of their numbers, so a crash can only leave holes among
//! groups that nobody was told about; each header says what was durable when its group was laid out ([`super::scan`]).
//!
//! A write that fails may have left anything behind. Nothing of it may ever come back, nor of the groups behind it, so
//! when the last of them has landed the chunk is cut where the failed one began, durably, and given up; only then
//! `NotDone` is answered. The next group starts a new chunk, whose random nonce makes whatever else the disk kept void.
//! Where cutting fails too the answer is `Unknown`, and cutting is tried again before the next write. A chunk is begun
//! only when nothing is in flight, so that a failure never concerns two of them.

use super::catalogue::{Catalogue, OpenChunk, chunk_path};
use super::disk::{Disk, open_to_read};
use super::format::ChunkHeader;
use super::gather::{Group, bytes_of};
use super::scan::Place;
use crate::engine::recent::Recent;
use crate::port::{AppendError, Entry};
use frazil_base::limits::BLOCK_BYTES;
use frazil_base::{Entropy, Seq};
use parking_lot::{Condvar, Mutex, MutexGuard};
use std::collections::VecDeque;
use std::fmt::Display;
use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use tokio::sync::{oneshot, watch};

/// Groups written at once.
pub(crate) const WRITES_AT_ONCE: usize = 4;
/// A group takes further appends up to this.
const GROUP_BYTES_MAX: u64 = 16 << 20;

/// One call of `append` in the queue.
#[derive(Debug)]
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
    /// Groups taken from the queue so far.
    #[cfg(test)]
    pub departed: std::sync::atomic::AtomicUsize,
}

/// What the threads share.
pub(crate) struct Writer {
    shared: Arc<Shared>,
    disk: Arc<dyn Disk>,
    entropy: Arc<dyn Entropy>,
    chunk_bytes: u64,
    front: Mutex<Front>,
    flights: Mutex<Flights>,
    /// Nothing is in flight any more.
    landed: Condvar,
    /// Holds the directory's lock.
    _lock: File,
    /// Closes when the last thread has ended, and the directory is free.
    _end: watch::Sender<()>,
}

/// Where the next group goes. Whoever holds it is the next one to take requests.
struct Front {
    queue: mpsc::Receiver<Request>,
    /// Taken from the queue, too large for the group before.
    left: Option<Request>,
    next: Seq,
    current: Option<Current>,
}

/// The chunk being written.
#[derive(Clone)]
struct Current {
    chunk: Arc<OpenChunk>,
    file: Arc<File>,
    position: u64,
}

/// The groups being written, in the order of their numbers.
struct Flights {
    durable: Seq,
    queue: VecDeque<Flight>,
    /// The chunk that readers know, by its first number: one becomes known when its first group is durable.
    listed: Option<Seq>,
    /// A failure was answered: the front starts anew behind `durable`.
    broken: bool,
    /// A chunk that must be cut at this length before anything else is written.
    torn: Option<(Arc<File>, u64)>,
}

struct Flight {
    first: Seq,
    last: Seq,
    place: Current,
    landing: Option<Landing>,
}

/// What became of a group's write.
struct Landing {
    written: io::Result<()>,
    requests: Vec<Request>,
    places: Vec<Place>,
}

/// A group whose numbers and place are fixed.
struct Departure {
    requests: Vec<Request>,
    first: Seq,
    durable: Seq,
    place: Current,
}

/// Why a group was not written.
struct Failure {
    cause: Arc<str>,
    certain: bool,
}

/// What a writer starts from.
pub(crate) struct Start {
    pub shared: Arc<Shared>,
    pub disk: Arc<dyn Disk>,
    pub entropy: Arc<dyn Entropy>,
    pub chunk_bytes: u64,
    pub tail: Seq,
    pub lock: File,
    pub end: watch::Sender<()>,
}

impl Writer {
    pub(crate) fn new(start: Start, queue: mpsc::Receiver<Request>) -> Writer {
        let Start { shared, disk, entropy, chunk_bytes, tail, lock, end } = start;
        let front = Front { queue, left: None, next: tail.next(), current: None };
        let flights = Flights { durable: tail, queue: VecDeque::new(), listed: None, broken: false, torn: None };
        Writer {
            shared,
            disk,
            entropy,
            chunk_bytes,
            front: Mutex::new(front),
            flights: Mutex::new(flights),
            landed: Condvar::new(),
            _lock: lock,
            _end: end,
        }
    }

    /// One thread's work: writes groups until nobody can send any more.
    pub(crate) fn run(&self) {
        while let Some(departure) = self.depart() {
            let (first, (written, requests, places)) = (departure.first, self.write(departure));
            self.land(first, Landing { written, requests, places });
        }
    }

    /// Takes the next group. `None`: there will not be another one.
    fn depart(&self) -> Option<Departure> {
        let mut front = self.front.lock();
        loop {
            let (requests, bytes) = front.take_group()?;
            match self.place(&mut front, bytes) {
                Ok(place) => return Some(self.enlist(&mut front, requests, place)),
                Err(failure) => fail(&failure, requests),
            }
        }
    }

    /// Where a group of `bytes` goes: behind the one before, or in a new chunk when that is full.
    fn place(&self, front: &mut Front, bytes: u64) -> Result<Current, Failure> {
        let mut flights = self.flights.lock();
        if flights.is_failing() || front.current.is_none() {
            self.wait_for_landing(&mut flights);
        }
        if std::mem::take(&mut flights.broken) {
            front.next = flights.durable.next();
            front.current = None;
        }
        self.cut_torn_chunk(&mut flights)?;
        let place = match front.current.take() {
            Some(current) if current.position + bytes <= self.chunk_bytes => current,
            _ => {
                self.wait_for_landing(&mut flights);
                // What was in flight may have failed meanwhile.
                if std::mem::take(&mut flights.broken) {
                    front.next = flights.durable.next();
                }
                self.cut_torn_chunk(&mut flights)?;
                self.new_chunk(front.next)?
            }
        };
        drop(flights);
        let header = if place.position == 0 { BLOCK_BYTES as u64 } else { 0 };
        front.current = Some(Current { position: place.position + header + bytes, ..place.clone() });
        Ok(place)
    }

    fn wait_for_landing(&self, flights: &mut MutexGuard<'_, Flights>) {
        self.landed.wait_while(flights, |flights| !flights.queue.is_empty());
    }

    fn enlist(&self, front: &mut Front, requests: Vec<Request>, place: Current) -> Departure {
        let entries: usize = requests.iter().map(|request| request.entries.len()).sum();
        let first = front.next;
        let last = Seq(first.0 + entries as u64 - 1);
        front.next = last.next();
        let mut flights = self.flights.lock();
        #[cfg(test)]
        self.shared.departed.fetch_add(1, Ordering::AcqRel);
        flights.queue.push_back(Flight { first, last, place: place.clone(), landing: None });
        Departure { requests, first, durable: flights.durable, place }
    }

    fn write(&self, departure: Departure) -> (io::Result<()>, Vec<Request>, Vec<Place>) {
        let Departure { requests, first, durable, place: Current { chunk, file, position } } = departure;
        let header = ChunkHeader { first: chunk.first, nonce: chunk.nonce };
        let mut group = Group::new(header, position, first, durable);
        requests.iter().flat_map(|request| &request.entries).for_each(|entry| group.push(entry));
        let gathered = group.gather();
        let written = self.disk.write(&file, &gathered.slices(), position);
        (written, requests, gathered.into_places())
    }

    /// Answers what can be answered, now that the group with this first number has landed.
    fn land(&self, first: Seq, landing: Landing) {
        let mut flights = self.flights.lock();
        let flight = flights.queue.iter_mut().find(|flight| flight.first == first);
        flight.expect("a group is in flight until it has landed").landing = Some(landing);
        while let Some((flight, landing)) = flights.take_written() {
            self.settle(&mut flights, flight, landing);
        }
        if flights.is_failing() && flights.queue.iter().all(|flight| flight.landing.is_some()) {
            self.give_up(&mut flights);
        }
        if flights.queue.is_empty() {
            self.landed.notify_all();
        }
    }

    /// A group and all before it are durable: readers may see it, callers may go on.
    fn settle(&self, flights: &mut Flights, flight: Flight, landing: Landing) {
        let Flight { first, last, place: Current { chunk, .. }, .. } = flight;
        chunk.places.lock().extend(landing.places);
        if flights.listed != Some(chunk.first) {
            flights.listed = Some(chunk.first);
            self.shared.catalogue.insert(chunk);
        }
        flights.durable = last;
        self.succeed(first, last, landing.requests);
    }

    fn succeed(&self, first: Seq, last: Seq, requests: Vec<Request>) {
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
        self.shared.tail.send_replace(last);
        // Whoever waited may be gone; the entry is in the log all the same.
        answers.into_iter().for_each(|(answer, seq)| drop(answer.send(Ok(seq))));
    }

    /// The first group in flight has failed and all behind it have landed: nothing of them may ever be read.
    fn give_up(&self, flights: &mut Flights) {
        let failed = std::mem::take(&mut flights.queue);
        let front = failed.front().expect("one has failed");
        let path = chunk_path(self.shared.catalogue.dir(), front.place.chunk.first);
        flights.torn = Some((front.place.file.clone(), front.place.position));
        flights.broken = true;
        let error = failed.iter().find_map(Flight::error).expect("one has failed");
        let cause = describe("write", &path, error);
        // A read-only file system refuses before it writes anything.
        let refused = error.kind() == io::ErrorKind::ReadOnlyFilesystem;
        let certain = self.cut_torn_chunk(flights).is_ok() || refused;
        tracing::error!(cause = %cause, certain, "journal write failed");
        let failure = Failure { cause, certain };
        let landings = failed.into_iter().filter_map(|flight| flight.landing);
        landings.for_each(|landing| fail(&failure, landing.requests));
    }

    fn cut_torn_chunk(&self, flights: &mut Flights) -> Result<(), Failure> {
        let Some((file, bytes)) = flights.torn.take() else { return Ok(()) };
        self.disk.truncate(&file, bytes).map_err(|error| {
            flights.torn = Some((file, bytes));
            Failure { cause: describe("cut a torn chunk in", self.shared.catalogue.dir(), &error), certain: true }
        })
    }

    fn new_chunk(&self, first: Seq) -> Result<Current, Failure> {
        let path = chunk_path(self.shared.catalogue.dir(), first);
        let opened =
            self.create(&path).and_then(|file| Ok((file, open_to_read(&path, self.shared.catalogue.is_direct())?)));
        let (file, reading) =
            opened.map_err(|error| Failure { cause: describe("create", &path, &error), certain: true })?;
        let chunk = OpenChunk::new(first, self.entropy.bits64(), reading, Vec::new());
        Ok(Current { chunk: Arc::new(chunk), file: Arc::new(file), position: 0 })
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
}

impl Front {
    /// Waits for a request and takes what else is there, up to a group's size, and how many bytes it will take.
    fn take_group(&mut self) -> Option<(Vec<Request>, u64)> {
        let first = self.left.take().or_else(|| self.queue.recv().ok())?;
        let mut bytes = bytes_of(&first.entries);
        let mut requests = vec![first];
        while let Ok(request) = self.queue.try_recv() {
            let more = bytes_of(&request.entries);
            if bytes + more > GROUP_BYTES_MAX {
                self.left = Some(request);
                break;
            }
            bytes += more;
            requests.push(request);
        }
        Some((requests, bytes))
    }
}

impl Flights {
    /// Whether a write failed whose group is not answered yet: nothing may follow it.
    fn is_failing(&self) -> bool {
        self.queue.iter().any(|flight| flight.error().is_some())
    }

    /// The first group in flight, if it is written.
    fn take_written(&mut self) -> Option<(Flight, Landing)> {
        let landing = self.queue.front_mut()?.landing.take_if(|landing| landing.written.is_ok())?;
        Some((self.queue.pop_front()?, landing))
    }
}

impl Flight {
    fn error(&self) -> Option<&io::Error> {
        self.landing.as_ref()?.written.as_ref().err()
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
