//! The program `Chaos.java`, and what it prints as a history.

use frazil_tests::Tools;
use frazil_tests::command::wait;
use frazil_tests::simulation::{Event, History, Value};
use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Complaints that are kept.
const COMPLAINTS: usize = 20;

/// The clients, which do not outlive the test.
pub struct Clients {
    child: Child,
    printed: Arc<Mutex<Printed>>,
    readers: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Printed {
    noted: Vec<Noted>,
    /// By client, how often it has got on: transactions and offsets that it committed, records that were acknowledged.
    steps: BTreeMap<String, usize>,
    complaints: VecDeque<String>,
    /// Lines that mean nothing here.
    unread: Vec<String>,
}

/// An event, the nanosecond at which it was printed, and, where it is the outcome of something, at which that was begun.
struct Noted {
    at: u64,
    since: u64,
    event: Event,
}

impl Clients {
    /// Starts all of them; the groups of copiers and of consumers speak these protocols.
    pub fn start(tools: &Tools, bootstrap: &str, protocols: [&str; 2]) -> Clients {
        let program = frazil_tests::tools::repository().join("tests/it/chaos/Chaos.java");
        let mut java = tools.java(&program.display().to_string());
        java.arg(bootstrap).args(protocols);
        let java = java.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = java.spawn().expect("java starts");
        let printed = Arc::new(Mutex::new(Printed::default()));
        let readers = vec![
            read(child.stdout.take().expect("a pipe"), printed.clone(), Printed::line),
            read(child.stderr.take().expect("a pipe"), printed.clone(), Printed::complaint),
        ];
        Clients { child, printed, readers }
    }

    fn order(&mut self, order: &str) {
        let stdin = self.child.stdin.as_mut().expect("a pipe");
        writeln!(stdin, "{order}").expect("it listens to orders");
    }

    /// The producers end.
    pub fn drain(&mut self) {
        self.order("drain");
    }

    /// All others end too; true when they ended well.
    pub fn end(&mut self, patience: Duration) -> bool {
        self.order("end");
        let ended = wait(&mut self.child, patience).expect("it can be waited for");
        for reader in self.readers.drain(..) {
            reader.join().expect("reading does not panic");
        }
        ended.is_some_and(|status| status.success())
    }

    /// How often those clients have got on whose name begins so.
    pub fn steps(&self, name: &str) -> usize {
        let printed = self.printed.lock().expect("nobody panics with it");
        printed.steps.iter().filter(|(who, _)| who.starts_with(name)).map(|(_, steps)| steps).sum()
    }

    /// Whether the program still runs.
    pub fn are_running(&mut self) -> bool {
        self.child.try_wait().expect("our own child can be looked at").is_none()
    }

    /// What they complained of last.
    pub fn complaints(&self) -> String {
        let printed = self.printed.lock().expect("nobody panics with it");
        printed.complaints.iter().map(|complaint| format!("\n  {complaint}")).collect()
    }

    /// All events in the order of their times, when the clients have ended.
    pub fn history(&self) -> History {
        let printed = std::mem::take(&mut *self.printed.lock().expect("nobody panics with it"));
        assert_eq!(printed.unread, Vec::<String>::new(), "what is not read is not checked");
        let mut noted = printed.noted;
        noted.sort_by_key(|noted| noted.at);
        let times: Vec<u64> = noted.iter().map(|noted| noted.at).collect();
        let began = times.first().copied().unwrap_or(0);
        let mut history = History::default();
        for mut one in noted {
            let before = times.partition_point(|at| *at < one.since);
            if let Event::OffsetCommitted { since, .. } | Event::OffsetFetched { since, .. } = &mut one.event {
                *since = before;
            }
            history.note((one.at - began) / 1_000_000, one.event);
        }
        history
    }
}

impl Drop for Clients {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read(
    pipe: impl Read + Send + 'static,
    printed: Arc<Mutex<Printed>>,
    take: fn(&mut Printed, &str),
) -> JoinHandle<()> {
    thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            take(&mut printed.lock().expect("nobody panics with it"), &line);
        }
    })
}

impl Printed {
    fn line(&mut self, line: &str) {
        if self.event(line).is_none() {
            self.unread.push(line.to_owned());
        }
    }

    fn event(&mut self, line: &str) -> Option<()> {
        let mut words = line.split(' ');
        let (at, who) = (words.next()?.parse().ok()?, words.next()?);
        let (event, since) = Words(words.collect()).event()?;
        let is_step = match &event {
            Event::Ended { commit, .. } => *commit,
            Event::OffsetCommitted { txn, .. } => *txn == 0,
            Event::Acked { first, .. } => first.txn == 0,
            _ => false,
        };
        if is_step {
            *self.steps.entry(who.to_owned()).or_default() += 1;
        }
        self.noted.push(Noted { at, since: since.unwrap_or(at), event });
        Some(())
    }

    fn complaint(&mut self, line: &str) {
        self.complaints.truncate(COMPLAINTS - 1);
        self.complaints.push_front(line.to_owned());
    }
}

/// What stands behind time and client in a line.
struct Words<'a>(Vec<&'a str>);

impl Words<'_> {
    fn number<N: std::str::FromStr>(&self, index: usize) -> Option<N> {
        self.0.get(index)?.parse().ok()
    }

    fn value(&self, first: usize) -> Option<Value> {
        Some(Value { producer: self.number(first)?, number: self.number(first + 1)?, txn: self.number(first + 2)? })
    }

    fn group(&self) -> Option<&'static str> {
        ["copiers", "consumers"].into_iter().find(|group| self.0.get(1) == Some(group))
    }

    /// The event, and when what it is the outcome of was begun.
    fn event(&self) -> Option<(Event, Option<u64>)> {
        let partition = || self.number(1);
        let commit = || Some(*self.0.get(2)? == "true");
        let event = match *self.0.first()? {
            "sent" => Event::Sent { partition: partition()?, first: self.value(2)?, count: 1, idempotent: true },
            "acked" => {
                let offset = self.number(5)?;
                Event::Acked { partition: partition()?, first: self.value(2)?, count: 1, offset }
            }
            "ending" => Event::Ending { txn: self.number(1)?, commit: commit()? },
            "ended" => Event::Ended { txn: self.number(1)?, commit: commit()? },
            "read" => {
                let (value, offset) = (self.value(2), self.number(5)?);
                Event::Read { reader: 0, partition: partition()?, offset, value, committed: true }
            }
            _ => return self.event_of_group(),
        };
        Some((event, None))
    }

    fn event_of_group(&self) -> Option<(Event, Option<u64>)> {
        let group = self.group()?;
        let (partition, offset) = (|| self.number(2), || self.number(3));
        Some(match *self.0.first()? {
            "assigned" => {
                let partitions = self.0.get(4)?.split(',').filter_map(|partition| partition.parse().ok()).collect();
                let (generation, member) = (self.number(2)?, self.0.get(3)?.to_string());
                (Event::Assigned { group, generation, member, partitions }, None)
            }
            "consumed" => (Event::Consumed { group, partition: partition()?, offset: offset()? }, None),
            "fetched" => {
                let (partition, offset) = (partition()?, offset()?);
                (Event::OffsetFetched { group, partition, offset, since: 0 }, self.number(4))
            }
            "committed" => {
                let (partition, offset, txn) = (partition()?, offset()?, self.number(5)?);
                (Event::OffsetCommitted { group, partition, offset, since: 0, txn }, self.number(4))
            }
            _ => return None,
        })
    }
}
