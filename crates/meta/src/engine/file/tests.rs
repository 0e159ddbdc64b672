//! The journal against the contract, torn writes, full disks, damage and stale content.

use super::*;
use crate::engine::testing::{Site, conformance};
use crate::port::Body;
use format::{ENTRY_HEADER_BYTES, EntryHeader};
use futures::FutureExt;
use futures::future::join_all;
use proptest::prelude::*;
use std::collections::VecDeque;
use tempfile::TempDir;

struct FileSite {
    dir: TempDir,
    options: FileOptions,
}

#[async_trait]
impl Site for FileSite {
    async fn open(&self, _known: Seq) -> Arc<dyn CommitLog> {
        Arc::new(FileLog::open(self.dir.path(), Env::system(), self.options.clone()).await.expect("the journal opens"))
    }

    fn admits_second_handle(&self) -> bool {
        false
    }
}

async fn check(options: FileOptions) {
    conformance(&|| Box::new(FileSite { dir: directory(), options: options.clone() })).await;
}

#[tokio::test]
async fn a_journal_with_direct_io_conforms() {
    check(FileOptions { chunk_bytes: 512 << 10, ..FileOptions::default() }).await;
}

#[tokio::test]
async fn a_journal_with_buffered_io_conforms() {
    check(FileOptions { chunk_bytes: 512 << 10, direct: false, ..FileOptions::default() }).await;
}

#[tokio::test]
async fn a_journal_with_large_chunks_conforms() {
    check(FileOptions::default()).await;
}

fn directory() -> TempDir {
    tempfile::tempdir().expect("a directory for the test")
}

fn small() -> FileOptions {
    FileOptions { chunk_bytes: 64 << 10, spare_chunks: 2, direct: false }
}

async fn open(dir: &Path) -> FileLog {
    FileLog::open(dir, Env::system(), small()).await.expect("the journal opens")
}

async fn open_on(dir: &Path, disk: Arc<dyn Disk>) -> FileLog {
    let dir = dir.to_path_buf();
    let open = move || FileLog::open_blocking(&dir, &Env::system(), &small(), Some(disk));
    tokio::task::spawn_blocking(open).await.expect("opening does not panic").expect("the journal opens")
}

fn entry(text: &str, body_bytes: usize) -> Entry {
    let body = (body_bytes > 0).then(|| Body::from(Bytes::from(text.as_bytes().repeat(body_bytes / text.len() + 1))));
    Entry { record: Bytes::copy_from_slice(text.as_bytes()), body }
}

async fn append(log: &FileLog, text: &str, body_bytes: usize) -> Result<Seq, AppendError> {
    let known = log.tail().await.expect("tail");
    log.append(known, vec![entry(text, body_bytes)]).await.map(|appended| appended.first)
}

async fn texts(log: &FileLog) -> Vec<String> {
    let last = log.tail().await.expect("tail");
    let records = recent::between(log, Seq::ZERO, last).await.expect("the log can be read");
    assert!(records.iter().zip(1..).all(|((seq, _), expected)| seq.0 == expected), "numbers are contiguous");
    records.iter().map(|(_, record)| String::from_utf8_lossy(record).into_owned()).collect()
}

fn chunk_files(dir: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(dir).expect("the directory is there").map(|file| file.expect("an entry").path());
    let mut chunks: Vec<PathBuf> = files.filter(|path| path.extension().is_some_and(|it| it == "chunk")).collect();
    chunks.sort();
    chunks
}

fn disk_bytes(dir: &Path) -> u64 {
    let files = fs::read_dir(dir).expect("the directory is there");
    files.map(|file| file.expect("an entry").metadata().expect("its metadata").len()).sum()
}

#[tokio::test]
async fn a_second_process_is_told_who_has_the_journal() {
    let dir = directory();
    let log = open(dir.path()).await;
    let error = FileLog::open(dir.path(), Env::system(), small()).await.expect_err("the directory is locked");
    let message = error.to_string();
    assert!(message.contains(&format!("process {}", std::process::id())), "{message}");
    assert!(message.contains("stop that process"), "{message}");
    drop(log);
    open(dir.path()).await;
}

#[tokio::test]
async fn what_arrives_during_a_write_is_one_group() {
    let dir = directory();
    let disk = Arc::new(ScriptedDisk::default());
    let log = open_on(dir.path(), disk.clone()).await;
    let appends = (0..50).map(|index| log.append(Seq::ZERO, vec![entry(&format!("{index}"), 0)]));
    let mut appends = Box::pin(join_all(appends));
    {
        let _hold = disk.hold.lock();
        assert!((&mut appends).now_or_never().is_none());
    }
    appends.await.into_iter().for_each(|done| drop(done.expect("append")));
    let writes = *disk.writes.lock();
    assert!(
        writes <= writer::WRITES_AT_ONCE + 1,
        "what the writers could not take at once is together: {writes} writes"
    );
}

#[tokio::test]
async fn an_idle_journal_is_small() {
    let dir = directory();
    let log = FileLog::open(dir.path(), Env::system(), FileOptions::default()).await.expect("the journal opens");
    append(&log, "registration", 0).await.expect("append");
    assert!(disk_bytes(dir.path()) < 64 << 10);
    for index in 0..5 {
        append(&log, &format!("{index}"), 60 << 20).await.expect("append");
    }
    log.trim(Seq(6), &LiveBodies::default()).await.expect("trim");
    log.trim(Seq(6), &LiveBodies::default()).await.expect("trim");
    let chunks = chunk_files(dir.path()).len() as u64;
    assert_eq!(chunks, 1, "what is dead is gone, and no spare is kept by an idle journal");
    assert!(disk_bytes(dir.path()) < 65 << 20);
}

#[tokio::test]
async fn an_entry_larger_than_a_chunk_fits() {
    let dir = directory();
    let log = open(dir.path()).await;
    append(&log, "large", 1 << 20).await.expect("append");
    append(&log, "small", 10).await.expect("append");
    drop(log);
    assert_eq!(texts(&open(dir.path()).await).await, ["large", "small"]);
}

#[tokio::test]
async fn a_recycled_chunk_yields_nothing_of_its_earlier_use() {
    let dir = directory();
    let log = open(dir.path()).await;
    for index in 0..40 {
        append(&log, &format!("old {index}"), 7_000).await.expect("append");
    }
    log.trim(Seq(38), &LiveBodies::default()).await.expect("trim");
    assert_eq!(fs::read_dir(dir.path()).expect("list").filter(is_spare).count(), 2, "two files wait to be recycled");
    assert!(matches!(log.read_body(Seq(1), 0..10).await, Err(ReadError::NotFound { .. })));
    let mut expected: Vec<String> = (38..40).map(|index| format!("old {index}")).collect();
    for index in 0..9 {
        append(&log, &format!("new {index}"), 7_000).await.expect("append");
        expected.push(format!("new {index}"));
    }
    let newest = chunk_files(dir.path()).pop().expect("a chunk");
    assert_eq!(fs::metadata(&newest).expect("metadata").len(), 64 << 10, "the newest chunk was written before");
    drop(log);
    let log = open(dir.path()).await;
    let records = recent::between(&log, Seq(38), log.tail().await.expect("tail")).await.expect("read");
    assert_eq!(records.iter().map(|(_, record)| record).collect::<Vec<_>>(), expected.iter().collect::<Vec<_>>());
    assert_eq!(fs::read_dir(dir.path()).expect("list").filter(is_spare).count(), 0, "a start keeps no spares");
}

fn is_spare(file: &io::Result<fs::DirEntry>) -> bool {
    file.as_ref().is_ok_and(|file| file.path().extension().is_some_and(|it| it == "spare"))
}

#[tokio::test]
async fn a_reader_keeps_its_chunk_while_it_is_trimmed() {
    let dir = directory();
    let log = open(dir.path()).await;
    for index in 0..40 {
        append(&log, &format!("{index}"), 7_000).await.expect("append");
    }
    let reading = log.shared.catalogue.open(Seq(1)).expect("open").expect("the chunk is there");
    log.trim(Seq(38), &LiveBodies::default()).await.expect("trim");
    for index in 0..40 {
        append(&log, &format!("new {index}"), 7_000).await.expect("append");
    }
    let mut scanner = scan::Scanner::new(&reading.file);
    let header = scanner.entry(BLOCK_BYTES as u64, Seq(1), reading.nonce).expect("read").expect("still the old entry");
    assert_eq!(scanner.record(&header).expect("read"), Some(Bytes::from_static(b"0")));
}

#[tokio::test]
async fn an_empty_newest_chunk_still_tells_where_the_log_ends() {
    let dir = directory();
    let log = open(dir.path()).await;
    for index in 0..30 {
        append(&log, &format!("{index}"), 7_000).await.expect("append");
    }
    drop(log);
    fs::write(chunk_path(dir.path(), Seq(31)), vec![0; BLOCK_BYTES]).expect("a chunk whose creation was cut short");
    let log = open(dir.path()).await;
    assert_eq!(log.tail().await.expect("tail"), Seq(30));
    log.trim(Seq(31), &LiveBodies::default()).await.expect("trim");
    assert_eq!(append(&log, "31", 0).await.expect("append"), Seq(31));
    drop(log);
    // The chunks before it may all be gone.
    for chunk in chunk_files(dir.path()) {
        fs::remove_file(chunk).expect("remove");
    }
    fs::write(chunk_path(dir.path(), Seq(32)), b"").expect("a chunk whose creation was cut short");
    let log = open(dir.path()).await;
    assert_eq!(append(&log, "32", 0).await.expect("append"), Seq(32), "no number is given twice");
}

/// The blocks of two entries that follow `durable`, made for `position` of a chunk.
fn group(chunk: format::ChunkHeader, position: u64, durable: u64) -> Vec<u8> {
    let mut group = gather::Group::new(chunk, position, Seq(durable).next(), Seq(durable));
    group.push(&entry("x", 0));
    group.push(&entry("y", 5_000));
    group.gather().slices().concat()
}

#[test]
fn an_entry_counts_with_the_chunks_nonce_the_next_number_and_its_own_position_only() {
    let chunk = format::ChunkHeader { first: Seq(5), nonce: 1 };
    let start = group(chunk, 0, 4);
    let end = start.len() as u64;
    let stranger = format::ChunkHeader { nonce: 2, ..chunk };
    let behind = [
        (group(chunk, end, 6), 4),
        (group(stranger, end, 6), 2),
        (group(chunk, end, 5), 2),
        (group(chunk, end + BLOCK_BYTES as u64, 6), 2),
        (group(chunk, end, 6)[1..].to_vec(), 2),
        (Vec::new(), 2),
    ];
    let dir = directory();
    for (index, (group, expected)) in behind.into_iter().enumerate() {
        let path = dir.path().join("chunk");
        fs::write(&path, [start.clone(), group].concat()).expect("write");
        let found = scan::walk_newest(&File::open(&path).expect("open"), Seq(5)).expect("nothing is damaged");
        assert_eq!(found.places.len(), expected, "case {index}");
        let other_name = scan::walk_newest(&File::open(&path).expect("open"), Seq(7)).expect("nothing is damaged");
        assert_eq!(other_name.places, [], "a recycled file under its new name");
    }
}

mod overlapping;

#[tokio::test]
async fn parts_of_bodies_are_theirs_whether_read_together_or_alone() {
    let dir = directory();
    let log = open_on(dir.path(), Arc::new(RealDisk { direct: false })).await;
    drop(log);
    let log = FileLog::open(dir.path(), Env::system(), FileOptions::default()).await.expect("open");
    let content = |seq: u64, at: u64| (seq * 31 + at / 5) as u8;
    for seq in 1..=40_u64 {
        let body: Vec<u8> = (0..100_000).map(|at| content(seq, at)).collect();
        let entry = Entry { record: Bytes::from("record"), body: Some(Body::from(Bytes::from(body))) };
        log.append(Seq(seq - 1), vec![entry]).await.expect("append");
    }
    let check = async |log: &FileLog| {
        let parts = (1..=40_u64).flat_map(|seq| [(seq, 0..40_000), (seq, 40_000..99_999), (seq, 7..8)]);
        let reads = join_all(parts.clone().map(|(seq, range)| log.read_body(Seq(seq), range))).await;
        for ((seq, range), read) in parts.zip(reads) {
            assert!(read.expect("read").into_iter().eq(range.map(|at| content(seq, at))), "body {seq}");
        }
    };
    check(&log).await;
    log.trim(Seq(0), &LiveBodies::default()).await.expect("trim");
    check(&log).await;
    drop(log);
    check(&FileLog::open(dir.path(), Env::system(), FileOptions::default()).await.expect("open")).await;
}

/// A disk whose writes can fail half done, and which can be gone altogether.
#[derive(Debug)]
struct ScriptedDisk {
    real: RealDisk,
    /// For the writes to come; when it is empty they succeed.
    faults: Mutex<VecDeque<Option<WriteFault>>>,
    /// Error number of the cuts to come.
    cut_error: Mutex<Option<i32>>,
    create_error: Mutex<Option<i32>>,
    writes: Mutex<usize>,
    /// Writes wait while a test holds this.
    hold: Mutex<()>,
}

/// A write that fails: which of its blocks land all the same (bit by block, repeating), and with what error.
#[derive(Clone, Copy, Debug)]
struct WriteFault {
    blocks: u64,
    error: i32,
}

const EIO: i32 = 5;
const ENOSPC: i32 = 28;
const EROFS: i32 = 30;

impl Default for ScriptedDisk {
    fn default() -> ScriptedDisk {
        ScriptedDisk {
            real: RealDisk { direct: false },
            faults: Mutex::default(),
            cut_error: Mutex::default(),
            create_error: Mutex::default(),
            writes: Mutex::default(),
            hold: Mutex::default(),
        }
    }
}

impl ScriptedDisk {
    fn fail_next(&self, blocks: u64, error: i32) {
        self.faults.lock().push_back(Some(WriteFault { blocks, error }));
    }

    fn fail(error: Option<i32>) -> io::Result<()> {
        error.map_or(Ok(()), |error| Err(io::Error::from_raw_os_error(error)))
    }
}

impl Disk for ScriptedDisk {
    fn create(&self, path: &Path, truncate: bool) -> io::Result<File> {
        ScriptedDisk::fail(*self.create_error.lock())?;
        self.real.create(path, truncate)
    }

    fn write(&self, file: &File, slices: &[&[u8]], position: u64) -> io::Result<()> {
        drop(self.hold.lock());
        *self.writes.lock() += 1;
        let Some(fault) = self.faults.lock().pop_front().flatten() else {
            return self.real.write(file, slices, position);
        };
        for (index, block) in slices.concat().chunks(BLOCK_BYTES).enumerate() {
            if fault.blocks >> (index % 64) & 1 == 1 {
                self.real.write(file, &[block], position + (index * BLOCK_BYTES) as u64)?;
            }
        }
        Err(io::Error::from_raw_os_error(fault.error))
    }

    fn truncate(&self, file: &File, bytes: u64) -> io::Result<()> {
        ScriptedDisk::fail(*self.cut_error.lock())?;
        self.real.truncate(file, bytes)
    }
}

fn cause_of(outcome: Result<Seq, AppendError>) -> String {
    match outcome {
        Err(AppendError::NotDone { cause }) => cause.to_string(),
        other => panic!("expected NotDone, got {other:?}"),
    }
}

#[tokio::test]
async fn a_full_disk_is_named_and_the_journal_goes_on_when_there_is_space() {
    let dir = directory();
    let disk = Arc::new(ScriptedDisk::default());
    let log = open_on(dir.path(), disk.clone()).await;
    append(&log, "a", 0).await.expect("append");
    for (blocks, create_error) in [(0, None), (u64::MAX, Some(ENOSPC)), (0b1, None)] {
        disk.fail_next(blocks, ENOSPC);
        let cause = cause_of(append(&log, "torn", 9_000).await);
        assert!(cause.contains("No space left") && cause.contains(".chunk"), "{cause}");
        *disk.create_error.lock() = create_error;
        if create_error.is_some() {
            assert!(cause_of(append(&log, "no chunk", 0).await).contains("create"));
        }
        *disk.create_error.lock() = None;
    }
    assert_eq!(append(&log, "b", 0).await.expect("append"), Seq(2));
    drop(log);
    assert_eq!(texts(&open(dir.path()).await).await, ["a", "b"]);
}

#[tokio::test]
async fn a_read_only_file_system_is_named() {
    let dir = directory();
    let disk = Arc::new(ScriptedDisk::default());
    let log = open_on(dir.path(), disk.clone()).await;
    append(&log, "a", 0).await.expect("append");
    *disk.cut_error.lock() = Some(EROFS);
    disk.fail_next(0, EROFS);
    let cause = cause_of(append(&log, "b", 0).await);
    assert!(cause.contains("Read-only file system"), "{cause}");
    assert!(cause_of(append(&log, "c", 0).await).contains("Read-only"), "still");
    *disk.cut_error.lock() = None;
    append(&log, "d", 0).await.expect("mounted for writing again");
    assert_eq!(texts(&log).await, ["a", "d"]);
}

#[tokio::test]
async fn a_failed_write_that_cannot_be_cut_off_has_an_unknown_outcome() {
    let dir = directory();
    let disk = Arc::new(ScriptedDisk::default());
    let log = open_on(dir.path(), disk.clone()).await;
    append(&log, "a", 0).await.expect("append");
    *disk.cut_error.lock() = Some(EIO);
    disk.fail_next(u64::MAX, EIO);
    assert!(matches!(append(&log, "b", 0).await, Err(AppendError::Unknown { .. })));
    cause_of(append(&log, "c", 0).await);
    *disk.cut_error.lock() = None;
    append(&log, "d", 0).await.expect("the disk is well again");
    drop(log);
    assert_eq!(texts(&open(dir.path()).await).await, ["a", "d"]);
}

/// A step of a random life.
#[derive(Clone, Debug)]
enum Step {
    /// That many appends at once, with bodies of this size.
    Append { count: usize, body_bytes: usize },
    /// The same, but the write fails with these blocks done.
    Fail { count: usize, body_bytes: usize, blocks: u64, cut_fails: bool },
    /// The process dies and starts again.
    Restart,
    /// What is below this part (of 8) of the log is trimmed.
    Trim(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let body_bytes = || prop_oneof![Just(0_usize), 1..20_000_usize];
    prop_oneof![
        4 => (1..4_usize, body_bytes()).prop_map(|(count, body_bytes)| Step::Append { count, body_bytes }),
        2 => (1..4_usize, body_bytes(), any::<u64>(), any::<bool>())
            .prop_map(|(count, body_bytes, blocks, cut_fails)| Step::Fail { count, body_bytes, blocks, cut_fails }),
        2 => Just(Step::Restart),
        1 => (0..=8_u64).prop_map(Step::Trim),
    ]
}

/// What a log must hold.
#[derive(Default)]
struct Model {
    /// Acknowledged.
    entries: Vec<Entry>,
    /// Of unknown outcome: a prefix of them may follow after a restart.
    perhaps: Vec<Entry>,
    trimmed_below: u64,
    count: usize,
}

impl Model {
    fn fresh(&mut self, count: usize, body_bytes: usize) -> Vec<Entry> {
        self.count += count;
        (self.count - count..self.count).map(|number| entry(&format!("entry {number}"), body_bytes)).collect()
    }

    async fn apply(&mut self, step: &Step, dir: &Path, log: &mut Option<FileLog>, disk: &Arc<ScriptedDisk>) {
        let handle = log.as_ref().expect("the log is open");
        match step {
            Step::Append { count, body_bytes } => {
                let entries = self.fresh(*count, *body_bytes);
                let appended = handle.append(Seq(self.entries.len() as u64), entries.clone()).await.expect("append");
                assert_eq!(appended.first.0, self.entries.len() as u64 + 1);
                self.entries.extend(entries);
                self.perhaps.clear();
            }
            Step::Fail { count, body_bytes, blocks, cut_fails } => {
                let entries = self.fresh(*count, *body_bytes);
                *disk.cut_error.lock() = cut_fails.then_some(EIO);
                disk.fail_next(*blocks, EIO);
                match handle.append(Seq(self.entries.len() as u64), entries.clone()).await {
                    Err(AppendError::Unknown { .. }) => self.perhaps = entries,
                    Err(AppendError::NotDone { .. }) => {}
                    other => panic!("expected a failure, got {other:?}"),
                }
                // An append after an unknown outcome waits until the rest of it is cut off.
                disk.faults.lock().clear();
                *disk.cut_error.lock() = None;
            }
            Step::Restart => {
                drop(log.take());
                *log = Some(open_on(dir, disk.clone()).await);
            }
            Step::Trim(eighths) => {
                let below = self.entries.len() as u64 * eighths / 8;
                handle.trim(Seq(below), &LiveBodies::default()).await.expect("trim");
                self.trimmed_below = self.trimmed_below.max(below);
            }
        }
        self.check(log.as_ref().expect("the log is open"), matches!(step, Step::Restart)).await;
    }

    async fn check(&mut self, log: &FileLog, restarted: bool) {
        let tail = log.tail().await.expect("tail").0 as usize;
        let extra = tail.checked_sub(self.entries.len()).expect("nothing acknowledged is lost");
        assert!(extra <= if restarted { self.perhaps.len() } else { 0 }, "{extra} entries came from nowhere");
        if restarted {
            self.entries.extend(self.perhaps.drain(..).take(extra));
        }
        let after = Seq(self.trimmed_below.saturating_sub(1));
        let records = recent::between(log, after, Seq(tail as u64)).await.expect("read");
        for (seq, record) in &records {
            assert_eq!(*record, self.entries[seq.0 as usize - 1].record);
        }
        for seq in (after.0 + 1..=tail as u64).rev().step_by(3) {
            if let Some(body) = &self.entries[seq as usize - 1].body {
                let read = log.read_body(Seq(seq), 0..body.len() as u64).await.expect("the body is there");
                assert_eq!(read, body.slices().concat());
            }
        }
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// Writes `count` entries one after the other into one chunk, the odd ones with a body; returns the chunk.
async fn written(dir: &Path, count: u64) -> PathBuf {
    let options = FileOptions { direct: false, ..FileOptions::default() };
    let log = FileLog::open(dir, Env::system(), options).await.expect("the journal opens");
    for index in 1..=count {
        append(&log, &format!("entry {index}"), (index % 2) as usize * 6_000).await.expect("append");
    }
    drop(log);
    chunk_files(dir).pop().expect("one chunk")
}

/// The headers of a chunk with valid content.
fn headers(bytes: &[u8]) -> Vec<EntryHeader> {
    let mut headers: Vec<EntryHeader> = Vec::new();
    let mut position = BLOCK_BYTES;
    while let Some(header) = bytes.get(position..).and_then(EntryHeader::parse) {
        position = header.end() as usize;
        headers.push(header);
    }
    headers
}

#[derive(Clone, Copy, Debug)]
enum Damage {
    Flip,
    Zero,
    Truncate,
}

/// Damages a journal of six entries at `place` (0: the start of the file, 1: its end), and checks what opening makes of it.
async fn check_damage(damage: Damage, place: f64, width: usize) {
    let dir = directory();
    let chunk = written(dir.path(), 6).await;
    let mut bytes = fs::read(&chunk).expect("read");
    let headers = headers(&bytes);
    assert_eq!(headers.len(), 6);
    let at = (bytes.len() as f64 * place) as usize;
    match damage {
        Damage::Flip => bytes[at] ^= 1,
        Damage::Zero => {
            let end = (at + width).min(bytes.len());
            bytes[at..end].fill(0);
        }
        Damage::Truncate => bytes.truncate(at),
    }
    fs::write(&chunk, &bytes).expect("write");
    let hit = headers.iter().position(|header| (at as u64) < header.end()).expect("inside an entry");
    let options = FileOptions { direct: false, ..FileOptions::default() };
    match FileLog::open(dir.path(), Env::system(), options).await {
        Err(error) => {
            assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
            assert!(hit < 5, "a torn last write is no damage: {error}");
        }
        Ok(log) => {
            let tail = log.tail().await.expect("tail").0 as usize;
            match damage {
                Damage::Truncate => assert!(tail == hit || tail == hit + 1, "cut in entry {hit}, tail {tail}"),
                Damage::Flip => assert!(tail >= 5, "hit entry {hit}, tail {tail}"),
                // Enough of it takes the witnesses too.
                Damage::Zero => assert!(tail >= hit.min(5), "hit entry {hit}, tail {tail}"),
            }
            check_survivors(&log, tail).await;
            append(&log, "after", 5_000).await.expect("append");
            drop(log);
            let log = open(dir.path()).await;
            let mut expected: Vec<String> = (1..=tail).map(|index| format!("entry {index}")).collect();
            expected.push("after".into());
            assert_eq!(texts(&log).await, expected, "nothing comes back");
        }
    }
}

async fn check_survivors(log: &FileLog, tail: usize) {
    let expected: Vec<String> = (1..=tail).map(|index| format!("entry {index}")).collect();
    assert_eq!(texts(log).await, expected);
    for index in (1..=tail).filter(|index| index % 2 == 1) {
        let body = entry(&format!("entry {index}"), 6_000).body.expect("a body").slices().concat();
        match log.read_body(Seq(index as u64), 0..body.len() as u64).await {
            Ok(read) => assert_eq!(read, body),
            Err(error) => assert!(matches!(error, ReadError::Corrupt { .. }), "{error}"),
        }
    }
}

#[tokio::test]
async fn damage_at_every_kind_of_place_is_found_or_harmless() {
    let probe = directory();
    let bytes = fs::read(written(probe.path(), 6).await).expect("read");
    let len = bytes.len() as f64;
    let mut places = vec![0, 4, 8, 31, 40, BLOCK_BYTES - 1];
    for header in headers(&bytes) {
        let (start, record_end) = (header.position as usize, header.position as usize + ENTRY_HEADER_BYTES + 7);
        let body = (header.position + header.head_bytes()) as usize;
        places.extend([start, start + 8, start + 79, start + 80, record_end - 1, record_end, body - 1]);
        places.extend([body, body + 1, header.end() as usize - 1].map(|place| place.min(bytes.len() - 1)));
    }
    for place in places {
        let place = (place as f64 + 0.5) / len;
        check_damage(Damage::Flip, place, 1).await;
        check_damage(Damage::Zero, place, 512).await;
        check_damage(Damage::Truncate, place, 0).await;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_life_keeps_what_was_acknowledged(steps in prop::collection::vec(step(), 1..40)) {
        runtime().block_on(async {
            let (dir, disk) = (directory(), Arc::new(ScriptedDisk::default()));
            let mut log = Some(open_on(dir.path(), disk.clone()).await);
            let mut model = Model::default();
            for step in &steps {
                model.apply(step, dir.path(), &mut log, &disk).await;
            }
        });
    }

    #[test]
    fn any_damage_is_found_or_harmless(place in 0.0..1.0_f64, kind in 0..3_usize, width in 1..20_000_usize) {
        let damage = [Damage::Flip, Damage::Zero, Damage::Truncate][kind];
        runtime().block_on(check_damage(damage, place, width));
    }
}
