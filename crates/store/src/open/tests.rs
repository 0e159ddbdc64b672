use super::*;

fn options() -> Options {
    Options::new(Env::system())
}

async fn refused(url: &str) -> OpenError {
    match open(url, options()).await {
        Ok(store) => panic!("{url} was opened as {store:?}"),
        Err(error) => error,
    }
}

#[tokio::test]
async fn each_scheme_opens_its_adapter_without_a_request() {
    let folder = tempfile::tempdir().unwrap();
    let file = format!("file://{}/data", folder.path().display());
    for (url, shown) in [
        ("memory://", "MemoryStorage(0 objects)"),
        (file.as_str(), "DirectoryStorage("),
        ("s3://bucket?region=eu-central-1", "RemoteStorage(s3://bucket, prefix \"\")"),
        ("s3://my.bucket/a/b/?endpoint=http://127.0.0.1:9", "RemoteStorage(s3://my.bucket, prefix \"a/b/\")"),
        ("gs://bucket/p?endpoint=http://127.0.0.1:9", "RemoteStorage(gs://bucket, prefix \"p/\")"),
        ("az://container/p?account=a&endpoint=http://127.0.0.1:9", "RemoteStorage(az://container, prefix \"p/\")"),
    ] {
        let store = open(url, options()).await.unwrap_or_else(|error| panic!("{url}: {error}"));
        assert!(format!("{store:?}").starts_with(shown), "{url} gives {store:?}");
    }
    assert!(folder.path().join("data").is_dir(), "a missing directory is made");
}

#[tokio::test]
async fn wrong_urls_are_refused_with_the_reason() {
    for (url, words) in [
        ("bucket", "relative URL"),
        ("ftp://host/x", "known are file, s3, gs, az and memory"),
        ("s3:///prefix", "a bucket is missing"),
        ("s3://bucket/pre fix?region=x", "a prefix consists of"),
        ("s3://bucket?regoin=y", "unknown parameter \"regoin\"; known are timeout"),
        ("s3://bucket?region=x&region=y", "stands twice"),
        ("s3://bucket?region=x&timeout=5", "written like 30s"),
        ("s3://bucket?region=x&timeout=0s", "written like 30s"),
        ("s3://bucket?region=x&path_style=yes", "path_style is one of true, false"),
        ("s3://bucket?region=x&checksum=md5", "checksum is one of crc32c, none"),
        ("s3://bucket?region=x&endpoint=minio:9000", "an endpoint is written"),
        ("memory://?size=1", "unknown parameter \"size\"; known are none"),
        ("file://host/x", "file:///absolute/path"),
    ] {
        let error = refused(url).await.to_string();
        assert!(error.contains(words), "{url}: {words:?} is missing in {error:?}");
    }
}

#[tokio::test]
async fn secrets_in_a_url_are_refused_and_not_repeated() {
    for url in [
        "s3://AKIA:PLANTED@bucket?region=x",
        "s3://bucket?region=x&secret_access_key=PLANTED",
        "s3://bucket?region=x&session_token=PLANTED",
        "s3://bucket?region=x&access_key_id=PLANTED",
        "az://container?sas_key=PLANTED",
        "s3://bucket?region=x&endpoint=http://user:PLANTED@host",
    ] {
        let error = refused(url).await;
        assert!(matches!(error, OpenError::Secret { .. }), "{url}: {error}");
        assert!(!format!("{error} {error:?}").contains("PLANTED"), "{error:?}");
    }
}

#[tokio::test]
async fn a_directory_that_cannot_be_made_is_named() {
    let error = refused("file:///dev/null/data").await.to_string();
    assert!(error.contains("/dev/null/data") && error.contains("cannot be used"), "{error}");
}
