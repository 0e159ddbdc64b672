//! The processes, and the bad things that are done to them.

use frazil_tests::minio::Minio;
use frazil_tests::simulation::Chance;
use frazil_tests::{FrazilProcess, FrazilSettings};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Groups of the consumer protocol have their timeouts from the broker: those that the classic clients set for themselves.
const TIMEOUTS: [(&str, &str); 4] = [
    ("FRAZIL__KAFKA__GROUP_CONSUMER_MIN_SESSION_TIMEOUT_MS", "6000"),
    ("FRAZIL__KAFKA__GROUP_CONSUMER_SESSION_TIMEOUT_MS", "6000"),
    ("FRAZIL__KAFKA__GROUP_CONSUMER_MIN_HEARTBEAT_INTERVAL_MS", "500"),
    ("FRAZIL__KAFKA__GROUP_CONSUMER_HEARTBEAT_INTERVAL_MS", "500"),
];
/// Longer than these sessions last.
const PAUSE_MS: std::ops::Range<u64> = 7_000..9_000;
/// Longer than all other timeouts of the clients.
const LONG_PAUSE_MS: std::ops::Range<u64> = 46_000..50_000;
/// Within this time a second broker starts while the first one is stopped, if the store allows it.
const HEAD_START: Duration = Duration::from_secs(5);
/// For so long a broker that was replaced while it was stopped may go on.
const FENCED_WITHIN: Duration = Duration::from_secs(30);

/// One bad thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Harm {
    /// The broker is killed with -9, and starts with an empty disk.
    Kill,
    /// It is asked to end (SIGTERM), and starts with an empty disk.
    Restart,
    /// It stops for longer than a session of its clients.
    Stop,
    /// It stops for much longer.
    StopLong,
    /// It stops, a second broker takes the bucket over, and the first one goes on.
    TakeOver,
    /// A second broker takes the bucket over while the first one runs.
    Replace,
    /// The store is killed, and starts again after some seconds.
    KillStore,
    /// The store stops, for about as long.
    StopStore,
    /// Broker and store are killed together.
    KillBoth,
}

/// A folder, or a bucket in a MinIO that suffers too.
enum Store {
    Folder(#[expect(dead_code, reason = "held until the end")] TempDir),
    Bucket(Minio),
}

fn with_timeouts(settings: FrazilSettings) -> FrazilSettings {
    TIMEOUTS.iter().fold(settings, |settings, (name, value)| settings.with(name, value))
}

/// A broker on its store.
pub struct Scene {
    pub broker: FrazilProcess,
    store: Store,
    /// Where the next broker beside it would listen.
    other: FrazilSettings,
    chance: Chance,
}

impl Scene {
    pub fn on_a_folder(seed: u64) -> Scene {
        let folder = TempDir::new().expect("a folder");
        let settings = with_timeouts(FrazilSettings::on_folder(folder.path()));
        Scene::start(settings.clone(), settings, Store::Folder(folder), seed)
    }

    pub async fn on_a_bucket(seed: u64) -> Scene {
        let minio = Minio::start().await;
        let settings = || with_timeouts(FrazilSettings::on(&minio.url("chaos")).with("FRAZIL__LOG__FLUSH_AGE", "20ms"));
        let (settings, other) = (settings(), settings());
        Scene::start(settings, other, Store::Bucket(minio), seed)
    }

    fn start(settings: FrazilSettings, other: FrazilSettings, store: Store, seed: u64) -> Scene {
        let broker = FrazilProcess::start(settings).expect("it starts");
        Scene { broker, store, other, chance: Chance::new(seed) }
    }

    /// All addresses at which there may be a broker.
    pub fn bootstrap(&self) -> String {
        format!("{},{}", self.broker.bootstrap(), self.other.kafka)
    }

    /// Everything that can happen here, in an order that the seed decides; what lasts only `with_time`.
    pub fn shuffled(&self, with_time: bool) -> Vec<Harm> {
        let mut left = match self.store {
            Store::Folder(_) => vec![Harm::Kill, Harm::Restart, Harm::Stop],
            Store::Bucket(_) => vec![
                Harm::Kill,
                Harm::Restart,
                Harm::Stop,
                Harm::TakeOver,
                Harm::Replace,
                Harm::KillStore,
                Harm::StopStore,
                Harm::KillBoth,
            ],
        };
        left.extend(with_time.then_some(Harm::StopLong));
        let count = left.len();
        (0..count).map(|_| left.swap_remove(self.chance.index(left.len()))).collect()
    }

    async fn pause(&self, millis: std::ops::Range<u64>) {
        tokio::time::sleep(self.chance.millis(millis)).await;
    }

    /// Does a bad thing and undoes it.
    pub async fn suffer(mut self, harm: Harm) -> Scene {
        match harm {
            Harm::Kill => self.broker = self.broker.kill_and_restart().expect("it starts again"),
            Harm::Stop => self.stop(PAUSE_MS).await,
            Harm::StopLong => self.stop(LONG_PAUSE_MS).await,
            Harm::Restart => {
                let settings = self.broker.settings();
                let (status, said) = self.broker.terminate().expect("it ends");
                assert!(status.success(), "{status}: {said}");
                self.broker = FrazilProcess::start(settings).expect("it starts again");
            }
            Harm::TakeOver => {
                self.broker.pause().expect("our own child");
                self.pause(PAUSE_MS).await;
                return self.replace().await;
            }
            Harm::Replace => return self.replace().await,
            Harm::KillStore => {
                self.minio().kill();
                self.pause(1_000..4_000).await;
                self.minio().restart().await;
            }
            Harm::StopStore => {
                self.minio().pause();
                self.pause(PAUSE_MS).await;
                self.minio().resume();
            }
            Harm::KillBoth => {
                let settings = self.broker.kill().expect("our own child");
                let Store::Bucket(minio) = &mut self.store else { unreachable!("a folder cannot be killed") };
                minio.kill();
                minio.restart().await;
                self.broker = FrazilProcess::start(settings).expect("it starts again");
            }
        }
        self
    }

    async fn stop(&self, millis: std::ops::Range<u64>) {
        self.broker.pause().expect("our own child");
        self.pause(millis).await;
        self.broker.resume().expect("our own child");
    }

    fn minio(&mut self) -> &mut Minio {
        match &mut self.store {
            Store::Bucket(minio) => minio,
            Store::Folder(_) => unreachable!("a folder suffers nothing"),
        }
    }

    /// A second broker takes over. The old one, which may have been stopped, has to find that out by itself and to end.
    async fn replace(mut self) -> Scene {
        let other = self.other;
        let mut starting = tokio::task::spawn_blocking(move || FrazilProcess::start(other));
        // MinIO keeps a lock on the object that a process was writing when it stopped: then nobody gets on before it does.
        let in_time = tokio::time::timeout(HEAD_START, &mut starting).await;
        self.broker.resume().expect("our own child");
        let started = match in_time {
            Ok(started) => started,
            Err(_) => starting.await,
        };
        let new = started.expect("no panic").expect("a second broker starts");
        self.other = self.broker.settings();
        let mut old = std::mem::replace(&mut self.broker, new);
        let until = Instant::now() + FENCED_WITHIN;
        while old.is_running().expect("our own child can be looked at") {
            assert!(Instant::now() < until, "a broker that was replaced goes on: {}", old.stderr());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self
    }
}
