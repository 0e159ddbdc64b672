//! What every adapter and every decorator must do. Panics with the point that does not hold.

use crate::port::{Key, ObjectStorage, Payload, StoreError};
use bytes::Bytes;
use futures::stream::{self, StreamExt};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Contenders of a race.
const CONTENDERS: usize = 16;

/// Races on put-if-absent.
const RACES: usize = 12;

/// Keys of the listing: more than any store answers at once.
const LISTED_KEYS: usize = 1_050;

/// Runs the suite. `handle` gives handles to one and the same store, which is empty at first; races use many.
///
/// Run it on a multi-threaded runtime, so that races are races.
pub async fn conformance(handle: impl Fn() -> Arc<dyn ObjectStorage>) {
    let store = handle();
    an_object_reads_back(&*store).await;
    put_if_absent_never_replaces(&*store).await;
    ranges_are_cut_at_the_end(&*store).await;
    empty_objects_are_objects(&*store).await;
    deletes_may_be_repeated(&*store).await;
    a_large_payload_of_many_slices_arrives_whole(&*store).await;
    slices_are_free_after_the_answer(&*store).await;
    keys_are_listed_in_the_order_of_their_bytes(&*store).await;
    long_listings_are_complete(&*store).await;
    one_contender_wins_each_race(&handle).await;
}

fn payload(text: &str) -> Payload {
    Bytes::copy_from_slice(text.as_bytes()).into()
}

async fn read(store: &dyn ObjectStorage, key: &Key) -> Bytes {
    store.get(key, None).await.unwrap_or_else(|error| panic!("{key} cannot be read: {error}"))
}

async fn keys(store: &dyn ObjectStorage, prefix: &str, after: Option<&Key>, most: usize) -> Vec<String> {
    let found = store.list(prefix, after, most).await.unwrap_or_else(|error| panic!("list {prefix}: {error}"));
    found.into_iter().map(|object| object.key.to_string()).collect()
}

async fn an_object_reads_back(store: &dyn ObjectStorage) {
    let key = Key::new("put/topic=a~1/x_y.z-0");
    let missing = store.get(&key, None).await;
    assert!(matches!(missing, Err(StoreError::NotFound { .. })), "an object that was never put: {missing:?}");
    for _ in 0..2 {
        store.put(&key, payload("content")).await.expect("an object is put, and put again");
        assert_eq!(read(store, &key).await, "content");
    }
    let listed = store.list("put/", None, 10).await.expect("a listing");
    assert_eq!(listed.len(), 1);
    assert_eq!((&listed[0].key, listed[0].bytes), (&key, 7));
    assert!(listed[0].modified_ms >= 0, "written before 1970: {}", listed[0].modified_ms);
}

async fn put_if_absent_never_replaces(store: &dyn ObjectStorage) {
    let key = Key::new("absent/one");
    store.put_if_absent(&key, payload("first")).await.expect("the name is free");
    let second = store.put_if_absent(&key, payload("second")).await;
    assert!(matches!(second, Err(StoreError::AlreadyExists { .. })), "the name is taken: {second:?}");
    assert_eq!(read(store, &key).await, "first");
    let other = Key::new("absent/two");
    store.put(&other, payload("put")).await.expect("an object is put");
    let taken = store.put_if_absent(&other, payload("late")).await;
    assert!(matches!(taken, Err(StoreError::AlreadyExists { .. })), "the name is taken by a put: {taken:?}");
    assert_eq!(read(store, &other).await, "put");
}

async fn ranges_are_cut_at_the_end(store: &dyn ObjectStorage) {
    let key = Key::new("range/object");
    store.put(&key, payload("0123456789")).await.expect("an object is put");
    for (range, content) in [
        (0..10, "0123456789"),
        (0..1, "0"),
        (3..7, "3456"),
        (9..10, "9"),
        (8..12, "89"),
        (0..u64::MAX, "0123456789"),
        (10..11, ""),
        (10..20, ""),
        (1_000..2_000, ""),
        (5..5, ""),
        (20..20, ""),
    ] {
        let part = store.get(&key, Some(range.clone())).await;
        let part = part.unwrap_or_else(|error| panic!("range {range:?}: {error}"));
        assert_eq!(part, content, "range {range:?}");
    }
    let missing = store.get(&Key::new("range/missing"), Some(0..5)).await;
    assert!(matches!(missing, Err(StoreError::NotFound { .. })), "a range of what is not there: {missing:?}");
}

async fn empty_objects_are_objects(store: &dyn ObjectStorage) {
    let key = Key::new("empty/object");
    store.put_if_absent(&key, Payload::default()).await.expect("an empty object is put");
    assert!(read(store, &key).await.is_empty());
    assert!(store.get(&key, Some(0..10)).await.expect("a part of nothing is nothing").is_empty());
    let again = store.put_if_absent(&key, payload("more")).await;
    assert!(matches!(again, Err(StoreError::AlreadyExists { .. })), "an empty object takes the name: {again:?}");
    let listed = store.list("empty/", None, 10).await.expect("a listing");
    assert_eq!(listed.iter().map(|object| object.bytes).collect::<Vec<_>>(), [0]);
    store.put(&Key::new("empty/slices"), vec![Bytes::new(), Bytes::new()].into()).await.expect("empty slices");
    assert!(read(store, &Key::new("empty/slices")).await.is_empty());
}

async fn deletes_may_be_repeated(store: &dyn ObjectStorage) {
    let (key, neighbour) = (Key::new("delete/deep/down/object"), Key::new("delete/deep/neighbour"));
    store.delete(&key).await.expect("deleting what was never there");
    store.put(&key, payload("content")).await.expect("an object is put");
    store.put(&neighbour, payload("stays")).await.expect("an object is put");
    for _ in 0..2 {
        store.delete(&key).await.expect("deleting, and deleting again");
        assert!(matches!(store.get(&key, None).await, Err(StoreError::NotFound { .. })), "read after delete");
        assert_eq!(keys(store, "delete/", None, 10).await, [neighbour.as_str()]);
    }
    store.put_if_absent(&key, payload("new")).await.expect("the name is free again");
    assert_eq!(read(store, &key).await, "new");
    assert_eq!(read(store, &neighbour).await, "stays");
}

async fn a_large_payload_of_many_slices_arrives_whole(store: &dyn ObjectStorage) {
    const BYTES: usize = 32 << 20;
    let whole =
        Bytes::from((0..BYTES).map(|position| (position.wrapping_mul(2_654_435_761) >> 13) as u8).collect::<Vec<_>>());
    let (mut slices, mut rest, mut length) = (vec![Bytes::new()], whole.clone(), 1);
    while !rest.is_empty() {
        slices.push(rest.split_to(length.min(rest.len())));
        length = length * 7 % 65_521 + 1; // many lengths, from 1 to 64 KiB
    }
    slices.push(Bytes::new());
    assert!(slices.len() > 500, "{} slices", slices.len());
    let key = Key::new("large/object");
    store.put_if_absent(&key, slices.into()).await.expect("32 MiB are put");
    assert!(read(store, &key).await == whole, "32 MiB came back changed");
    for range in [0..1, 65_535..65_537, 8_000_000..16_000_000, BYTES as u64 - 3..BYTES as u64 + 3] {
        let part = store.get(&key, Some(range.clone())).await.expect("a part of 32 MiB");
        let end = range.end.min(BYTES as u64) as usize;
        assert!(part == whole[range.start as usize..end], "range {range:?} of 32 MiB");
    }
    store.delete(&key).await.expect("an object is deleted");
}

async fn slices_are_free_after_the_answer(store: &dyn ObjectStorage) {
    let slices: Vec<Bytes> = (0..4).map(|slice| Bytes::from(vec![slice; 64 << 10])).collect();
    store.put(&Key::new("slices/put"), slices.clone().into()).await.expect("an object is put");
    store.put_if_absent(&Key::new("slices/absent"), slices.clone().into()).await.expect("an object is put");
    assert!(slices.iter().all(Bytes::is_unique), "the store holds on to slices");
}

async fn keys_are_listed_in_the_order_of_their_bytes(store: &dyn ObjectStorage) {
    let names = ["a-b", "a.b", "a/b", "a/b.c", "a/c/d", "a0", "aB", "a_b", "ab", "ab=1/x", "a~b", "b/a"];
    for name in names {
        store.put(&Key::new(format!("order/{name}")), payload(name)).await.expect("an object is put");
    }
    let all: Vec<String> = names.iter().map(|name| format!("order/{name}")).collect();
    assert!(all.is_sorted(), "the test's own order");
    assert_eq!(keys(store, "order/", None, 100).await, all);
    assert_eq!(keys(store, "order/a", None, 100).await, all[..11], "a prefix need not end at a slash");
    assert_eq!(keys(store, "order/a/", None, 100).await, all[2..5]);
    assert_eq!(keys(store, "order/b/a", None, 100).await, all[11..], "a prefix may be a whole key");
    assert_eq!(keys(store, "order/nothing", None, 100).await, [""; 0]);
    assert_eq!(keys(store, "order/", None, 0).await, [""; 0]);
    for (position, name) in all.iter().enumerate() {
        let after = Key::new(name.clone());
        assert_eq!(keys(store, "order/", Some(&after), 100).await, all[position + 1..], "after {name}");
        assert_eq!(
            keys(store, "order/", Some(&after), 2).await,
            all[position + 1..].iter().take(2).cloned().collect::<Vec<_>>()
        );
    }
    assert_eq!(keys(store, "order/", Some(&Key::new("order/a.z")), 3).await, all[2..5], "after what is not there");
    assert_eq!(keys(store, "order/a/", Some(&Key::new("a")), 9).await, all[2..5], "after what is before the prefix");
    assert_eq!(keys(store, "order/a/", Some(&Key::new("z")), 9).await, [""; 0], "after what is behind the prefix");
}

async fn long_listings_are_complete(store: &dyn ObjectStorage) {
    let names: Vec<String> = (0..LISTED_KEYS).map(|number| format!("many/{:03}/{number:08}", number % 7)).collect();
    let puts = stream::iter(&names).map(|name| async move {
        store.put(&Key::new(name.clone()), payload("x")).await.expect("an object is put");
    });
    puts.buffer_unordered(32).collect::<Vec<()>>().await;
    let sorted: Vec<String> = names.iter().cloned().collect::<BTreeSet<_>>().into_iter().collect();
    assert!(keys(store, "many/", None, usize::MAX).await == sorted, "one long listing");
    assert!(keys(store, "many/", None, 1_001).await == sorted[..1_001], "more than one page of a store");
    let (mut paged, mut after) = (Vec::new(), None);
    loop {
        let page = keys(store, "many/", after.as_ref(), 400).await;
        let Some(last) = page.last() else { break };
        after = Some(Key::new(last.clone()));
        paged.extend(page);
    }
    assert!(paged == sorted, "pages of 400");
    let deletes = stream::iter(&names).map(|name| async move {
        store.delete(&Key::new(name.clone())).await.expect("an object is deleted");
    });
    deletes.buffer_unordered(32).collect::<Vec<()>>().await;
    assert_eq!(keys(store, "many/", None, 10).await, [""; 0]);
}

async fn one_contender_wins_each_race(handle: &impl Fn() -> Arc<dyn ObjectStorage>) {
    for race in 0..RACES {
        // Some races are over small objects, some over large ones, which take longer to write.
        let bytes = if race % 2 == 0 { 100 } else { 512 << 10 };
        let key = Key::new(format!("race/{race:04}"));
        let contenders: Vec<_> = (0..CONTENDERS as u8)
            .map(|contender| {
                let (store, key) = (handle(), key.clone());
                tokio::spawn(async move { (contender, contend(&*store, &key, contender, bytes).await) })
            })
            .collect();
        let mut winners = Vec::new();
        for contender in contenders {
            let (contender, won) = contender.await.expect("no contender panics");
            winners.extend(won.then_some(contender));
        }
        assert_eq!(winners.len(), 1, "winners of race {race}: {winners:?}");
        let content = read(&*handle(), &key).await;
        assert!(content == vec![winners[0]; bytes], "race {race}: the content is not the winner's");
    }
}

/// Whether this contender's put succeeded. Being told to come back (a conflicting request is in flight) is no defeat.
async fn contend(store: &dyn ObjectStorage, key: &Key, contender: u8, bytes: usize) -> bool {
    loop {
        match store.put_if_absent(key, Bytes::from(vec![contender; bytes]).into()).await {
            Ok(()) => return true,
            Err(StoreError::AlreadyExists { .. }) => {
                // Whoever lost can read what the winner wrote.
                let content = read(store, key).await;
                assert_eq!(content.len(), bytes, "a loser reads a torn object");
                return false;
            }
            Err(error @ StoreError::NotDone { .. }) if error.is_transient() => tokio::task::yield_now().await,
            Err(error) => panic!("contender {contender} for {key}: {error}"),
        }
    }
}
