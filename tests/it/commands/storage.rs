//! `frazil storage verify` on a bucket.

use super::PATIENCE;
use bytes::Bytes;
use frazil_base::Env;
use frazil_store::{Key, ObjectStorage, Options};
use frazil_tests::frazil::built_binary;
use frazil_tests::minio::Minio;
use frazil_tests::{FrazilProcess, FrazilSettings, run, run_with_input};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

fn frazil(arguments: &[&str]) -> Command {
    let mut command = Command::new(built_binary().expect("the binary"));
    command.args(arguments).stdin(Stdio::null());
    command
}

fn verify(url: &str) -> (i32, String, String) {
    let Output { status, stdout, stderr } = frazil(&["storage", "verify", url, "-o", "json"]).output().expect("verify");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    (status.code().expect("an exit code"), text(stdout), text(stderr))
}

async fn open(url: &str) -> Arc<dyn ObjectStorage> {
    frazil_tests::install_tls_provider();
    frazil_store::open(url, Options::new(Env::system())).await.expect("the URL is right")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn verify_proves_a_bucket_and_finds_what_is_missing_damaged_or_unreferenced() {
    let minio = Minio::start().await;
    let url = minio.url("proved");
    let broker = FrazilProcess::start(FrazilSettings::on(&url)).expect("frazil starts");
    for topic in ["a", "b"] {
        let mut produce = frazil(&["produce", topic, "--create", "-b", &broker.bootstrap()]);
        run_with_input(&mut produce, b"one\ntwo\nneedle-in-the-haystack\n", PATIENCE).expect("produce");
    }
    let (code, findings, said) = verify(&url);
    assert_eq!((code, findings.trim()), (0, "[]"), "while a broker serves it: {said}");
    broker.terminate().expect("it drains");
    let (code, findings, said) = verify(&url);
    assert_eq!((code, findings.trim()), (0, "[]"), "{said}");
    assert!(said.starts_with("proved: 2 topics, 2 partitions, 6 records"), "{said}");

    let bucket = open(&url).await;
    let stranger = Key::new("wal/2026/01/01/00/stranger.seg");
    bucket.put(&stranger, Bytes::from("x").into()).await.expect("put");
    let (code, findings, _) = verify(&url);
    assert!(code == 0 && findings.contains("unreferenced") && findings.contains("stranger"), "{findings}");

    let log = bucket.list("log/", None, 100).await.expect("list");
    let mut holding = Vec::new();
    for object in &log {
        let bytes = bucket.get(&object.key, None).await.expect("get");
        if bytes.windows(6).any(|window| window == b"needle") {
            holding.push((object.key.clone(), bytes));
        }
    }
    let (key, whole) = holding.first().expect("an object holds the record").clone();
    let mut damaged = whole.to_vec();
    let at = damaged.windows(6).position(|window| window == b"needle").expect("the record");
    damaged[at] ^= 1;
    bucket.put(&key, Bytes::from(damaged).into()).await.expect("put");
    let (code, findings, said) = verify(&url);
    assert!(code == 1 && findings.contains("corrupt") && findings.contains(key.as_str()), "{findings}{said}");
    assert!(said.starts_with("NOT proved"), "{said}");

    bucket.delete(&key).await.expect("delete");
    let (code, findings, said) = verify(&url);
    assert!(code == 1 && findings.contains("missing"), "{findings}{said}");
    bucket.put(&key, whole.into()).await.expect("put");
    assert_eq!(verify(&url).0, 0, "what was put back is proved again");
    run(&mut frazil(&["storage", "inspect", key.as_str(), "--store-url", &url]), PATIENCE).expect("inspect");
}
