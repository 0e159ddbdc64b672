use super::*;
use Reason::*;

fn answered(status: u16, code: &str) -> Seen {
    Seen::Answered(Answered { status, code: code.to_owned(), ..Answered::default() })
}

fn some_error() -> object_store::Error {
    object_store::Error::Generic { store: "S3", source: "what object_store made of it".into() }
}

fn judged(operation: Operation, seen: &Seen) -> Verdict {
    judge(operation, seen, &some_error())
}

/// How the verdict reads in the tables below: certain, or maybe done, and why.
fn outcome(verdict: Verdict) -> (bool, Reason) {
    match verdict {
        Verdict::Failed { certain, reason, .. } => (certain, reason),
        other => panic!("no failure: {other:?}"),
    }
}

#[test]
fn a_failed_put_is_certain_only_where_that_is_certain() {
    let cause = || "cause".to_owned();
    for (seen, certain, reason) in [
        (Seen::NotConnected(cause()), true, Unavailable),
        (Seen::NoCredentials { cause: cause(), passing: false }, true, Denied),
        (Seen::NoCredentials { cause: cause(), passing: true }, true, Unavailable),
        (Seen::TimedOut(cause()), false, Unavailable),
        (Seen::Torn(cause()), false, Unavailable),
        (answered(500, "InternalError"), false, Unavailable),
        (answered(502, ""), false, Unavailable),
        (answered(503, ""), false, Unavailable),
        (answered(503, "SlowDown"), true, Throttled),
        (answered(503, "SlowDownWrite"), false, Throttled),
        (answered(503, "ServiceUnavailable"), true, Unavailable),
        (answered(504, ""), false, Unavailable),
        (answered(507, "XMinioStorageFull"), true, Full),
        (answered(429, ""), true, Throttled),
        (answered(408, ""), true, Unavailable),
        (answered(400, "RequestTimeout"), true, Unavailable),
        (answered(400, "IncompleteBody"), true, Unavailable),
        (answered(400, "BadDigest"), true, Unavailable),
        (answered(400, "XMinioAdminBucketQuotaExceeded"), true, Full),
        (answered(400, "ExpiredToken"), true, Denied),
        (answered(400, "InvalidArgument"), true, Invalid),
        (answered(403, "AccessDenied"), true, Denied),
        (answered(403, "QuotaExceeded"), true, Full),
        (answered(401, ""), true, Denied),
        (answered(404, "NoSuchBucket"), true, Invalid),
        (answered(301, "PermanentRedirect"), true, Invalid),
        (answered(409, "ConditionalRequestConflict"), true, Unavailable),
        (answered(409, "OperationAborted"), true, Unavailable),
        (answered(501, "NotImplemented"), true, Invalid),
    ] {
        assert_eq!(outcome(judged(Operation::PutIfAbsent, &seen)), (certain, reason), "{seen:?}");
    }
}

#[test]
fn a_failed_read_is_always_certain() {
    for seen in [Seen::TimedOut("t".into()), Seen::Torn("t".into()), answered(500, ""), answered(200, "")] {
        assert_eq!(outcome(judged(Operation::Get, &seen)), (true, Unavailable), "{seen:?}");
    }
}

#[test]
fn a_conflict_of_conditional_puts_is_not_taken_for_an_existing_object() {
    assert_eq!(judged(Operation::PutIfAbsent, &answered(412, "PreconditionFailed")), Verdict::Exists);
    assert_eq!(judged(Operation::PutIfAbsent, &answered(409, "BlobAlreadyExists")), Verdict::Exists);
    let conflict = judged(Operation::PutIfAbsent, &answered(409, "ConditionalRequestConflict"));
    let error = conflict.into_error(Operation::PutIfAbsent, &Key::new("k"));
    assert!(error.is_transient() && matches!(error, StoreError::NotDone { .. }), "{error:?}");
}

#[test]
fn plain_answers_are_no_failures() {
    assert_eq!(judged(Operation::Get, &answered(404, "NoSuchKey")), Verdict::Missing);
    assert_eq!(judged(Operation::Delete, &answered(404, "")), Verdict::Missing);
    assert_eq!(judged(Operation::Get, &answered(416, "InvalidRange")), Verdict::BeyondEnd);
    // The write is done, whatever `object_store` disliked about the answer.
    assert_eq!(judged(Operation::Put, &answered(200, "")), Verdict::Done);
    assert_eq!(outcome(judged(Operation::Get, &answered(404, "NoSuchBucket"))), (true, Invalid));
}

#[test]
fn causes_name_the_fix() {
    let redirect = Answered {
        status: 301,
        code: "PermanentRedirect".to_owned(),
        message: "Use the other endpoint".to_owned(),
        region: Some("eu-central-1".to_owned()),
    };
    for (operation, seen, words) in [
        (Operation::Put, Seen::Answered(redirect), "set region=eu-central-1"),
        (Operation::Put, answered(403, "AccessDenied"), "s3:PutObject"),
        (Operation::List, answered(403, "AccessDenied"), "s3:ListBucket"),
        (Operation::Get, answered(403, "InvalidAccessKeyId"), "AWS_ACCESS_KEY_ID"),
        (Operation::Get, answered(403, "RequestTimeTooSkewed"), "clock"),
        (Operation::PutIfAbsent, answered(501, "NotImplemented"), "If-None-Match"),
        (Operation::Put, answered(507, "XMinioStorageFull"), "free space"),
    ] {
        let Verdict::Failed { cause, .. } = judged(operation, &seen) else { panic!("{seen:?} is no failure") };
        assert!(cause.contains(words), "{words:?} is missing in {cause:?}");
    }
}
