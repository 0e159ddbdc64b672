use super::*;
use crate::testing::conformance;

fn open(root: &Path) -> DirectoryStorage {
    DirectoryStorage::open(root, Env::system()).expect("a temporary directory is usable")
}

fn payload(text: &'static str) -> Payload {
    Bytes::from(text).into()
}

fn entries(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("the folder is there");
    let mut names: Vec<_> = entries.map(|entry| entry.expect("readable").file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_directory_conforms() {
    let root = tempfile::tempdir().unwrap();
    conformance(|| Arc::new(open(root.path()))).await;
    assert_eq!(entries(&root.path().join(TEMPORARY_FOLDER)), [""; 0], "temporary files are left");
}

#[tokio::test]
async fn a_file_holds_exactly_the_object() {
    let root = tempfile::tempdir().unwrap();
    let storage = open(&root.path().join("made/when/missing"));
    storage.put(&Key::new("a/b"), vec![Bytes::from("one "), Bytes::from("two")].into()).await.unwrap();
    assert_eq!(fs::read(root.path().join("made/when/missing/a/b")).unwrap(), b"one two");
}

#[tokio::test]
async fn deleting_the_last_object_removes_its_folders() {
    let root = tempfile::tempdir().unwrap();
    let storage = open(root.path());
    storage.put(&Key::new("wal/2026/01/one"), payload("1")).await.unwrap();
    storage.put(&Key::new("wal/2026/02/two"), payload("2")).await.unwrap();
    storage.delete(&Key::new("wal/2026/01/one")).await.unwrap();
    assert_eq!(entries(&root.path().join("wal/2026")), ["02"]);
    storage.delete(&Key::new("wal/2026/02/two")).await.unwrap();
    assert_eq!(entries(root.path()), [TEMPORARY_FOLDER]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn puts_and_deletes_in_one_folder_do_not_trip_over_each_other() {
    let root = tempfile::tempdir().unwrap();
    let storage = open(root.path());
    let workers = (0..4).map(|worker| {
        let storage = storage.clone();
        tokio::spawn(async move {
            for _ in 0..50 {
                let key = Key::new(format!("folder/deep/{worker}"));
                storage.put_if_absent(&key, payload("x")).await.expect("put into a folder that comes and goes");
                storage.delete(&key).await.expect("deleted");
            }
        })
    });
    for worker in workers.collect::<Vec<_>>() {
        worker.await.unwrap();
    }
}

#[tokio::test]
async fn files_that_are_no_objects_are_not_listed() {
    let root = tempfile::tempdir().unwrap();
    let storage = open(root.path());
    storage.put(&Key::new("a"), payload("1")).await.unwrap();
    fs::write(root.path().join("not a key"), "x").unwrap();
    fs::create_dir_all(root.path().join(TEMPORARY_FOLDER)).unwrap();
    fs::write(root.path().join(TEMPORARY_FOLDER).join("0123"), "x").unwrap();
    let listed = storage.list("", None, 10).await.unwrap();
    assert_eq!(listed.iter().map(|object| object.key.as_str()).collect::<Vec<_>>(), ["a"]);
    for outside in ["/", "/etc/", "../", "a/../../"] {
        assert!(storage.list(outside, None, 10).await.unwrap().is_empty(), "{outside:?} leads out of the root");
    }
}

#[test]
fn only_old_temporary_files_are_removed_at_open() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join(TEMPORARY_FOLDER);
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("young"), "x").unwrap();
    let old = File::create(folder.join("old")).unwrap();
    old.set_modified(UNIX_EPOCH + std::time::Duration::from_secs(1)).unwrap();
    open(root.path());
    assert_eq!(entries(&folder), ["young"]);
}

#[tokio::test]
async fn a_key_that_is_a_folder_is_invalid_and_certain() {
    let root = tempfile::tempdir().unwrap();
    let storage = open(root.path());
    storage.put(&Key::new("a"), payload("1")).await.unwrap();
    let error = storage.put(&Key::new("a/b"), payload("2")).await.unwrap_err();
    assert!(matches!(error, StoreError::NotDone { reason: Reason::Invalid, .. }), "{error:?}");
}

#[test]
fn errors_of_the_system_become_reasons() {
    for (number, expected) in [
        (28, Reason::Full),       // ENOSPC
        (122, Reason::Full),      // EDQUOT
        (30, Reason::Denied),     // EROFS
        (13, Reason::Denied),     // EACCES
        (1, Reason::Denied),      // EPERM
        (20, Reason::Invalid),    // ENOTDIR
        (5, Reason::Unavailable), // EIO
    ] {
        assert_eq!(reason(&io::Error::from_raw_os_error(number)), expected, "errno {number}");
    }
}

/// `/dev/full` takes no byte: the write fails as on a full disk, before anything is visible.
#[test]
fn a_full_disk_is_named_and_nothing_is_done() {
    let mut full = File::options().write(true).open("/dev/full").unwrap();
    let error = write_all(&mut full, &[Bytes::from("content")]).unwrap_err();
    let error = failure(Operation::Put, "key", error, false);
    assert!(matches!(error, StoreError::NotDone { reason: Reason::Full, .. }), "{error:?}");
    assert!(error.to_string().contains("No space left"), "{error}");
}

/// `/sys` is a file system that lets nobody create files, root included.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_directory_that_may_not_be_written_denies() {
    let root = tempfile::tempdir().unwrap();
    let storage = open(root.path());
    storage.put(&Key::new("a"), payload("1")).await.unwrap();
    let folder = root.path().join(TEMPORARY_FOLDER);
    fs::remove_dir(&folder).unwrap();
    std::os::unix::fs::symlink("/sys/kernel", &folder).unwrap();
    let error = storage.put(&Key::new("b"), payload("2")).await.unwrap_err();
    assert!(matches!(error, StoreError::NotDone { reason: Reason::Denied, .. }), "{error:?}");
    assert_eq!(storage.get(&Key::new("a"), None).await.unwrap(), "1");
}

/// One request of a random history.
#[derive(Clone, Debug)]
enum Asked {
    Put(usize, u8),
    PutIfAbsent(usize, u8),
    Get(usize, u64, u64),
    Delete(usize),
    List(&'static str, Option<usize>, usize),
}

/// None is a folder of another.
const KEYS: [&str; 8] = ["a-b", "a.b", "a/b", "a/c/d", "a/c.d", "ab", "b/a/a", "b/a0"];

fn asked() -> impl proptest::strategy::Strategy<Value = Asked> {
    use proptest::prelude::*;
    let key = || 0..KEYS.len();
    let prefix = proptest::sample::select(vec!["", "a", "a/", "a/c", "b/a", "b/a/", "c"]);
    prop_oneof![
        (key(), any::<u8>()).prop_map(|(key, content)| Asked::Put(key, content)),
        (key(), any::<u8>()).prop_map(|(key, content)| Asked::PutIfAbsent(key, content)),
        (key(), 0..12_u64, 0..12_u64).prop_map(|(key, start, end)| Asked::Get(key, start, end)),
        key().prop_map(Asked::Delete),
        (prefix, proptest::option::of(key()), 0..10_usize)
            .prop_map(|(prefix, after, most)| Asked::List(prefix, after, most)),
    ]
}

/// The answer as text; times are left out.
async fn answer(store: &dyn ObjectStorage, asked: &Asked) -> String {
    let key = |index: usize| Key::new(KEYS[index]);
    let content = |byte: u8| Payload::from(Bytes::from(vec![byte; usize::from(byte % 10)]));
    match *asked {
        Asked::Put(index, byte) => format!("{:?}", store.put(&key(index), content(byte)).await),
        Asked::PutIfAbsent(index, byte) => format!("{:?}", store.put_if_absent(&key(index), content(byte)).await),
        // An empty range need not find the object missing.
        Asked::Get(index, start, end) => format!("{:?}", store.get(&key(index), Some(start..end.max(start + 1))).await),
        Asked::Delete(index) => format!("{:?}", store.delete(&key(index)).await),
        Asked::List(prefix, after, most) => {
            let listed = store.list(prefix, after.map(key).as_ref(), most).await;
            format!("{:?}", listed.map(|found| found.into_iter().map(|one| (one.key, one.bytes)).collect::<Vec<_>>()))
        }
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(60))]

    #[test]
    fn a_directory_answers_like_a_map(history in proptest::collection::vec(asked(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let root = tempfile::tempdir().unwrap();
        let (directory, model) = (open(root.path()), crate::MemoryStorage::new(Env::system()));
        runtime.block_on(async {
            for asked in &history {
                assert_eq!(answer(&directory, asked).await, answer(&model, asked).await, "{asked:?}");
            }
        });
    }
}
