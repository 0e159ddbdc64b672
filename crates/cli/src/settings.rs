//! Configuration: one TOML file, environment variables, flags.
//!
//! `keys` declares every setting once, `layers` finds each one's value and origin, and this file turns the texts into
//! typed values. Everything that is wrong is reported at once, with the place it stands in. No text that came through
//! a reference (`${env:X}`, `${file:/p}`, a `…_file` twin) is ever shown, nor are passwords in URLs.

pub mod keys;
mod layers;
pub mod redact;
#[cfg(test)]
mod tests;
pub mod units;

pub use layers::{ConfigError, ConfigErrors, Origin, Resolved, Sources, Value, resolve};

use frazil_base::BrokerId;
use frazil_log::LogOptions;
use keys::{Key, Kind};
use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;
use url::Url;

/// Age at which a segment closes on a bucket, where each flush is a PUT that costs money.
const BUCKET_FLUSH_AGE: Duration = Duration::from_millis(250);

/// Records between snapshots on a bucket, where a start reads each record by a request of its own.
const BUCKET_SNAPSHOT_AFTER_RECORDS: u64 = 1_000;

/// A host and a port. The host may be a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostPort {
    /// Name or address, without brackets.
    pub host: String,
    /// Port; 0 asks for a free one.
    pub port: u16,
}

impl HostPort {
    /// Reads `host:port`, `[v6]:port`; the port may be left out when `default_port` is given.
    pub fn parse(text: &str, default_port: Option<u16>) -> Option<HostPort> {
        let text = text.trim();
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (host, rest) = rest.split_once(']')?;
                (host, rest.strip_prefix(':'))
            }
            None => match text.rsplit_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            },
        };
        let port = match port {
            Some(port) => port.parse().ok()?,
            None => default_port?,
        };
        let is_valid = !host.is_empty() && !host.contains(['/', '@', ' ']);
        is_valid.then(|| HostPort { host: host.to_string(), port })
    }

    /// Whether it means all addresses of the machine.
    pub fn is_wildcard(&self) -> bool {
        ["0.0.0.0", "::", "*"].contains(&self.host.as_str())
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// A URL that may hold secrets: `Debug` and `Display` hide them.
#[derive(Clone, PartialEq, Eq)]
pub struct StoreUrl(Url);

impl StoreUrl {
    /// The URL with its secrets.
    pub fn expose(&self) -> &Url {
        &self.0
    }

    /// The directory it names, when it is a `file://` URL.
    pub fn directory(&self) -> Option<PathBuf> {
        (self.0.scheme() == "file").then(|| self.0.to_file_path().ok()).flatten()
    }

    /// Whether data is gone when the process ends.
    pub fn is_memory(&self) -> bool {
        self.0.scheme() == "memory"
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&redact::url(self.0.as_str()))
    }
}

impl fmt::Debug for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StoreUrl({self})")
    }
}

/// All settings of a broker, typed.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where data lives; also where metadata lives, as long as the only metadata engine is the embedded one.
    pub store: StoreUrl,
    /// Kafka's node id.
    pub broker_id: BrokerId,
    /// The broker's zone.
    pub zone: Option<String>,
    /// Where Kafka clients connect.
    pub kafka_listen: HostPort,
    /// Address told to Kafka clients; `None`: the listen address.
    pub kafka_advertise: Option<HostPort>,
    /// Where health and metrics are served.
    pub http_listen: HostPort,
    /// Sizes and ages of the data path.
    pub log: LogOptions,
    /// Kafka's settings that the broker itself reads.
    pub kafka: KafkaSettings,
    /// Kafka's settings that were given, by Kafka's names; milliseconds and bytes as plain numbers.
    pub kafka_given: BTreeMap<String, String>,
}

/// Kafka's settings that the broker itself reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KafkaSettings {
    /// `auto.create.topics.enable`
    pub auto_create_topics: bool,
    /// `num.partitions`
    pub num_partitions: i32,
    /// `default.replication.factor`
    pub default_replication_factor: i16,
    /// `message.max.bytes`
    pub message_max_bytes: usize,
    /// `socket.request.max.bytes`
    pub frame_bytes_max: usize,
    /// `fetch.max.bytes`
    pub fetch_bytes_max: usize,
    /// `max.connections`
    pub connections_max: usize,
    /// `queued.max.request.bytes`; `None`: the broker's own default.
    pub request_bytes_in_flight: Option<usize>,
    /// `connections.max.idle.ms`
    pub idle_timeout: Duration,
}

impl Settings {
    /// The typed values of what was resolved.
    pub fn from_resolved(resolved: &Resolved) -> Result<Settings, ConfigErrors> {
        let mut reader = Reader { resolved, errors: Vec::new() };
        reader.check_kinds();
        let settings = reader.settings();
        match settings {
            Some(settings) if reader.errors.is_empty() => Ok(settings),
            _ => Err(ConfigErrors(reader.errors)),
        }
    }

    /// Settings from `(path, value)` pairs over the defaults of `frazil server`; for programs that embed a broker.
    pub fn from_pairs<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Settings, ConfigErrors> {
        let flags = pairs.into_iter().map(|(path, value)| (path.to_string(), value.to_string())).collect();
        let resolved = resolve(&Sources { flags, ..Sources::default() })?;
        Settings::from_resolved(&resolved)
    }
}

/// Reads typed values and gathers what is wrong.
struct Reader<'a> {
    resolved: &'a Resolved,
    errors: Vec<ConfigError>,
}

impl Reader<'_> {
    fn check_kinds(&mut self) {
        for (key, value) in self.resolved.all() {
            let text = value.expose();
            let optional = ["", "auto"].contains(&key.default) && text == key.default;
            if let Err(cause) = check_kind(key.kind, text)
                && !optional
            {
                self.invalid(key.path, cause);
            }
        }
    }

    fn settings(&mut self) -> Option<Settings> {
        self.check_metadata();
        let store = self.store()?;
        let kafka_listen = self.address("kafka.listen")?;
        let kafka_advertise = match self.text("kafka.advertise") {
            "auto" => None,
            _ => Some(self.address("kafka.advertise")?),
        };
        if kafka_advertise.as_ref().is_some_and(|address| address.is_wildcard()) {
            self.invalid("kafka.advertise", "clients cannot connect to a wildcard; name a host they can reach".into());
        }
        let broker_id = self.number::<i32>("broker.id", 0..=i64::from(i32::MAX))?;
        Some(Settings {
            log: self.log_options(&store)?,
            store,
            broker_id: BrokerId(broker_id),
            zone: Some(self.text("broker.zone").to_string()).filter(|zone| !zone.is_empty()),
            kafka_listen,
            kafka_advertise,
            http_listen: self.address("http.listen")?,
            kafka: self.kafka()?,
            kafka_given: self.kafka_given(),
        })
    }

    fn check_metadata(&mut self) {
        if self.text("metadata.url") != "embedded" {
            let cause = "this version has one metadata engine; write `embedded`, or leave it out".to_string();
            self.invalid("metadata.url", cause);
        }
        let value = self.resolved.value("metadata.url");
        self.refuse_secret_flag("metadata.url", value);
    }

    fn store(&mut self) -> Option<StoreUrl> {
        let value = self.resolved.value("store.url");
        self.refuse_secret_flag("store.url", value);
        match store_url(value.expose()) {
            Ok(url) => Some(url),
            Err(cause) => {
                self.invalid("store.url", cause);
                None
            }
        }
    }

    /// Arguments of a process can be read by everybody on the machine.
    fn refuse_secret_flag(&mut self, path: &'static str, value: &Value) {
        let holds_secret = !value.is_referenced() && redact::url(value.expose()) != value.expose();
        if holds_secret && matches!(value.origin, Origin::Flag(_)) {
            let cause =
                "flags are visible to everybody on the machine; write the secret as ${env:NAME} or ${file:/path}";
            self.invalid(path, cause.to_string());
        }
    }

    fn log_options(&mut self, store: &StoreUrl) -> Option<LogOptions> {
        let is_bucket = store.directory().is_none() && !store.is_memory();
        let flush_age = match self.text("log.flush_age") {
            "auto" if is_bucket => BUCKET_FLUSH_AGE,
            "auto" => Duration::ZERO,
            _ => self.duration("log.flush_age")?,
        };
        let snapshot_after_records = match self.text("log.snapshot_after_records") {
            "auto" if is_bucket => BUCKET_SNAPSHOT_AFTER_RECORDS,
            "auto" => LogOptions::default().snapshot_after_records,
            _ => self.number("log.snapshot_after_records", 1..=i64::MAX)?,
        };
        let snapshots_kept_for = match self.text("log.snapshots_kept_for") {
            "auto" if is_bucket => LogOptions::default().snapshots_kept_for,
            "auto" => Duration::ZERO,
            _ => self.duration("log.snapshots_kept_for")?,
        };
        let whole_segments = 4096..=frazil_base::limits::SEGMENT_BYTES as i64;
        Some(LogOptions {
            flush_age,
            segment_bytes: self.number("log.segment_bytes", whole_segments)?,
            uploads_in_flight: self.number("log.uploads_in_flight", 1..=64)?,
            cache_bytes: self.number("log.cache_bytes", 0..=i64::MAX)?,
            in_flight_bytes: self.number("log.in_flight_bytes", 1 << 20..=1 << 40)?,
            read_ahead_bytes: self.number("log.read_ahead_bytes", 0..=1 << 30)?,
            delete_grace: self.duration("log.delete_grace")?,
            maintenance_interval: self.duration("log.maintenance_interval")?,
            snapshot_after_bytes: self.number("log.snapshot_after_bytes", 4096..=i64::MAX)?,
            snapshot_after_records,
            snapshots_kept_for,
            reclaim_after_bytes: self.number("log.reclaim_after_bytes", 0..=i64::MAX)?,
            retention_interval: Duration::from_millis(
                self.number("kafka.log_retention_check_interval_ms", 1..=i64::MAX)?,
            ),
            ..LogOptions::default()
        })
    }

    fn kafka(&mut self) -> Option<KafkaSettings> {
        use frazil_base::limits::{BATCH_BYTES_MAX, FRAME_BYTES_MAX, PARTITIONS_PER_TOPIC_MAX};
        let queued: i64 = self.number("kafka.queued_max_request_bytes", -1..=1 << 40)?;
        let idle: i64 = self.number("kafka.connections_max_idle_ms", -1..=i64::MAX)?;
        Some(KafkaSettings {
            auto_create_topics: self.text("kafka.auto_create_topics_enable") == "true",
            num_partitions: self.number("kafka.num_partitions", 1..=i64::from(PARTITIONS_PER_TOPIC_MAX))?,
            default_replication_factor: self.number("kafka.default_replication_factor", 1..=i64::from(i16::MAX))?,
            message_max_bytes: self.number("kafka.message_max_bytes", 0..=BATCH_BYTES_MAX as i64)?,
            frame_bytes_max: self.number("kafka.socket_request_max_bytes", 1024..=FRAME_BYTES_MAX as i64)?,
            fetch_bytes_max: self.number("kafka.fetch_max_bytes", 1024..=i64::from(i32::MAX))?,
            connections_max: self.number("kafka.max_connections", 1..=i64::from(i32::MAX))?,
            request_bytes_in_flight: usize::try_from(queued).ok(),
            idle_timeout: u64::try_from(idle).map_or(Duration::MAX, Duration::from_millis),
        })
    }

    fn kafka_given(&self) -> BTreeMap<String, String> {
        // What `frazil dev` sets by default is given, too: Kafka's default is another one.
        let is_given = |key: &Key, value: &Value| value.origin != Origin::Default || value.expose() != key.default;
        let given = self.resolved.all().filter(|(key, value)| is_given(key, value));
        let named = given.filter_map(|(key, value)| {
            let text = match key.kind {
                Kind::KafkaMilliseconds | Kind::KafkaBytes => integer(key.kind, value.expose()).ok()?.to_string(),
                _ => value.expose().to_string(),
            };
            Some((key.kafka_name()?, text))
        });
        named.collect()
    }

    fn text(&self, path: &'static str) -> &str {
        self.resolved.value(path).expose()
    }

    fn address(&self, path: &'static str) -> Option<HostPort> {
        HostPort::parse(self.text(path), None)
    }

    fn duration(&self, path: &'static str) -> Option<Duration> {
        units::parse_duration(self.text(path)).ok()
    }

    /// A number in `range`; what is no number at all was reported by `check_kinds`.
    fn number<N: TryFrom<i64>>(&mut self, path: &'static str, range: std::ops::RangeInclusive<i64>) -> Option<N> {
        let kind = keys::find(path).map_or(Kind::Integer, |key| key.kind);
        let number = integer(kind, self.text(path)).ok()?;
        let converted = N::try_from(number).ok().filter(|_| range.contains(&number));
        if converted.is_none() {
            let (least, most) = (range.start(), range.end());
            let limits = if *most == i64::MAX { format!("at least {least}") } else { format!("{least} to {most}") };
            self.invalid(path, format!("out of range ({limits})"));
        }
        converted
    }

    fn invalid(&mut self, path: &'static str, cause: String) {
        let value = self.resolved.value(path);
        let shown = if value.shown().is_empty() { "\"\"" } else { value.shown() };
        let (key, shown, origin) = (path.to_string(), shown.to_string(), value.origin.clone());
        self.errors.push(ConfigError::Invalid { key, shown, origin, cause });
    }
}

fn check_kind(kind: Kind, text: &str) -> Result<(), String> {
    match kind {
        Kind::Text | Kind::Url => Ok(()),
        Kind::Address => match HostPort::parse(text, None) {
            Some(_) => Ok(()),
            None => Err("not an address; write it as host:port".to_string()),
        },
        Kind::Flag if ["true", "false"].contains(&text) => Ok(()),
        Kind::Flag => Err("neither true nor false".to_string()),
        Kind::Duration => units::parse_duration(text).map(drop).map_err(|error| error.to_string()),
        Kind::Integer | Kind::Bytes | Kind::KafkaBytes | Kind::KafkaMilliseconds => integer(kind, text).map(drop),
    }
}

fn integer(kind: Kind, text: &str) -> Result<i64, String> {
    if let Ok(number) = text.trim().parse::<i64>() {
        return if kind == Kind::Bytes && number < 0 {
            Err("a size cannot be negative".to_string())
        } else {
            Ok(number)
        };
    }
    let parsed = match kind {
        Kind::Bytes | Kind::KafkaBytes => units::parse_bytes(text).map(i64::try_from),
        Kind::KafkaMilliseconds => units::parse_duration(text).map(|time| i64::try_from(time.as_millis())),
        _ => return Err("not a whole number".to_string()),
    };
    parsed.map_err(|error| error.to_string())?.map_err(|_| units::UnitError::OutOfRange.to_string())
}

/// The URL in `text`, which may also be a path.
fn store_url(text: &str) -> Result<StoreUrl, String> {
    const EXAMPLES: &str = "write file:///path, s3://bucket/prefix?region=eu-central-1, gs://, az:// or memory://";
    if text.is_empty() {
        return Err(format!("not set; {EXAMPLES}"));
    }
    if !text.contains("://") {
        return directory_url(text);
    }
    match Url::parse(text) {
        Ok(url) if url.scheme() == "file" && url.to_file_path().is_err() => {
            Err("a file URL has three slashes and an absolute path: file:///path".to_string())
        }
        Ok(url) if ["file", "s3", "gs", "az", "memory"].contains(&url.scheme()) => Ok(StoreUrl(url)),
        Ok(url) => Err(format!("there is no store for {}://; {EXAMPLES}", url.scheme())),
        Err(error) => Err(format!("not a URL ({error}); {EXAMPLES}")),
    }
}

/// The `file://` URL of a directory, which need not exist.
pub fn directory_url(path: &str) -> Result<StoreUrl, String> {
    let absolute = std::path::absolute(path).map_err(|error| format!("not a path: {error}"))?;
    Url::from_file_path(absolute).map(StoreUrl).map_err(|()| "not an absolute path".to_string())
}

/// Where data lives, without reading any other setting.
pub fn store_url_of(resolved: &Resolved) -> Result<StoreUrl, ConfigErrors> {
    let mut reader = Reader { resolved, errors: Vec::new() };
    reader.store().ok_or(ConfigErrors(reader.errors))
}
