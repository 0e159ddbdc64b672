//! Groups that are written at the same time: they land in any order, are answered in theirs, and fail together.

use super::*;
use parking_lot::Condvar;
use std::collections::BTreeSet;
use tokio::sync::watch;

/// A disk whose writes a test holds back, and lets fail, by the text of a record in them.
#[derive(Debug)]
struct GatedDisk {
    real: RealDisk,
    held: Mutex<BTreeSet<&'static str>>,
    released: Condvar,
    failing: Mutex<BTreeSet<&'static str>>,
    /// Texts whose writes are over.
    landed: watch::Sender<BTreeSet<String>>,
}

impl GatedDisk {
    fn holding(texts: &[&'static str]) -> Arc<GatedDisk> {
        Arc::new(GatedDisk {
            real: RealDisk { direct: false },
            held: Mutex::new(texts.iter().copied().collect()),
            released: Condvar::new(),
            failing: Mutex::default(),
            landed: watch::Sender::default(),
        })
    }

    fn release(&self, text: &str) {
        self.held.lock().remove(text);
        self.released.notify_all();
    }

    async fn landed(&self, text: &str) {
        self.landed.subscribe().wait_for(|landed| landed.contains(text)).await.expect("the disk is there");
    }
}

impl Disk for GatedDisk {
    fn create(&self, path: &Path, truncate: bool) -> io::Result<File> {
        self.real.create(path, truncate)
    }

    fn write(&self, file: &File, slices: &[&[u8]], position: u64) -> io::Result<()> {
        let bytes = slices.concat();
        let holds = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
        self.released.wait_while(&mut self.held.lock(), |held| held.iter().any(|text| holds(text)));
        let fails = self.failing.lock().iter().any(|text| holds(text));
        let written =
            if fails { Err(io::Error::from_raw_os_error(EIO)) } else { self.real.write(file, slices, position) };
        self.landed.send_modify(|landed| {
            let texts = ["first", "second", "third"].into_iter().filter(|text| holds(text));
            landed.extend(texts.map(str::to_owned));
        });
        written
    }

    fn truncate(&self, file: &File, bytes: u64) -> io::Result<()> {
        self.real.truncate(file, bytes)
    }
}

type Append = tokio::task::JoinHandle<Result<Seq, AppendError>>;

/// "zero" is durable; "first" is held back, "second" and "third" have been written behind it.
struct Overlap {
    dir: TempDir,
    disk: Arc<GatedDisk>,
    log: Arc<FileLog>,
    appends: [Append; 3],
}

impl Overlap {
    async fn new() -> Overlap {
        let (dir, disk) = (directory(), GatedDisk::holding(&["first"]));
        let log = Arc::new(open_on(dir.path(), disk.clone()).await);
        append(&log, "zero", 0).await.expect("append");
        // A write of its own for each: the next is queued when the one before is under way or over.
        let first = start(&log, "first");
        queue_is_empty(&log).await;
        let second = start(&log, "second");
        disk.landed("second").await;
        let third = start(&log, "third");
        disk.landed("third").await;
        Overlap { dir, disk, log, appends: [first, second, third] }
    }
}

fn start(log: &Arc<FileLog>, text: &'static str) -> Append {
    let log = log.clone();
    tokio::spawn(async move { append(&log, text, 9_000).await })
}

/// Waits until the writers have taken everything: then the next append cannot join the group of the one before.
async fn queue_is_empty(log: &FileLog) {
    while log.shared.departed.load(Ordering::Acquire) < 2 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_land_in_any_order_and_are_answered_in_theirs() {
    let Overlap { disk, log, appends, .. } = Overlap::new().await;
    assert!(appends.iter().all(|append| !append.is_finished()), "the first one is not durable");
    assert_eq!(log.tail().await.expect("tail"), Seq(1));
    disk.release("first");
    for (append, seq) in appends.into_iter().zip(2..) {
        assert_eq!(append.await.expect("no panic").expect("append"), Seq(seq));
    }
    assert_eq!(texts(&log).await, ["zero", "first", "second", "third"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_before_the_first_of_them_landed_leaves_none() {
    let Overlap { dir, disk, log, appends } = Overlap::new().await;
    let crashed = directory();
    for chunk in chunk_files(dir.path()) {
        fs::copy(&chunk, crashed.path().join(chunk.file_name().expect("a name"))).expect("copy");
    }
    let restarted = open(crashed.path()).await;
    assert_eq!(texts(&restarted).await, ["zero"], "what stands behind the hole was never acknowledged");
    assert_eq!(append(&restarted, "next", 0).await.expect("append"), Seq(2));
    drop(restarted);
    assert_eq!(texts(&open(crashed.path()).await).await, ["zero", "next"]);
    disk.release("first");
    drop((log, appends));
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_behind_a_failed_one_fail_with_it_although_they_were_written() {
    let Overlap { dir, disk, log, appends } = Overlap::new().await;
    disk.failing.lock().insert("first");
    disk.release("first");
    for append in appends {
        let cause = cause_of(append.await.expect("no panic"));
        assert!(cause.contains(".chunk"), "{cause}");
    }
    assert_eq!(append(&log, "next", 0).await.expect("append"), Seq(2));
    drop(log);
    assert_eq!(texts(&open(dir.path()).await).await, ["zero", "next"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_before_a_failed_one_is_answered_as_durable() {
    let (dir, disk) = (directory(), GatedDisk::holding(&["first"]));
    let log = Arc::new(open_on(dir.path(), disk.clone()).await);
    append(&log, "zero", 0).await.expect("append");
    disk.failing.lock().insert("second");
    let first = start(&log, "first");
    queue_is_empty(&log).await;
    let second = start(&log, "second");
    disk.landed("second").await;
    assert!(!second.is_finished(), "its failure is told when nothing is in flight any more");
    disk.release("first");
    assert_eq!(first.await.expect("no panic").expect("append"), Seq(2));
    cause_of(second.await.expect("no panic"));
    drop(log);
    assert_eq!(texts(&open(dir.path()).await).await, ["zero", "first"]);
}
