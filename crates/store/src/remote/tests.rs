//! The adapter against scripted answers of a server: outcomes, repairs, and what goes over the wire.

use super::*;
use crate::retry::{Retry, RetryPolicy};
use crate::{Options, open};
use frazil_base::Env;
use scripted::{Answer as Says, Server};

mod scripted;

const SECRET: &str = "PLANTED-SECRET-KEY";

/// A store on `server`, its own retries off, with short timeouts.
async fn store(server: &Server, folder: &tempfile::TempDir) -> Arc<dyn ObjectStorage> {
    let file = folder.path().join("credentials");
    let text = format!("[default]\naws_access_key_id = AKIAPLANTED\naws_secret_access_key = {SECRET}\n");
    std::fs::write(&file, text).unwrap();
    let url = format!(
        "s3://bucket/prefix?endpoint={}&region=eu-west-3&credentials_file={}&timeout=300ms",
        server.endpoint(),
        file.display()
    );
    open(&url, Options::new(Env::system())).await.expect("the URL is right")
}

fn key() -> Key {
    Key::new("log/topic=a~1")
}

fn content() -> Payload {
    vec![Bytes::from("one "), Bytes::from("two")].into()
}

fn error_document(code: &str) -> String {
    format!("<Error><Code>{code}</Code><Message>says the server</Message></Error>")
}

/// Puts if absent against a server that answers like this.
async fn put_against(answers: Vec<Says>) -> (Result<(), StoreError>, Server) {
    let (server, folder) = (Server::start(answers).await, tempfile::tempdir().unwrap());
    let result = store(&server, &folder).await.put_if_absent(&key(), content()).await;
    (result, server)
}

#[tokio::test]
async fn a_put_is_conditional_signed_and_carries_a_checksum_but_no_hash_of_its_body() {
    let (result, server) = put_against(vec![Says::status(200, "").with_header("ETag", "\"e\"")]).await;
    result.expect("the server said yes");
    let request = server.requests().remove(0);
    assert!(request.starts_with("PUT /bucket/prefix/log/topic%3Da~1 HTTP/1.1\r\n"), "{request}");
    assert!(request.ends_with("\r\n\r\none two"), "{request}");
    for header in [
        "if-none-match: *",
        "content-length: 7",
        "x-amz-content-sha256: UNSIGNED-PAYLOAD",
        "x-amz-checksum-crc32c: ",
        "authorization: AWS4-HMAC-SHA256 Credential=AKIAPLANTED/",
        "/eu-west-3/s3/aws4_request, SignedHeaders=",
    ] {
        assert!(request.contains(header), "{header:?} is missing in {request}");
    }
    let signed = request.split("SignedHeaders=").nth(1).unwrap().split(',').next().unwrap();
    assert!(signed.contains("x-amz-checksum-crc32c") && signed.contains("if-none-match"), "{signed}");
}

#[tokio::test]
async fn what_the_server_answers_decides_the_outcome_of_a_put() {
    for (status, code, certain, reason) in [
        (403, "AccessDenied", true, Reason::Denied),
        (503, "SlowDown", true, Reason::Throttled),
        (500, "InternalError", false, Reason::Unavailable),
        (409, "ConditionalRequestConflict", true, Reason::Unavailable),
        (507, "XMinioStorageFull", true, Reason::Full),
        (400, "EntityTooLarge", true, Reason::Invalid),
    ] {
        let (result, server) = put_against(vec![Says::status(status, &error_document(code))]).await;
        let error = result.expect_err(code);
        assert_eq!(matches!(error, StoreError::NotDone { .. }), certain, "{code}: {error}");
        assert_eq!(error.reason(), Some(reason), "{code}: {error}");
        assert!(error.to_string().contains(&format!("{status} {code}: says the server")), "{error}");
        assert_eq!(server.requests().len(), 1, "{code}: nothing below the decorator retries");
    }
    let (result, _) = put_against(vec![Says::status(412, &error_document("PreconditionFailed"))]).await;
    assert!(matches!(result, Err(StoreError::AlreadyExists { .. })), "{result:?}");
}

#[tokio::test]
async fn a_broken_connection_leaves_the_outcome_unknown() {
    for answer in [Says::Hangup, Says::Silence] {
        let (result, _) = put_against(vec![answer]).await;
        let error = result.expect_err("no answer came");
        assert!(matches!(error, StoreError::Unknown { reason: Reason::Unavailable, .. }), "{error:?}");
    }
}

#[tokio::test]
async fn a_refused_connection_is_certain() {
    let (server, folder) = (Server::start(Vec::new()).await, tempfile::tempdir().unwrap());
    let store = store(&server, &folder).await;
    server.stop().await;
    let error = store.put(&key(), content()).await.expect_err("nobody listens");
    assert!(matches!(error, StoreError::NotDone { reason: Reason::Unavailable, .. }), "{error:?}");
    assert!(error.to_string().contains("refused"), "{error}");
}

#[tokio::test]
async fn a_torn_body_of_a_read_fails_for_a_passing_reason() {
    let torn = Says::status(200, "half").with_header("ETag", "\"e\"").with_header("Content-Length", "8");
    let (server, folder) = (Server::start(vec![torn]).await, tempfile::tempdir().unwrap());
    let error = store(&server, &folder).await.get(&key(), None).await.expect_err("half is missing");
    assert!(matches!(error, StoreError::NotDone { reason: Reason::Unavailable, .. }), "{error:?}");
}

#[tokio::test]
async fn a_conflict_is_retried_until_the_store_decides() {
    let conflict = || Says::status(409, &error_document("ConditionalRequestConflict"));
    let answers = vec![conflict(), conflict(), Says::status(200, "").with_header("ETag", "\"e\"")];
    let (server, folder) = (Server::start(answers).await, tempfile::tempdir().unwrap());
    let policy = RetryPolicy { first_wait: std::time::Duration::from_millis(1), ..RetryPolicy::endless() };
    let store = Retry::new(store(&server, &folder).await, policy, Env::system());
    store.put_if_absent(&key(), content()).await.expect("the third attempt is answered");
    assert_eq!(server.requests().len(), 3);
}

#[tokio::test]
async fn a_missing_bucket_is_made_and_the_request_repeated() {
    let answers = vec![
        Says::status(404, &error_document("NoSuchBucket")),
        Says::status(200, ""),
        Says::status(200, "").with_header("ETag", "\"e\""),
    ];
    let (result, server) = put_against(answers).await;
    result.expect("the bucket is there now");
    let requests = server.requests();
    assert_eq!(requests.len(), 3);
    assert!(requests[1].starts_with("PUT /bucket/ HTTP/1.1") || requests[1].starts_with("PUT /bucket HTTP/1.1"));
    assert!(requests[1].contains("<LocationConstraint>eu-west-3</LocationConstraint>"), "{}", requests[1]);
}

#[tokio::test]
async fn a_bucket_that_may_not_be_made_is_named() {
    let answers =
        vec![Says::status(404, &error_document("NoSuchBucket")), Says::status(403, &error_document("AccessDenied"))];
    let (result, _) = put_against(answers).await;
    let error = result.expect_err("there is no bucket");
    assert!(matches!(error, StoreError::NotDone { reason: Reason::Denied, .. }), "{error:?}");
    assert!(error.to_string().contains("the bucket does not exist and could not be made"), "{error}");
    assert!(error.to_string().contains("s3:CreateBucket"), "{error}");
}

#[tokio::test]
async fn expired_credentials_are_fetched_anew_once() {
    let expired = || Says::status(400, &error_document("ExpiredToken"));
    let (result, server) = put_against(vec![expired(), Says::status(200, "").with_header("ETag", "\"e\"")]).await;
    result.expect("the new credentials do");
    assert_eq!(server.requests().len(), 2);
    let (result, server) = put_against(vec![expired(), expired()]).await;
    assert_eq!(result.expect_err("expired again").reason(), Some(Reason::Denied));
    assert_eq!(server.requests().len(), 2);
}

#[tokio::test]
async fn a_delete_is_one_plain_request() {
    let (server, folder) = (Server::start(vec![Says::status(204, "")]).await, tempfile::tempdir().unwrap());
    store(&server, &folder).await.delete(&key()).await.expect("the server said yes");
    assert!(server.requests()[0].starts_with("DELETE /bucket/prefix/log/topic%3Da~1 HTTP/1.1\r\n"));
}

#[tokio::test]
async fn missing_credentials_deny_without_a_request() {
    let (server, folder) = (Server::start(Vec::new()).await, tempfile::tempdir().unwrap());
    let url = format!(
        "s3://bucket?endpoint={}&region=x&credentials_file={}",
        server.endpoint(),
        folder.path().join("nothing").display()
    );
    let store = open(&url, Options::new(Env::system())).await.expect("opening asks for nothing");
    let error = store.put(&key(), content()).await.expect_err("there are no credentials");
    assert!(matches!(error, StoreError::NotDone { reason: Reason::Denied, .. }), "{error:?}");
    assert!(error.to_string().contains("AWS_ACCESS_KEY_ID"), "{error}");
    assert!(server.requests().is_empty());
}

#[tokio::test]
async fn no_secret_is_in_any_error_or_debug_output() {
    let answers = vec![
        Says::status(403, &error_document("SignatureDoesNotMatch")),
        Says::status(500, "no document"),
        Says::Hangup,
        Says::Silence,
    ];
    let count = answers.len();
    let (server, folder) = (Server::start(answers).await, tempfile::tempdir().unwrap());
    let store = store(&server, &folder).await;
    let mut seen = format!("{store:?}");
    for _ in 0..count {
        let error = store.put(&key(), content()).await.expect_err("nothing succeeds here");
        seen.push_str(&format!("{error} {error:?}"));
    }
    assert!(!seen.contains("PLANTED"), "{seen}");
}
