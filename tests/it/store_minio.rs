//! The S3 adapter on a real MinIO.

use bytes::Bytes;
use frazil_base::Env;
use frazil_store::testing::{allow_anonymous_reads, conformance};
use frazil_store::{Key, ObjectStorage, Options, Payload, Reason, Retry, RetryPolicy, StoreError};
use frazil_tests::minio::{Minio, SECRET_ACCESS_KEY};
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

async fn open(url: &str) -> Arc<dyn ObjectStorage> {
    frazil_tests::install_tls_provider();
    frazil_store::open(url, Options::new(Env::system())).await.expect("the URL is right")
}

fn key(name: &str) -> Key {
    Key::new(name)
}

fn content() -> Payload {
    Bytes::from("content").into()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn minio_conforms() {
    let minio = Minio::start().await;
    let url = minio.url("conformance/with/a-prefix");
    // Handles of their own: contenders of races share no connection.
    let mut handles = Vec::new();
    for _ in 0..8 {
        handles.push(open(&url).await);
    }
    let next = std::sync::atomic::AtomicUsize::new(0);
    let handle = || handles[next.fetch_add(1, std::sync::atomic::Ordering::Relaxed) % handles.len()].clone();
    conformance(handle).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn opening_sends_no_request_and_a_put_is_one() {
    let minio = Minio::start().await;
    let store = open(&minio.url("counted")).await;
    assert_eq!(minio.requests().await.values().sum::<u64>(), 0, "requests after opening");
    store.put(&key("first"), content()).await.expect("the missing bucket is made");
    store.put_if_absent(&key("second"), content()).await.expect("put");
    store.get(&key("second"), Some(0..3)).await.expect("there");
    store.list("", None, 10).await.expect("a listing");
    store.delete(&key("second")).await.expect("deleted");
    let requests = minio.requests().await;
    let of = |api: &str| requests.get(api).copied().unwrap_or_default();
    // The first put finds no bucket and is repeated.
    assert_eq!((of("PutObject"), of("PutBucket")), (3, 1), "{requests:?}");
    assert_eq!((of("GetObject"), of("ListObjectsV2"), of("DeleteObject")), (1, 1, 1), "{requests:?}");
    assert_eq!(requests.values().sum::<u64>(), 7, "{requests:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_bucket_is_made_by_whoever_comes_first_only() {
    let minio = Minio::start().await;
    let url = minio.url("shared");
    let puts = (0..8).map(|number| {
        let url = url.clone();
        tokio::spawn(async move { open(&url).await.put(&key(&format!("{number}")), content()).await })
    });
    for put in puts.collect::<Vec<_>>() {
        put.await.expect("no panic").expect("the bucket is there for everybody");
    }
    assert_eq!(open(&url).await.list("", None, 10).await.expect("a listing").len(), 8);
    // Reading a missing bucket makes it too, so that a first start reads an empty store.
    assert!(open(&minio.url("read-first")).await.list("log/", None, 10).await.expect("a listing").is_empty());
    let looked = open(&format!("{}&create_bucket=false", minio.url("only-looked"))).await.get(&key("a"), None).await;
    let error = looked.expect_err("there is no bucket");
    assert!(matches!(error, StoreError::NotDone { reason: Reason::Invalid, .. }), "{error:?}");
    assert!(error.to_string().contains("NoSuchBucket"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_only_bucket_denies_writes_and_allows_reads() {
    let minio = Minio::start().await;
    let url = minio.url("read-only");
    open(&url).await.put(&key("a"), content()).await.expect("the owner may write");
    allow_anonymous_reads(&url).await.expect("the owner may set a policy");
    let visitor = open(&format!("{}&anonymous=true", minio.url_without_credentials("read-only"))).await;
    assert_eq!(visitor.get(&key("a"), None).await.expect("reading is allowed"), "content");
    assert_eq!(visitor.list("", None, 10).await.expect("listing is allowed").len(), 1);
    for error in [
        visitor.put(&key("b"), content()).await.expect_err("writing is not allowed"),
        visitor.put_if_absent(&key("b"), content()).await.expect_err("writing is not allowed"),
        visitor.delete(&key("a")).await.expect_err("deleting is not allowed"),
    ] {
        assert!(matches!(error, StoreError::NotDone { reason: Reason::Denied, .. }), "{error:?}");
        assert!(error.to_string().contains("the credentials need s3:"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_credentials_are_denied_and_no_secret_is_told() {
    let minio = Minio::start().await;
    open(&minio.url("mine")).await.put(&key("a"), content()).await.expect("the owner may write");
    for (id, secret, code) in [
        (frazil_tests::minio::ACCESS_KEY_ID, "PLANTED-WRONG-SECRET", "SignatureDoesNotMatch"),
        ("nobody", SECRET_ACCESS_KEY, "InvalidAccessKeyId"),
    ] {
        let file = minio.credentials_file(id, secret);
        let url = format!("{}&credentials_file={}", minio.url_without_credentials("mine"), file.display());
        let store = open(&url).await;
        let error = store.put(&key("b"), content()).await.expect_err("nobody we know");
        assert!(matches!(error, StoreError::NotDone { reason: Reason::Denied, .. }), "{error:?}");
        let shown = format!("{error} {error:?} {store:?}");
        assert!(shown.contains(code) && shown.contains("AWS_SECRET_ACCESS_KEY"), "{shown}");
        assert!(!shown.contains("PLANTED"), "{shown}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_store_leaves_puts_unknown_and_goes_on_afterwards() {
    let minio = Minio::start().await;
    let store = open(&format!("{}&timeout=500ms", minio.url("paused"))).await;
    store.put(&key("before"), content()).await.expect("the store works");
    minio.pause();
    let error = store.put(&key("during"), content()).await.expect_err("nothing is answered");
    assert!(matches!(error, StoreError::Unknown { reason: Reason::Unavailable, .. }), "{error:?}");
    let error = store.get(&key("before"), None).await.expect_err("nothing is answered");
    assert!(matches!(error, StoreError::NotDone { reason: Reason::Unavailable, .. }), "{error:?}");
    minio.resume();
    let patient = Retry::new(store, RetryPolicy::endless(), Env::system());
    patient.put(&key("after"), content()).await.expect("the store works again");
    assert_eq!(patient.get(&key("before"), None).await.expect("nothing is lost"), "content");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_store_is_waited_for_and_keeps_what_it_answered() {
    let mut minio = Minio::start().await;
    let store = open(&minio.url("killed")).await;
    store.put(&key("before"), content()).await.expect("the store works");
    minio.kill();
    let error = store.put(&key("during"), content()).await.expect_err("nobody is there");
    // The pool's connection is found dead before anything is sent, or a new one is refused.
    assert!(error.is_transient(), "{error:?}");
    let error = store.put(&key("during"), content()).await.expect_err("nobody is there");
    assert!(matches!(error, StoreError::NotDone { reason: Reason::Unavailable, .. }), "{error:?}");
    let patient = Arc::new(Retry::new(store, RetryPolicy::endless(), Env::system()));
    let waiting = tokio::spawn({
        let patient = patient.clone();
        async move { patient.put_if_absent(&key("waiting"), content()).await }
    });
    minio.restart().await;
    waiting.await.expect("no panic").expect("the store is back");
    for name in ["before", "waiting"] {
        assert_eq!(patient.get(&key(name), None).await.expect("nothing is lost"), "content", "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_in_a_wrong_place_or_with_a_wrong_name_is_invalid() {
    let minio = Minio::start().await;
    let error = open(&minio.url("no")).await.put(&key("a"), content()).await.expect_err("two letters are too few");
    assert!(matches!(error, StoreError::NotDone { reason: Reason::Invalid, .. }), "{error:?}");
    assert!(error.to_string().contains("InvalidBucketName"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_is_damaged_on_the_way_is_refused_and_sent_again() {
    let minio = Minio::start().await;
    let damaging = damaging_proxy(minio.port(), b"sent as written", b"sent as wr1tten").await;
    let url = minio.url("checked").replace(&minio.endpoint(), &format!("http://127.0.0.1:{damaging}"));
    let through_proxy = open(&url).await;
    let error = through_proxy.put(&key("a"), Bytes::from("sent as written").into()).await.expect_err("damaged");
    assert!(matches!(error, StoreError::NotDone { reason: Reason::Unavailable, .. }), "{error:?}");
    through_proxy.put(&key("b"), content()).await.expect("other bodies pass");
    let direct = open(&minio.url("checked")).await;
    assert!(matches!(direct.get(&key("a"), None).await, Err(StoreError::NotFound { .. })));
    let unchecked = open(&format!("{url}&checksum=none")).await;
    unchecked.put(&key("c"), Bytes::from("sent as written").into()).await.expect("nobody notices");
    assert_eq!(direct.get(&key("c"), None).await.expect("there"), "sent as wr1tten");
}

/// Forwards connections to `port` and replaces `from` by `to` in what clients send. Gives its own port.
async fn damaging_proxy(port: u16, from: &'static [u8], to: &'static [u8]) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a loopback port is free");
    let own_port = listener.local_addr().expect("bound").port();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(("127.0.0.1", port)).await.expect("MinIO listens");
            let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
                (client.into_split(), server.into_split());
            tokio::spawn(async move { tokio::io::copy(&mut from_server, &mut to_client).await });
            tokio::spawn(async move {
                let mut chunk = vec![0; 64 << 10];
                while let Ok(read @ 1..) = from_client.read(&mut chunk).await {
                    if let Some(place) = chunk[..read].windows(from.len()).position(|window| window == from) {
                        chunk[place..place + to.len()].copy_from_slice(to);
                    }
                    to_server.write_all(&chunk[..read]).await.expect("MinIO reads");
                }
            });
        }
    });
    own_port
}
