//! The suite that every engine and every decorator passes: the port's contract, point by point.

use crate::port::{AppendError, Body, CommitLog, Entry, LiveBodies, ReadError};
use async_trait::async_trait;
use bytes::Bytes;
use frazil_base::limits::BLOCK_BYTES;
use frazil_base::{AlignedBuffer, Seq};
use futures::FutureExt;
use futures::future::join_all;
use std::sync::Arc;
use std::time::Duration;

/// Long enough for anything that happens at all.
const PATIENCE: Duration = Duration::from_secs(600);

/// A place where a log lives.
#[async_trait]
pub trait Site: Send + Sync {
    /// Opens a handle on the log of this site, whose caller has a snapshot up to `known`.
    async fn open(&self, known: Seq) -> Arc<dyn CommitLog>;

    /// Whether a second handle can be opened while the first one is.
    fn admits_second_handle(&self) -> bool;
}

/// Runs the suite; `fresh` gives a site with an empty log each time.
pub async fn conformance(fresh: &dyn Fn() -> Box<dyn Site>) {
    an_empty_log_has_no_records(fresh().as_ref()).await;
    records_come_back_in_order(fresh().as_ref()).await;
    an_append_returns_what_its_caller_does_not_know(fresh().as_ref()).await;
    overlapping_appends_keep_the_order_in_which_they_began(fresh().as_ref()).await;
    reads_are_limited_and_go_on_where_they_ended(fresh().as_ref()).await;
    bodies_come_back_and_buffers_are_given_back(fresh().as_ref()).await;
    waiting_ends_with_an_append_or_with_time(fresh().as_ref()).await;
    a_trim_spares_what_follows_and_live_bodies(fresh().as_ref()).await;
    a_restart_finds_everything_that_was_acknowledged(fresh().as_ref()).await;
    an_abandoned_append_does_not_stop_the_others(fresh().as_ref()).await;
    a_closed_handle_appends_nothing(fresh().as_ref()).await;
    ten_thousand_small_appends_survive_a_restart(fresh().as_ref()).await;
    if fresh().admits_second_handle() {
        second_handles_share_or_fence(fresh().as_ref()).await;
    }
}

/// An entry without a body.
fn entry(record: &str) -> Entry {
    Entry { record: Bytes::copy_from_slice(record.as_bytes()), body: None }
}

fn body_entry(record: &str, body: Body) -> Entry {
    Entry { body: Some(body), ..entry(record) }
}

/// Bytes that tell their position.
fn pattern(bytes: usize, seed: u8) -> Vec<u8> {
    (0..bytes).map(|index| (index / 251) as u8 ^ (index % 251) as u8 ^ seed).collect()
}

async fn append(log: &dyn CommitLog, known: Seq, record: &str) -> Seq {
    let appended = log.append(known, vec![entry(record)]).await.expect("the append succeeds");
    let last = appended.records.last().expect("the caller's own record is returned");
    assert_eq!(*last, (appended.first, Bytes::copy_from_slice(record.as_bytes())), "the own record comes last");
    appended.first
}

async fn read_all(log: &dyn CommitLog, mut after: Seq) -> Vec<(Seq, Bytes)> {
    let mut records = Vec::new();
    loop {
        let some = log.read(after, 64 << 10).await.expect("the log can be read");
        let Some((last, _)) = some.last() else { return records };
        assert!(*last > after, "a read goes on");
        after = *last;
        records.extend(some);
    }
}

fn texts(records: &[(Seq, Bytes)]) -> Vec<String> {
    assert!(records.windows(2).all(|pair| pair[0].0 < pair[1].0), "numbers ascend");
    records.iter().map(|(_, record)| String::from_utf8_lossy(record).into_owned()).collect()
}

async fn an_empty_log_has_no_records(site: &dyn Site) {
    let log = site.open(Seq::ZERO).await;
    assert_eq!(log.tail().await.expect("tail"), Seq::ZERO);
    assert_eq!(log.read(Seq::ZERO, 100).await.expect("read"), vec![]);
    assert_eq!(log.wait_beyond(Seq::ZERO, Duration::from_millis(1)).await.expect("wait"), Seq::ZERO);
    log.trim(Seq(1), &LiveBodies::default()).await.expect("trimming nothing");
    assert!(matches!(log.read_body(Seq(1), 0..1).await, Err(ReadError::NotFound { seq: Seq(1) })));
}

async fn records_come_back_in_order(site: &dyn Site) {
    let log = site.open(Seq::ZERO).await;
    let first = append(&*log, Seq::ZERO, "a").await;
    assert!(first >= Seq(1));
    let appended = log.append(first, vec![entry("b"), entry(""), entry("c")]).await.expect("append of three");
    assert_eq!(texts(&appended.records), ["b", "", "c"]);
    assert_eq!(appended.records[0].0, appended.first);
    let long = "long".repeat(1 << 20);
    let last = append(&*log, appended.records[2].0, &long).await;
    let records = read_all(&*log, Seq::ZERO).await;
    assert_eq!(texts(&records), ["a", "b", "", "c", &long]);
    assert_eq!(log.tail().await.expect("tail"), last);
    assert_eq!(read_all(&*log, appended.first).await, records[2..]);
    assert_eq!(log.read(last, 100).await.expect("read at the end"), vec![]);
}

async fn an_append_returns_what_its_caller_does_not_know(site: &dyn Site) {
    let first_life = site.open(Seq::ZERO).await;
    let known = append(&*first_life, Seq::ZERO, "a").await;
    append(&*first_life, known, "b").await;
    drop(first_life);
    let log = site.open(Seq::ZERO).await;
    let appended = log.append(known, vec![entry("c")]).await.expect("append");
    assert_eq!(texts(&appended.records), ["b", "c"]);
}

async fn overlapping_appends_keep_the_order_in_which_they_began(site: &dyn Site) {
    let log = site.open(Seq::ZERO).await;
    let calls =
        (0..100).map(|call| log.append(Seq::ZERO, vec![entry(&format!("{call}-0")), entry(&format!("{call}-1"))]));
    let firsts: Vec<Seq> = join_all(calls).await.into_iter().map(|done| done.expect("append").first).collect();
    assert!(firsts.is_sorted(), "numbers follow the order of the calls: {firsts:?}");
    let expected: Vec<String> = (0..100).flat_map(|call| [format!("{call}-0"), format!("{call}-1")]).collect();
    assert_eq!(texts(&read_all(&*log, Seq::ZERO).await), expected);
}

async fn reads_are_limited_and_go_on_where_they_ended(site: &dyn Site) {
    let log = site.open(Seq::ZERO).await;
    let record = "x".repeat(1000);
    let appends = (0..50).map(|_| log.append(Seq::ZERO, vec![entry(&record)]));
    join_all(appends).await.into_iter().for_each(|done| drop(done.expect("append")));
    for log in [log.clone(), reopened(site, log).await] {
        assert_eq!(log.read(Seq::ZERO, 1).await.expect("read").len(), 1, "at least one");
        assert_eq!(log.read(Seq::ZERO, 0).await.expect("read").len(), 1, "at least one");
        let some = log.read(Seq::ZERO, 10_000).await.expect("read");
        assert!((9..=11).contains(&some.len()), "about as much as was asked for: {}", some.len());
        assert_eq!(some.len() + read_all(&*log, some.last().expect("some").0).await.len(), 50);
    }
}

/// A handle opened after the last one was dropped; on sites that admit it the old one lives on, read-only.
async fn reopened(site: &dyn Site, log: Arc<dyn CommitLog>) -> Arc<dyn CommitLog> {
    log.close().await;
    drop(log);
    site.open(Seq::ZERO).await
}

fn bodies() -> Vec<Body> {
    let aligned = |bytes: usize| {
        let mut buffer = AlignedBuffer::with_capacity(bytes);
        buffer.extend_from_slice(&pattern(bytes, 3));
        Bytes::from_owner(buffer)
    };
    let plain = |bytes: usize| Bytes::from(pattern(bytes, 5));
    vec![
        Body::from(plain(1)),
        Body::from(plain(BLOCK_BYTES)),
        Body::from(aligned(3 * BLOCK_BYTES)),
        Body::from(aligned(2 * BLOCK_BYTES + 17)),
        Body::from(vec![
            aligned(BLOCK_BYTES),
            plain(100),
            aligned(BLOCK_BYTES),
            Bytes::new(),
            plain(BLOCK_BYTES - 100),
        ]),
        Body::from(vec![plain(5), aligned(4 * BLOCK_BYTES), plain(7)]),
        Body::from(plain(3 << 20)),
        Body::default(),
    ]
}

async fn bodies_come_back_and_buffers_are_given_back(site: &dyn Site) {
    let log = site.open(Seq::ZERO).await;
    if !log.carries_bodies() {
        return;
    }
    let joined: Vec<Vec<u8>> = bodies().iter().map(|body| body.slices().concat()).collect();
    let mut seqs = Vec::new();
    for body in bodies() {
        seqs.push(log.append(Seq::ZERO, vec![body_entry("r", body)]).await.expect("append").first);
    }
    let kept = Bytes::from(pattern(100_000, 9));
    let without = log.append(Seq::ZERO, vec![body_entry("r", kept.clone().into()), entry("s")]).await.expect("append");
    assert!(kept.is_unique(), "the engine dropped its slices before it answered");
    for log in [log.clone(), reopened(site, log).await] {
        for (seq, body) in seqs.iter().zip(&joined) {
            let end = body.len() as u64;
            for range in [0..end, 0..end / 2, end / 3..end, end / 2..end / 2, end.saturating_sub(1)..end] {
                let read = log.read_body(*seq, range.clone()).await.expect("the body is there");
                assert_eq!(read, body[range.start as usize..range.end as usize], "bytes {range:?} of {end}");
            }
            assert!(log.read_body(*seq, 0..end + 1).await.is_err(), "beyond the end");
        }
        assert!(log.read_body(without.first.next(), 0..1).await.is_err(), "an entry without a body");
        assert_eq!(read_all(&*log, Seq::ZERO).await.len(), seqs.len() + 2);
    }
}

async fn waiting_ends_with_an_append_or_with_time(site: &dyn Site) {
    let log = site.open(Seq::ZERO).await;
    let waiter = tokio::spawn({
        let log = log.clone();
        async move { log.wait_beyond(Seq::ZERO, PATIENCE).await }
    });
    let seq = append(&*log, Seq::ZERO, "a").await;
    assert_eq!(waiter.await.expect("the task ends").expect("wait"), seq);
    assert_eq!(log.wait_beyond(Seq::ZERO, PATIENCE).await.expect("wait"), seq, "at once");
    assert_eq!(log.wait_beyond(seq, Duration::from_millis(1)).await.expect("wait"), seq, "in vain");
}

async fn a_trim_spares_what_follows_and_live_bodies(site: &dyn Site) {
    let log = site.open(Seq::ZERO).await;
    let mut seqs = Vec::new();
    for index in 0..300 {
        let body = log.carries_bodies().then(|| Body::from(Bytes::from(pattern(20_000, index as u8))));
        let entry = Entry { record: format!("{index}").into(), body };
        seqs.push(log.append(Seq::ZERO, vec![entry]).await.expect("append").first);
    }
    let (live, below) = ([seqs[3], seqs[100]], seqs[200]);
    log.trim(below, &live.into_iter().collect()).await.expect("trim");
    log.trim(below, &live.into_iter().collect()).await.expect("trim again");
    for log in [log.clone(), reopened_at(site, log, below).await] {
        let expected: Vec<String> = (201..300).map(|index| format!("{index}")).collect();
        assert_eq!(texts(&read_all(&*log, below).await), expected);
        assert_eq!(log.tail().await.expect("tail"), seqs[299]);
        match log.read(seqs[0], 10).await {
            Ok(records) => assert_eq!(records[0].0, seqs[1], "nothing is left out silently"),
            Err(error) => assert!(matches!(error, ReadError::NotFound { .. }), "{error}"),
        }
        if log.carries_bodies() {
            assert_eq!(log.read_body(seqs[3], 0..20_000).await.expect("live"), pattern(20_000, 3));
            assert_eq!(log.read_body(seqs[100], 5..9_000).await.expect("live"), pattern(20_000, 100)[5..9_000]);
            assert_eq!(log.read_body(seqs[250], 0..20_000).await.expect("kept"), pattern(20_000, 250));
        }
    }
}

async fn reopened_at(site: &dyn Site, log: Arc<dyn CommitLog>, known: Seq) -> Arc<dyn CommitLog> {
    log.close().await;
    drop(log);
    site.open(known).await
}

async fn a_restart_finds_everything_that_was_acknowledged(site: &dyn Site) {
    let (mut expected, mut known) = (Vec::new(), Seq::ZERO);
    for life in 0..5 {
        let log = site.open(Seq::ZERO).await;
        assert_eq!(log.tail().await.expect("tail"), known);
        for index in 0..4 {
            let record = format!("{life}-{index}");
            known = append(&*log, known, &record).await;
            expected.push((known, Bytes::from(record)));
        }
        assert_eq!(read_all(&*log, Seq::ZERO).await, expected);
    }
    site.open(Seq::ZERO).await;
    assert_eq!(read_all(&*site.open(Seq::ZERO).await, Seq::ZERO).await, expected);
}

async fn an_abandoned_append_does_not_stop_the_others(site: &dyn Site) {
    let log = site.open(Seq::ZERO).await;
    let mut known = Seq::ZERO;
    for round in 0..20 {
        let abandoned = log.append(known, vec![entry(&format!("{round} abandoned"))]).now_or_never();
        let appended = log.append(known, vec![entry(&format!("{round}"))]).await.expect("append");
        if let Some(done) = abandoned {
            known = known.max(done.expect("it was done at once").first);
        }
        let written = read_all(&*log, known).await;
        assert_eq!(appended.records.last(), written.last());
        let unknown: Vec<_> = appended.records.iter().filter(|(seq, _)| *seq > known).cloned().collect();
        assert_eq!(unknown, written, "what nobody was told of is told with the next append");
        known = appended.first;
    }
}

async fn a_closed_handle_appends_nothing(site: &dyn Site) {
    let log = site.open(Seq::ZERO).await;
    let seq = append(&*log, Seq::ZERO, "a").await;
    log.close().await;
    log.close().await;
    let refused = log.append(seq, vec![entry("b")]).await;
    assert!(matches!(refused, Err(AppendError::NotDone { .. })), "{refused:?}");
    assert_eq!(texts(&read_all(&*log, Seq::ZERO).await), ["a"]);
    drop(log);
    assert_eq!(texts(&read_all(&*site.open(Seq::ZERO).await, Seq::ZERO).await), ["a"]);
}

async fn ten_thousand_small_appends_survive_a_restart(site: &dyn Site) {
    let log = site.open(Seq::ZERO).await;
    let mut known = Seq::ZERO;
    for round in 0..100 {
        let appends = (0..100).map(|index| log.append(known, vec![entry(&format!("{}", round * 100 + index))]));
        let done = join_all(appends).await;
        known = done.last().and_then(|done| done.as_ref().ok()).expect("append").first;
    }
    let log = reopened(site, log).await;
    assert_eq!(log.tail().await.expect("tail"), known);
    let expected: Vec<String> = (0..10_000).map(|index| format!("{index}")).collect();
    assert_eq!(texts(&read_all(&*log, Seq::ZERO).await), expected);
}

async fn second_handles_share_or_fence(site: &dyn Site) {
    let first = site.open(Seq::ZERO).await;
    let seq = append(&*first, Seq::ZERO, "a").await;
    let second = site.open(Seq::ZERO).await;
    let waiter = tokio::spawn({
        let first = first.clone();
        async move { first.wait_beyond(seq, PATIENCE).await }
    });
    let next = append(&*second, seq, "b").await;
    let further = first.append(seq, vec![entry("c")]).await;
    if first.is_exclusive() {
        assert!(matches!(further, Err(AppendError::Fenced { .. })), "{further:?}");
        let again = first.append(seq, vec![entry("d")]).await;
        assert!(matches!(again, Err(AppendError::Fenced { .. })), "fencing is final: {again:?}");
        waiter.abort();
        append(&*second, next, "e").await;
        assert_eq!(texts(&read_all(&*second, Seq::ZERO).await), ["a", "b", "e"]);
    } else {
        assert_eq!(texts(&further.expect("append").records), ["b", "c"], "each sees the other's records");
        assert!(waiter.await.expect("the task ends").expect("wait") >= next);
        assert_eq!(read_all(&*first, Seq::ZERO).await, read_all(&*second, Seq::ZERO).await);
    }
}
