//! The same request to both: the same error codes. A new comparison is a new line in one of the lists.

use super::pair::Pair;
use super::requests::*;
use super::row::{Row, asked, codes, row};
use bytes::Bytes;
use frazil_broker::testing::Client;
use futures::future::BoxFuture;
use kafka_protocol::messages as m;
use std::time::{Duration, Instant};

/// Codes of a broker that does not know yet: unknown partition, no leader, not its leader.
const NOT_YET: [i16; 3] = [3, 5, 6];
pub(super) const PATIENCE: Duration = Duration::from_secs(30);
pub(super) const PAUSE: Duration = Duration::from_millis(20);
const HOUR_MS: i64 = 3_600_000;
const OWN_LIMIT: &str = "a topic has at most 100,000 partitions here; Kafka tries, within its own limits";
const ANY_REPLICATION: &str = "replicas are a view: any replication factor is taken, as tools and jobs ask for three";
const NO_EXCEPTION: &str = "Kafka fails on it: UNKNOWN_SERVER_ERROR; the request is invalid";
const NOTHING_DROPPED: &str = "Kafka drops what is too short to be a batch, and acknowledges";
const NO_SUCH_EPOCH: &str = "Kafka stores a batch of an epoch that no producer can be given; it would stand for none";
const CHOSEN_NAMES: &str = "Kafka keeps unknown broker settings for its plugins; a slip of the pen is refused here";

/// What both need before the questions: `t` with three records in partition 0, `compacted`, `short`, `stamped`.
async fn prepare(client: &mut Client) {
    let topics = vec![
        topic("t", 2, 1),
        with(topic("compacted", 1, 1), "cleanup.policy", Some("compact")),
        with(topic("short", 1, 1), "max.message.bytes", Some("100")),
        with(topic("stamped", 1, 1), "message.timestamp.before.max.ms", Some("1000")),
        topic("there.is", 1, 1),
    ];
    let names: Vec<&str> = vec!["t", "compacted", "short", "stamped", "there.is"];
    let created = client.call(5, &create(topics)).await.expect("answered");
    assert!(created.topics.iter().all(|topic| topic.error_code == 0), "{created:?}");
    let is_ready = |response: &m::MetadataResponse| {
        response
            .topics
            .iter()
            .all(|topic| topic.error_code == 0 && topic.partitions.iter().all(|at| at.error_code == 0))
    };
    // Kafka's brokers learn of a topic a moment after its controller has made it, and of leading it after that.
    let began = Instant::now();
    let mut described = client.call(12, &metadata(&names, false)).await.expect("answered");
    while !is_ready(&described) {
        assert!(began.elapsed() < PATIENCE, "{described:?}");
        tokio::time::sleep(PAUSE).await;
        described = client.call(12, &metadata(&names, false)).await.expect("answered");
    }
    for name in ["compacted", "short", "stamped", "there.is"] {
        leads(client, name, 0).await;
    }
    leads(client, "t", 1).await;
    let records = produce("t", 0, -1, Some(plain(&["a", "b", "c"])));
    loop {
        let produced = client.call(9, &records).await.expect("answered");
        match produced.responses[0].partition_responses[0].error_code {
            code if NOT_YET.contains(&code) && began.elapsed() < PATIENCE => tokio::time::sleep(PAUSE).await,
            code => break assert_eq!(code, 0, "{produced:?}"),
        }
    }
}

/// Waits until the broker answers as the partition's leader.
async fn leads(client: &mut Client, topic: &str, partition: i32) {
    let began = Instant::now();
    loop {
        let listed = client.call(7, &list_offsets(topic, partition, -1)).await.expect("answered");
        match listed.topics[0].partitions[0].error_code {
            code if NOT_YET.contains(&code) && began.elapsed() < PATIENCE => tokio::time::sleep(PAUSE).await,
            code => break assert_eq!(code, 0, "{listed:?}"),
        }
    }
}

/// Asks both every question, in order.
pub(super) async fn compare(rows: Vec<Row>) {
    compare_after(rows, |_| Box::pin(async {})).await;
}

/// The same, after something that both are told or asked first.
pub(super) async fn compare_after(rows: Vec<Row>, first: impl for<'a> Fn(&'a mut Client) -> BoxFuture<'a, ()>) {
    let pair = Pair::start(&[]);
    let [mut frazil, mut kafka] = pair.connect().await;
    prepare(&mut frazil).await;
    prepare(&mut kafka).await;
    for client in [&mut frazil, &mut kafka] {
        first(client).await;
    }
    let mut wrong = Vec::new();
    for row in &rows {
        let answers = [answer(row, "Frazil", &mut frazil).await, answer(row, "Kafka", &mut kafka).await];
        wrong.extend(row.judge(&answers[0], &answers[1]));
        if answers.iter().any(|codes| codes == &[super::row::CLOSED]) {
            [frazil, kafka] = pair.connect().await;
        }
    }
    assert!(wrong.is_empty(), "{} of {} rows:\n{}", wrong.len(), rows.len(), wrong.join("\n"));
}

/// A broker that never answers would hold the test up for ever.
async fn answer(row: &Row, name: &str, client: &mut Client) -> Vec<i16> {
    let answered = tokio::time::timeout(PATIENCE, (row.ask)(client)).await;
    answered.unwrap_or_else(|_| panic!("{}: no answer from {name}", row.what))
}

#[tokio::test(flavor = "multi_thread")]
async fn topics_and_settings_get_kafkas_codes() {
    compare(
        [creating(), growing(), deleting(), topic_settings(), other_settings(), describing()]
            .into_iter()
            .flatten()
            .collect(),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn records_and_offsets_get_kafkas_codes() {
    compare([producing(), fetching(), offsets(), record_deletion()].into_iter().flatten().collect()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn administration_gets_kafkas_codes() {
    compare([leaders(), directories(), features(), quotas(), users(), acls()].into_iter().flatten().collect()).await;
}

fn creating() -> Vec<Row> {
    let one = |topic| create(vec![topic]);
    vec![
        row("create: plain", 5, one(topic("plain", 2, 1))),
        row("create: again", 5, one(topic("plain", 2, 1))),
        row("create: defaults", 5, one(topic("defaults", -1, -1))),
        row("create: defaults before they existed", 3, one(topic("defaults-3", -1, -1))),
        row("create: empty name", 5, one(topic("", 1, 1))),
        row("create: a dot", 5, one(topic(".", 1, 1))),
        row("create: two dots", 5, one(topic("..", 1, 1))),
        row("create: a space", 5, one(topic("a b", 1, 1))),
        row("create: a slash", 5, one(topic("a/b", 1, 1))),
        row("create: 249 characters", 5, one(topic(&"x".repeat(249), 1, 1)).with_validate_only(true)),
        row("create: 250 characters", 5, one(topic(&"x".repeat(250), 1, 1))),
        row("create: not ASCII", 5, one(topic("grün", 1, 1))),
        row("create: collides by its metrics", 5, one(topic("there_is", 1, 1))),
        row("create: no partitions", 5, one(topic("p", 0, 1))),
        row("create: -2 partitions", 5, one(topic("p", -2, 1))),
        row("create: no replicas", 5, one(topic("p", 1, 0))),
        row("create: -2 replicas", 5, one(topic("p", 1, -2))),
        row("create: more replicas than brokers", 5, one(topic("p", 1, 3))).differs(&[0, 0], ANY_REPLICATION),
        row("create: named twice", 5, create(vec![topic("twice", 1, 1), topic("twice", 1, 1)])),
        row("create: nothing", 5, create(vec![])),
        row("create: only checked", 5, one(topic("dry", 1, 1)).with_validate_only(true)),
        row("create: only checked, there already", 5, one(topic("t", 1, 1)).with_validate_only(true)),
        row("create: too many partitions", 5, one(topic("vast", 100_001, 1)).with_validate_only(true))
            .differs(&[37, 0], OWN_LIMIT),
        row("create: placed", 5, one(assigned(topic("placed", -1, -1), &[(0, &[1]), (1, &[1])]))),
        row("create: placed and counted", 5, one(assigned(topic("p1", 1, -1), &[(0, &[1])]))),
        row("create: placed and replicated", 5, one(assigned(topic("p2", -1, 1), &[(0, &[1])]))),
        row("create: placed with a gap", 5, one(assigned(topic("p3", -1, -1), &[(0, &[1]), (2, &[1])]))),
        row("create: placed from 1", 5, one(assigned(topic("p4", -1, -1), &[(1, &[1])]))),
        row("create: placed nowhere", 5, one(assigned(topic("p5", -1, -1), &[(0, &[])]))),
        row("create: placed on an unknown broker", 5, one(assigned(topic("p6", -1, -1), &[(0, &[9])]))),
        row("create: placed twice on a broker", 5, one(assigned(topic("p7", -1, -1), &[(0, &[1, 1])]))),
        row("create: placed twice", 5, one(assigned(topic("p8", -1, -1), &[(0, &[1]), (0, &[1])]))),
        row("create: unknown setting", 5, config("no.such.setting", Some("1"))),
        row("create: setting without value", 5, config("retention.ms", None)),
        row("create: retention of a word", 5, config("retention.ms", Some("soon"))),
        row("create: retention of -2", 5, config("retention.ms", Some("-2"))),
        row("create: retention for ever", 5, config("retention.ms", Some("-1"))),
        row("create: retention.bytes of -2", 5, config("retention.bytes", Some("-2"))),
        row("create: policy", 5, config("cleanup.policy", Some("compact,delete"))),
        row("create: policy with spaces", 5, config("cleanup.policy", Some(" compact , delete "))),
        row("create: unknown policy", 5, config("cleanup.policy", Some("burn"))),
        row("create: empty policy", 5, config("cleanup.policy", Some(""))),
        row("create: codec", 5, config("compression.type", Some("zstd"))),
        row("create: unknown codec", 5, config("compression.type", Some("lzma"))),
        row("create: codec in capitals", 5, config("compression.type", Some("ZSTD"))),
        row("create: gzip level 0", 5, config("compression.gzip.level", Some("0"))),
        row("create: gzip level 9", 5, config("compression.gzip.level", Some("9"))),
        row("create: lz4 level 18", 5, config("compression.lz4.level", Some("18"))),
        row("create: dirty ratio 1.5", 5, config("min.cleanable.dirty.ratio", Some("1.5"))),
        row("create: segment of 1000 bytes", 5, config("segment.bytes", Some("1000"))),
        row("create: segment.ms 0", 5, config("segment.ms", Some("0"))),
        row("create: negative size", 5, config("max.message.bytes", Some("-1"))),
        row("create: size beyond 32 bits", 5, config("max.message.bytes", Some("2147483648"))),
        row("create: replicas in sync 0", 5, config("min.insync.replicas", Some("0"))),
        row("create: maybe", 5, config("preallocate", Some("maybe"))),
        row("create: TRUE", 5, config("preallocate", Some("TRUE"))),
        row("create: timestamp type", 5, config("message.timestamp.type", Some("WallTime"))),
        row("create: local retention beyond retention", 5, config("local.retention.ms", Some("999999999999"))),
        row("create: throttled replicas", 5, config("leader.replication.throttled.replicas", Some("0:1"))),
        row("create: throttled replicas of nonsense", 5, config("leader.replication.throttled.replicas", Some("x"))),
    ]
}

fn growing() -> Vec<Row> {
    vec![
        row("grow: unknown topic", 3, grow("nowhere", 3, None)),
        row("grow: the same", 3, grow("t", 2, None)),
        row("grow: fewer", 3, grow("t", 1, None)),
        row("grow: none", 3, grow("t", 0, None)),
        row("grow: only checked", 3, grow("t", 5, None).with_validate_only(true)),
        row("grow: placed", 3, grow("t", 3, Some(&[&[1]])).with_validate_only(true)),
        row("grow: too few places", 3, grow("t", 4, Some(&[&[1]]))),
        row("grow: too many places", 3, grow("t", 3, Some(&[&[1], &[1]]))),
        row("grow: an unknown broker", 3, grow("t", 3, Some(&[&[9]]))),
        row("grow: nowhere", 3, grow("t", 3, Some(&[&[]]))),
        row("grow: twice on a broker", 3, grow("t", 3, Some(&[&[1, 1]]))),
    ]
}

fn deleting() -> Vec<Row> {
    vec![
        row("delete: unknown", 5, delete(&["nowhere"])),
        row("delete: bad name", 5, delete(&["a b"])),
        row("delete: made above", 5, delete(&["plain"])),
        row("delete: named twice", 5, delete(&["defaults", "defaults"])),
        row("delete: unknown id", 6, delete_by(None, 77)),
        row("delete: name and id", 6, delete_by(Some("t"), 77)),
        row("delete: neither", 6, delete_by(None, 0)),
        row("delete: by name in version 6", 6, delete_by(Some("defaults-3"), 0)),
        row("delete: unknown, named twice", 5, delete(&["nowhere", "nowhere"])),
        row("delete: nothing", 5, delete(&[])),
    ]
}

fn topic_settings() -> Vec<Row> {
    let on_t = |name: &str, operation, value: Option<&str>| alter(TOPIC, "t", &[(name, operation, value)]);
    vec![
        row("topic settings: set", 1, set(TOPIC, "t", "retention.ms", "5")),
        row("topic settings: of an unknown topic", 1, set(TOPIC, "nowhere", "retention.ms", "5")),
        row("topic settings: of a bad name", 1, set(TOPIC, "a b", "retention.ms", "5")),
        row("topic settings: of no name", 1, set(TOPIC, "", "retention.ms", "5")),
        row("topic settings: unknown", 1, set(TOPIC, "t", "no.such.setting", "5")),
        row("topic settings: a word", 1, set(TOPIC, "t", "retention.ms", "soon")),
        row("topic settings: null", 1, on_t("retention.ms", SET, None)),
        row("topic settings: delete", 1, on_t("retention.ms", DELETE, None)),
        row("topic settings: delete what was not set", 1, on_t("flush.ms", DELETE, None)),
        row("topic settings: delete the unknown", 1, on_t("no.such.setting", DELETE, None)),
        row("topic settings: append", 1, on_t("cleanup.policy", APPEND, Some("compact"))),
        row("topic settings: append nonsense", 1, on_t("cleanup.policy", APPEND, Some("burn"))),
        row("topic settings: append to a number", 1, on_t("retention.ms", APPEND, Some("1"))),
        row("topic settings: append null", 1, on_t("cleanup.policy", APPEND, None)),
        row("topic settings: subtract", 1, on_t("cleanup.policy", SUBTRACT, Some("compact"))),
        row("topic settings: subtract from a number", 1, on_t("retention.ms", SUBTRACT, Some("1"))),
        row("topic settings: unknown operation", 1, on_t("retention.ms", 9, Some("1"))).differs(&[42], NO_EXCEPTION),
        row(
            "topic settings: one twice",
            1,
            alter(TOPIC, "t", &[("retention.ms", SET, Some("5")), ("retention.ms", SET, Some("6"))]),
        ),
        row("topic settings: nothing", 1, alter(TOPIC, "t", &[])),
        row("topic settings: only checked", 1, set(TOPIC, "t", "retention.ms", "x").with_validate_only(true)),
        row("all topic settings", 2, replace(TOPIC, "t", &[("retention.ms", Some("7"))])),
        row("all topic settings: unknown", 2, replace(TOPIC, "t", &[("no.such.setting", Some("7"))])),
        row("all topic settings: null", 2, replace(TOPIC, "t", &[("retention.ms", None)])),
        row("all topic settings: none", 2, replace(TOPIC, "t", &[])),
        row("all topic settings: of an unknown topic", 2, replace(TOPIC, "nowhere", &[("retention.ms", Some("7"))])),
    ]
}

fn other_settings() -> Vec<Row> {
    const TIMEOUT: &str = "consumer.session.timeout.ms";
    vec![
        row("broker settings: set", 1, set(BROKER, "1", "log.cleaner.backoff.ms", "16000")),
        row("broker settings: of all", 1, set(BROKER, "", "log.retention.ms", "700000000")),
        row("broker settings: of an unknown broker", 1, set(BROKER, "9", "log.retention.ms", "5")),
        row("broker settings: of a word", 1, set(BROKER, "x", "log.retention.ms", "5")),
        row("broker settings: read only", 1, set(BROKER, "1", "num.partitions", "5")),
        row("broker settings: read only, of all", 1, set(BROKER, "", "num.partitions", "5")),
        row("broker settings: a word", 1, set(BROKER, "1", "log.cleaner.threads", "many")),
        row("broker settings: of security", 1, set(BROKER, "1", "sasl.kerberos.min.time.before.relogin", "58000")),
        row("broker settings: of security, a word", 1, set(BROKER, "1", "sasl.kerberos.min.time.before.relogin", "x")),
        row("broker settings: of security, of all", 1, set(BROKER, "", "sasl.kerberos.min.time.before.relogin", "5")),
        row("broker settings: of security, read only", 1, set(BROKER, "1", "sasl.server.max.receive.size", "5000")),
        row("broker settings: of a listener's keys", 1, set(BROKER, "1", "ssl.keystore.location", "/no/such/file")),
        row("broker settings: all anew", 2, replace(BROKER, "1", &[("log.cleaner.backoff.ms", Some("17000"))])),
        row("broker settings: unknown", 1, set(BROKER, "1", "no.such.setting", "5")).differs(&[42], CHOSEN_NAMES),
        row("broker settings: null", 1, alter(BROKER, "1", &[("log.retention.ms", SET, None)])),
        row("broker settings: delete", 1, alter(BROKER, "1", &[("log.cleaner.backoff.ms", DELETE, None)])),
        row("broker settings: delete of all", 1, alter(BROKER, "", &[("log.retention.ms", DELETE, None)])),
        row("broker settings: append to a number", 1, alter(BROKER, "1", &[("log.retention.ms", APPEND, Some("1"))])),
        row("broker settings: delete the unknown", 1, alter(BROKER, "1", &[("no.such.setting", DELETE, None)])),
        row("broker settings: delete what is read only", 1, alter(BROKER, "1", &[("num.partitions", DELETE, None)])),
        row("group settings: delete the unknown", 1, alter(GROUP, "g", &[("no.such.setting", DELETE, None)])),
        row("subscriptions: delete the unknown", 1, alter(CLIENT_METRICS, "m", &[("no.such.setting", DELETE, None)])),
        row("group settings: set", 1, set(GROUP, "g", TIMEOUT, "50000")),
        row("group settings: too short", 1, set(GROUP, "g", TIMEOUT, "10")),
        row("group settings: too long", 1, set(GROUP, "g", TIMEOUT, "99999999")),
        row("group settings: a word", 1, set(GROUP, "g", TIMEOUT, "soon")),
        row("group settings: unknown", 1, set(GROUP, "g", "no.such.setting", "5")),
        row("group settings: of no name", 1, set(GROUP, "", TIMEOUT, "50000")),
        row("group settings: null", 1, alter(GROUP, "g", &[(TIMEOUT, SET, None)])),
        row("group settings: delete", 1, alter(GROUP, "g", &[(TIMEOUT, DELETE, None)])),
        row("subscriptions: set", 1, set(CLIENT_METRICS, "m", "interval.ms", "1000")),
        row("subscriptions: too often", 1, set(CLIENT_METRICS, "m", "interval.ms", "99")),
        row("subscriptions: unknown", 1, set(CLIENT_METRICS, "m", "no.such.setting", "5")),
        row("subscriptions: of no name", 1, set(CLIENT_METRICS, "", "interval.ms", "1000")),
        row("subscriptions: matching", 1, set(CLIENT_METRICS, "m", "match", "client_id=a.*,client_source_port=9")),
        row("subscriptions: matching half a name", 1, set(CLIENT_METRICS, "m", "match", "client=a")),
        row("subscriptions: matching nonsense", 1, set(CLIENT_METRICS, "m", "match", "nonsense")),
        row("settings of a thing that has none", 1, set(99, "x", "retention.ms", "5")),
    ]
}

fn describing() -> Vec<Row> {
    let listing = |kinds: &[i8]| m::ListConfigResourcesRequest::default().with_resource_types(kinds.to_vec());
    vec![
        row("describe: topic", 4, describe(TOPIC, "t")),
        row("describe: unknown topic", 4, describe(TOPIC, "nowhere")),
        row("describe: bad name", 4, describe(TOPIC, "a b")),
        row("describe: no name", 4, describe(TOPIC, "")),
        row("describe: broker", 4, describe(BROKER, "1")),
        row("describe: all brokers", 4, describe(BROKER, "")),
        row("describe: unknown broker", 4, describe(BROKER, "9")),
        row("describe: broker of a word", 4, describe(BROKER, "x")),
        row("describe: group", 4, describe(GROUP, "g")),
        row("describe: group of no name", 4, describe(GROUP, "")),
        row("describe: subscription", 4, describe(CLIENT_METRICS, "m")),
        row("describe: subscription of no name", 4, describe(CLIENT_METRICS, "")),
        row("describe: a thing that has none", 4, describe(99, "x")),
        row("resources: all", 1, listing(&[])),
        row("resources: of unknown kind", 1, listing(&[99])),
        row("metadata: unknown", 12, metadata(&["nowhere"], false)),
        row("metadata: bad name", 12, metadata(&["a b"], true)),
        row("metadata: no name", 12, metadata(&[""], true)),
        row("pages: unknown and bad", 0, describe_topics(&["t", "nowhere", "a b"], None)),
        row("pages: from a partition", 0, describe_topics(&["t"], Some(("t", 1)))),
        row("pages: from a negative partition", 0, describe_topics(&["t"], Some(("t", -1)))),
        row("pages: from beyond the last partition", 0, describe_topics(&["t"], Some(("t", 9)))),
        row("pages: of all, from an unknown topic", 0, describe_topics(&[], Some(("q", 0)))),
        row("pages: from an unknown topic", 0, describe_topics(&["t"], Some(("nowhere", 0)))),
    ]
}

fn producing() -> Vec<Row> {
    let to_t = |batch| produce("t", 0, -1, Some(batch));
    let two = Bytes::from([plain(&["a"]), plain(&["b"])].concat());
    let mut trailing = plain(&["a"]).to_vec();
    trailing.extend_from_slice(b"rest");
    vec![
        row("produce: a batch", 9, to_t(plain(&["x"]))),
        row("produce: unknown topic", 9, produce("nowhere", 0, -1, Some(plain(&["x"])))),
        row("produce: unknown partition", 9, produce("t", 7, -1, Some(plain(&["x"])))),
        row("produce: negative partition", 9, produce("t", -1, -1, Some(plain(&["x"])))),
        row("produce: acks of 2", 9, produce("t", 0, 2, Some(plain(&["x"])))),
        row("produce: acks of -2", 9, produce("t", 0, -2, Some(plain(&["x"])))),
        // Without any records at all: Kafka never answers.
        row("produce: nothing", 9, produce("t", 0, -1, Some(Bytes::new()))),
        row("produce: two batches", 9, to_t(two)),
        row("produce: half a batch", 9, to_t(plain(&["x"]).slice(..40))),
        row("produce: a batch and a rest", 9, to_t(trailing.into())).differs(&[87], NOTHING_DROPPED),
        row("produce: wrong CRC", 9, to_t(damaged(64, b"!", false))),
        row("produce: magic 1", 9, to_t(damaged(16, &[1], false))),
        row("produce: magic 3", 9, to_t(damaged(16, &[3], false))),
        row("produce: base offset 5", 9, to_t(damaged(0, &5_i64.to_be_bytes(), true))),
        row("produce: a count that lies", 9, to_t(damaged(57, &5_i32.to_be_bytes(), true))),
        row("produce: an offset delta that lies", 9, to_t(damaged(23, &5_i32.to_be_bytes(), true))),
        row("produce: a control batch", 9, to_t(damaged(21, &[0, 0x20], true))),
        row("produce: codec 7", 9, to_t(damaged(21, &[0, 7], true))).differs(&[76], NO_EXCEPTION),
        row("produce: too large", 9, produce("short", 0, -1, Some(plain(&["x".repeat(200).as_str()])))),
        row("produce: without key to a compacted topic", 9, produce("compacted", 0, -1, Some(keyless()))),
        row("produce: with key to a compacted topic", 9, produce("compacted", 0, -1, Some(plain(&["x"])))),
        row("produce: too old", 9, produce("stamped", 0, -1, Some(at_time(now_ms() - HOUR_MS)))),
        row("produce: from the future", 9, to_t(at_time(now_ms() + 2 * HOUR_MS))),
        row("produce: without a timestamp", 9, to_t(at_time(-1))),
        row("produce: an unknown producer's first", 9, to_t(sequenced(77, 0, 0, 2))),
        row("produce: once more", 9, to_t(sequenced(77, 0, 0, 2))),
        row("produce: the next", 9, to_t(sequenced(77, 0, 2, 1))),
        row("produce: a gap", 9, to_t(sequenced(77, 0, 5, 1))),
        row("produce: going back", 9, to_t(sequenced(77, 0, 1, 1))),
        row("produce: another epoch from 3", 9, to_t(sequenced(77, 1, 3, 1))),
        row("produce: another epoch from 0", 9, to_t(sequenced(77, 1, 0, 1))),
        row("produce: the epoch before", 9, to_t(sequenced(77, 0, 3, 1))),
        row("produce: an unknown producer in its middle", 9, to_t(sequenced(78, 0, 5, 1))),
        row("produce: a negative epoch", 9, to_t(sequenced(79, -1, 0, 1))).differs(&[87], NO_SUCH_EPOCH),
        row("produce: a negative sequence", 9, to_t(sequenced(80, 0, -1, 1))),
    ]
}

fn fetching() -> Vec<Row> {
    vec![
        row("fetch: from the start", 12, fetch("t", 0, 0)),
        row("fetch: below the start", 12, fetch("t", 0, -5)),
        row("fetch: beyond the end", 12, fetch("t", 0, 999)),
        row("fetch: unknown topic", 12, fetch("nowhere", 0, 0)),
        row("fetch: unknown partition", 12, fetch("t", 9, 0)),
        row("fetch: negative partition", 12, fetch("t", -1, 0)),
        row("fetch: of a newer leader", 12, fetch_in_epoch(5)),
        row("fetch: an unknown session", 12, fetch("t", 0, 0).with_session_id(5).with_session_epoch(1)),
        row("fetch: ending an unknown session", 12, fetch("t", 0, 0).with_session_id(5).with_session_epoch(-1)),
    ]
}

fn offsets() -> Vec<Row> {
    vec![
        row("offsets: latest", 7, list_offsets("t", 0, -1)),
        row("offsets: earliest", 7, list_offsets("t", 0, -2)),
        row("offsets: of the greatest timestamp", 7, list_offsets("t", 0, -3)),
        row("offsets: of an empty partition", 7, list_offsets("t", 1, -3)),
        row("offsets: by time", 7, list_offsets("t", 0, 0)),
        row("offsets: by a time to come", 7, list_offsets("t", 0, i64::MAX)),
        row("offsets: unknown topic", 7, list_offsets("nowhere", 0, -1)),
        row("offsets: unknown partition", 7, list_offsets("t", 9, -1)),
        row("offsets: greatest timestamp before it existed", 6, list_offsets("t", 0, -3)),
        row("offsets: earliest local before it existed", 7, list_offsets("t", 0, -4)),
        row("offsets: earliest local", 8, list_offsets("t", 0, -4)),
        row("offsets: latest tiered", 9, list_offsets("t", 0, -5)),
        row("offsets: of an unknown kind", 9, list_offsets("t", 0, -9)),
        row("epochs: the current one", 4, epoch_end("t", 0, -1, 0)),
        row("epochs: a later one", 4, epoch_end("t", 0, -1, 5)),
        row("epochs: of a newer leader", 4, epoch_end("t", 0, 5, 0)),
        row("epochs: unknown topic", 4, epoch_end("nowhere", 0, -1, 0)),
        row("epochs: unknown partition", 4, epoch_end("t", 9, -1, 0)),
    ]
}

fn record_deletion() -> Vec<Row> {
    vec![
        row("delete records: some", 2, delete_records("t", 0, 2)),
        row("delete records: before the start", 2, delete_records("t", 0, 1)),
        row("delete records: beyond the end", 2, delete_records("t", 0, 9_999)),
        row("delete records: a negative offset", 2, delete_records("t", 0, -2)),
        row("delete records: all", 2, delete_records("t", 0, -1)),
        row("delete records: of an empty partition", 2, delete_records("t", 1, -1)),
        row("delete records: unknown topic", 2, delete_records("nowhere", 0, 0)),
        row("delete records: unknown partition", 2, delete_records("t", 9, 0)),
        row("delete records: of a compacted topic", 2, delete_records("compacted", 0, -1)),
        row("fetch: what was deleted", 12, fetch("t", 0, 0)),
    ]
}

fn leaders() -> Vec<Row> {
    let quorum = |name: &str, partition: i32| {
        use m::describe_quorum_request::{PartitionData, TopicData};
        let partition = PartitionData::default().with_partition_index(partition);
        let topic = TopicData::default()
            .with_topic_name(frazil_broker::testing::topic_name(name))
            .with_partitions(vec![partition]);
        m::DescribeQuorumRequest::default().with_topics(vec![topic])
    };
    vec![
        row("elect: the preferred leader", 2, elect(0, "t", &[0, 1])),
        row("elect: any leader", 2, elect(1, "t", &[0])),
        row("elect: unknown topic", 2, elect(0, "nowhere", &[0])),
        row("elect: unknown partition", 2, elect(0, "t", &[9])),
        row("elect: all", 2, m::ElectLeadersRequest::default().with_topic_partitions(None).with_timeout_ms(30_000)),
        row("reassign: where it is", 0, reassign("t", 0, Some(&[1]))),
        row("reassign: cancel", 0, reassign("t", 0, None)),
        row("reassign: unknown topic", 0, reassign("nowhere", 0, Some(&[1]))),
        row("reassign: unknown partition", 0, reassign("t", 9, Some(&[1]))),
        row("reassign: nowhere", 0, reassign("t", 0, Some(&[]))),
        row("reassign: an unknown broker", 0, reassign("t", 0, Some(&[9]))),
        row("reassign: twice on a broker", 0, reassign("t", 0, Some(&[1, 1]))),
        row("reassignments", 0, m::ListPartitionReassignmentsRequest::default().with_topics(None)),
        row("quorum", 2, quorum("__cluster_metadata", 0)),
        row("quorum: of a topic", 2, quorum("t", 0)),
        row("quorum: another partition", 2, quorum("__cluster_metadata", 1)),
        row("log dirs", 4, m::DescribeLogDirsRequest::default().with_topics(None)),
    ]
}

fn directories() -> Vec<Row> {
    let to = |what, path: Option<&'static str>, topic: &'static str, partition: i32| {
        asked(what, move |client| {
            Box::pin(async move {
                let all = m::DescribeLogDirsRequest::default().with_topics(None);
                let own = client.call(4, &all).await.expect("answered").results[0].log_dir.to_string();
                let moving = move_to(path.unwrap_or(&own), topic, &[partition]);
                codes(&client.call(2, &moving).await.expect("answered"))
            })
        })
    };
    vec![
        to("move: to where it is", None, "t", 0),
        to("move: an unknown partition", None, "t", 9),
        to("move: a negative partition", None, "t", -1),
        to("move: an unknown topic", None, "nowhere", 0),
        to("move: to an unknown directory", Some("/no/such/directory"), "t", 0),
        to("move: to no directory", Some(""), "t", 0),
        to("move: an unknown topic to an unknown directory", Some("/no/such/directory"), "nowhere", 0),
        row("move: nothing", 2, m::AlterReplicaLogDirsRequest::default()),
    ]
}

fn features() -> Vec<Row> {
    const UPGRADE: i8 = 1;
    const SAFE_DOWNGRADE: i8 = 2;
    let one_level = "a level is what the program does; there is one";
    vec![
        row("feature: the level in force", 1, update_feature("metadata.version", 27, UPGRADE)),
        row("feature: a level to come", 1, update_feature("metadata.version", 99, UPGRADE)),
        row("feature: a level to come, version 2", 2, update_feature("metadata.version", 99, UPGRADE)),
        row("feature: an older level", 1, update_feature("metadata.version", 20, UPGRADE)),
        row("feature: a safe way back", 1, update_feature("metadata.version", 26, SAFE_DOWNGRADE))
            .differs(&[95], one_level),
        row("feature: unknown", 1, update_feature("no.such.feature", 1, UPGRADE)),
        row("feature: unknown, version 2", 2, update_feature("no.such.feature", 1, UPGRADE)),
        row("feature: unknown kind of change", 1, update_feature("metadata.version", 27, 9)),
    ]
}

fn quotas() -> Vec<Row> {
    let (user, ip) = (("user", Some("ann")), ("ip", Some("127.0.0.1")));
    let rate = "producer_byte_rate";
    vec![
        row("quota: of a user", 1, quota(&[user], rate, Some(1000.0))),
        row("quota: of all users", 1, quota(&[("user", None)], "request_percentage", Some(12.5))),
        row("quota: of a user's client", 1, quota(&[user, ("client-id", Some("c"))], rate, Some(5.0))),
        row("quota: of an address", 1, quota(&[ip], "connection_creation_rate", Some(5.0))),
        row("quota: gone", 1, quota(&[user], rate, None)),
        row("quota: gone that was not", 1, quota(&[user], "consumer_byte_rate", None)),
        row("quota: of nobody", 1, quota(&[], rate, Some(1.0))),
        row("quota: of a planet", 1, quota(&[("planet", Some("x"))], rate, Some(1.0))),
        row("quota: of an empty name", 1, quota(&[("user", Some(""))], rate, Some(1.0))),
        row("quota: of a user's address", 1, quota(&[user, ip], rate, Some(1.0))),
        row("quota: unknown", 1, quota(&[user], "no_such_rate", Some(1.0))),
        row("quota: an address's of a user", 1, quota(&[user], "connection_creation_rate", Some(1.0))),
        row("quota: a user's of an address", 1, quota(&[ip], rate, Some(1.0))),
        row("quota: half a byte", 1, quota(&[user], rate, Some(0.5))),
        row("quota: of no address", 1, quota(&[("ip", Some("no such host"))], "connection_creation_rate", Some(1.0))),
        row("quota: only checked", 1, quota(&[user], rate, Some(0.5)).with_validate_only(true)),
        row("quotas: all", 1, find_quotas(&[])),
        row("quotas: of a user", 1, find_quotas(&[("user", 0, Some("ann"))])),
        row("quotas: of a planet", 1, find_quotas(&[("planet", 0, Some("x"))])),
        row("quotas: of no kind", 1, find_quotas(&[("", 0, Some("x"))])),
        row("quotas: one kind twice", 1, find_quotas(&[("user", 0, Some("a")), ("user", 2, None)])),
        row("quotas: of a user's address", 1, find_quotas(&[("user", 2, None), ("ip", 2, None)])),
        row("quotas: exactly null", 1, find_quotas(&[("user", 0, None)])),
        row("quotas: the default's name", 1, find_quotas(&[("user", 1, Some("ann"))])),
        row("quotas: any name", 1, find_quotas(&[("user", 2, Some("ann"))])),
        row("quotas: another match", 1, find_quotas(&[("user", 7, None)])),
    ]
}

fn users() -> Vec<Row> {
    vec![
        row("password: SHA-256", 0, set_password("ann", 1, 4096)),
        row("password: SHA-512", 0, set_password("ann", 2, 4096)),
        row("password: of an empty name", 0, set_password("", 1, 4096)),
        row("password: another mechanism", 0, set_password("ann", 7, 4096)),
        row("password: few rounds", 0, set_password("ann", 1, 4095)),
        row("password: many rounds", 0, set_password("ann", 1, 16_385)),
        row("password: gone that was not", 0, drop_password("nobody", 1)),
        row("password: of another mechanism gone", 0, drop_password("ann", 7)),
        row("password: of an empty name gone", 0, drop_password("", 1)),
        row("users: unknown", 0, find_users(&["nobody"])),
        row("users: named twice", 0, find_users(&["nobody", "nobody"])),
    ]
}

fn acls() -> Vec<Row> {
    let filter = m::delete_acls_request::DeleteAclsFilter::default()
        .with_resource_type_filter(1)
        .with_pattern_type_filter(1)
        .with_operation(1)
        .with_permission_type(1);
    let creation = m::create_acls_request::AclCreation::default()
        .with_resource_type(2)
        .with_resource_name(text("t"))
        .with_principal(text("User:ann"))
        .with_host(text("*"))
        .with_operation(3)
        .with_permission_type(3);
    let describe = m::DescribeAclsRequest::default()
        .with_resource_type_filter(1)
        .with_pattern_type_filter(1)
        .with_operation(1)
        .with_permission_type(1);
    vec![
        row("acls: describe", 3, describe),
        row("acls: create", 3, m::CreateAclsRequest::default().with_creations(vec![creation])),
        row("acls: delete", 3, m::DeleteAclsRequest::default().with_filters(vec![filter])),
    ]
}
