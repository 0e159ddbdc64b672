//! Random lives of groups: heartbeats merged into one record, lost requests and answers, repeats, fencing, coordinators
//! that die before or after their record is in the log, topics that come, grow and go.

use super::super::ConsumerGroupUpdate;
use super::super::assignment::{difference, intersection, intersects, is_subset};
use super::super::heartbeat::{Heartbeat, HeartbeatError, Reply};
use super::super::members::Members;
use super::*;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

const NAMES: [&str; 3] = ["t", "u", "v"];

/// What the metadata log says of the group.
#[derive(Clone, Debug, Default)]
struct Rows {
    epochs: (i32, i32),
    members: BTreeMap<String, ConsumerMember>,
}

impl Rows {
    fn apply(&mut self, update: ConsumerGroupUpdate) {
        self.epochs = (update.group_epoch, update.target_epoch);
        update.removed.iter().for_each(|member| drop(self.members.remove(member)));
        self.members.extend(update.upserted.into_iter().map(|member| (member.member_id.clone(), member)));
    }
}

/// A consumer, as Java's behaves: it gives up before it takes, and says everything after a lost answer.
#[derive(Clone, Debug)]
struct Client {
    member_id: String,
    instance_id: Option<String>,
    epoch: i32,
    owned: Assignment,
    told: Assignment,
    wants: Vec<String>,
    regex: Option<String>,
    says_all: bool,
    /// How many assignments it was told, and how many it had followed when it sent its list last.
    told_count: u32,
    followed: u32,
    said: Option<u32>,
    /// An answer is on its way.
    waits: bool,
    /// To a heartbeat that said everything.
    said_all: bool,
    /// It was fenced and does not know yet: what it believes to own is no longer its.
    is_zombie: bool,
    lives: u32,
}

impl Client {
    fn new(number: usize) -> Client {
        Client {
            member_id: format!("m{number}"),
            instance_id: number.is_multiple_of(2).then(|| format!("i{number}")),
            epoch: 0,
            owned: Assignment::new(),
            told: Assignment::new(),
            wants: vec!["t".to_owned()],
            regex: None,
            says_all: true,
            told_count: 0,
            followed: 0,
            said: None,
            waits: false,
            said_all: false,
            is_zombie: false,
            lives: 0,
        }
    }

    fn heartbeat(&self) -> Heartbeat {
        let all = self.says_all || self.epoch == 0;
        Heartbeat {
            member_id: self.member_id.clone(),
            member_epoch: self.epoch,
            instance_id: self.instance_id.clone(),
            rebalance_timeout_ms: all.then_some(1_000),
            topics: all.then(|| self.wants.clone()),
            regex: all.then(|| self.regex.clone().unwrap_or_default()),
            owned: (all || self.said != Some(self.followed)).then(|| self.owned.clone()),
            ..Heartbeat::default()
        }
    }

    fn lose_everything(&mut self) {
        self.epoch = 0;
        self.owned.clear();
        self.told.clear();
        self.says_all = true;
        self.is_zombie = false;
    }

    fn hear(&mut self, answer: Result<Reply, HeartbeatError>) {
        self.waits = false;
        match answer {
            Ok(reply) => {
                self.epoch = reply.member_epoch;
                if let Some(told) = reply.assignment {
                    self.told = told;
                    self.told_count += 1;
                }
                self.says_all = false;
            }
            Err(HeartbeatError::UnreleasedInstance { .. }) => {}
            Err(_) => self.lose_everything(),
        }
    }

    fn miss(&mut self) {
        self.waits = false;
        self.says_all = true;
    }

    /// Gives up what it has to; takes what is new only when nothing is left to give up. Nor does it take anything
    /// while the coordinator may believe a full list without it: the protocol leaves that to the client.
    fn settle(&mut self) {
        let may_take = !(self.says_all || self.waits && self.said_all);
        if !difference(&self.owned, &self.told).is_empty() {
            self.owned = intersection(&self.owned, &self.told);
        } else if may_take {
            self.owned = self.told.clone();
            self.followed = self.told_count;
        }
    }
}

struct Scene {
    rows: Rows,
    coordinator: Members,
    clients: Vec<Client>,
    shapes: BTreeMap<&'static str, (u128, i32)>,
    version: u64,
    next_id: u128,
    outbox: Vec<(usize, Result<Reply, HeartbeatError>, bool)>,
}

impl Scene {
    fn new(clients: usize) -> Scene {
        Scene {
            rows: Rows::default(),
            coordinator: Members::empty("g", 0),
            clients: (0..clients).map(Client::new).collect(),
            shapes: [("t", (1, 4))].into(),
            version: 1,
            next_id: 2,
            outbox: Vec::new(),
        }
    }

    fn topics(&self) -> TopicMap {
        let shapes: Vec<_> = self.shapes.iter().map(|(name, (id, count))| (*name, *id, *count)).collect();
        topics(self.version, &shapes)
    }

    fn act(&mut self, step: &Step) {
        match *step {
            Step::Beat { client, fate } => self.beat(client % self.clients.len(), fate),
            Step::Settle { client } => {
                let number = client % self.clients.len();
                self.clients[number].settle();
            }
            Step::Commit => self.commit(),
            Step::Crash { after_commit } => self.crash(after_commit),
            Step::Fence { client } => self.fence(client % self.clients.len()),
            Step::Leave { client, comes_back } => self.leave(client % self.clients.len(), comes_back),
            Step::Subscribe { client, wants } => self.subscribe(client % self.clients.len(), wants),
            Step::Topic { name, partitions } => self.change_topic(NAMES[name % NAMES.len()], partitions),
        }
        self.check();
    }

    fn beat(&mut self, number: usize, fate: Fate) {
        if self.clients[number].waits {
            return;
        }
        let heartbeat = self.clients[number].heartbeat();
        let client = &mut self.clients[number];
        client.said_all = heartbeat.is_full();
        client.said = heartbeat.owned.as_ref().map(|_| client.followed).or(client.said);
        if fate == Fate::RequestLost {
            return client.miss();
        }
        let topics = self.topics();
        let answer = self.coordinator.heartbeat(&heartbeat, &topics, &rules());
        if fate == Fate::Repeated {
            // Nobody hears the second answer.
            let _ = self.coordinator.heartbeat(&heartbeat, &topics, &rules());
        }
        self.clients[number].waits = true;
        self.outbox.push((number, answer, fate == Fate::AnswerLost));
    }

    /// The record of all changes is applied; only then do answers leave.
    fn commit(&mut self) {
        if let Some(update) = self.coordinator.take_update() {
            self.rows.apply(update);
        }
        self.find_zombies();
        for (number, answer, is_lost) in std::mem::take(&mut self.outbox) {
            if is_lost { self.clients[number].miss() } else { self.clients[number].hear(answer) }
        }
        // One may have been fenced while the answer to its joining waited for the record.
        self.find_zombies();
        assert_eq!(&self.rows.members, self.coordinator.members());
    }

    fn find_zombies(&mut self) {
        for client in &mut self.clients {
            let is_in = self.rows.members.contains_key(&client.member_id);
            client.is_zombie |= client.epoch != 0 && !is_in;
        }
    }

    fn crash(&mut self, after_commit: bool) {
        if after_commit {
            self.outbox.iter_mut().for_each(|(_, _, is_lost)| *is_lost = true);
            self.commit();
        }
        std::mem::take(&mut self.outbox).into_iter().for_each(|(number, ..)| self.clients[number].miss());
        let members = self.rows.members.values().cloned();
        self.coordinator = Members::load("g", self.rows.epochs, "uniform", members);
    }

    fn fence(&mut self, number: usize) {
        self.coordinator.fence(&BTreeSet::from([self.clients[number].member_id.clone()]));
    }

    /// A client stops and another process takes its place, under the same instance id if it has one.
    fn leave(&mut self, number: usize, comes_back: bool) {
        let client = self.clients[number].clone();
        if client.waits {
            return;
        }
        let epoch = if comes_back && client.instance_id.is_some() { -2 } else { -1 };
        let heartbeat = Heartbeat { member_epoch: epoch, ..client.heartbeat() };
        if let Ok(member) = self.coordinator.check_leave(&heartbeat) {
            match epoch {
                -2 => self.coordinator.leave_for_a_while(&member),
                _ => self.coordinator.fence(&BTreeSet::from([member])),
            }
        }
        let lives = client.lives + 1;
        let (instance_id, wants) = (client.instance_id, client.wants);
        let member_id = format!("m{number}.{lives}");
        self.clients[number] = Client { member_id, instance_id, wants, lives, ..Client::new(number) };
    }

    fn subscribe(&mut self, number: usize, wants: u8) {
        let client = &mut self.clients[number];
        if client.waits {
            return;
        }
        let chosen = NAMES.iter().enumerate().filter(|(bit, _)| wants & (1 << bit) != 0);
        client.wants = chosen.map(|(_, name)| name.to_string()).collect();
        client.regex = (wants & 8 != 0 || client.wants.is_empty()).then(|| "[tu]".to_owned());
        client.says_all = true;
    }

    fn change_topic(&mut self, name: &'static str, partitions: i32) {
        self.version += 1;
        match self.shapes.get_mut(name) {
            Some(_) if partitions == 0 => drop(self.shapes.remove(name)),
            Some((_, count)) => *count = partitions.max(*count),
            None => {
                self.shapes.insert(name, (self.next_id, partitions.max(1)));
                self.next_id += 1;
            }
        }
    }

    fn check(&self) {
        let mut owned = BTreeMap::new();
        for client in self.clients.iter().filter(|client| !client.is_zombie) {
            for partition in super::super::assignment::partitions(&client.owned) {
                let other = owned.insert(partition, &client.member_id);
                assert!(other.is_none(), "{partition:?} is consumed by {} and {}", other.unwrap(), client.member_id);
            }
        }
        let rows: Vec<_> = self.coordinator.members().values().collect();
        for (place, member) in rows.iter().enumerate() {
            assert!(!intersects(&member.assigned, &member.revoking));
            assert_eq!(member.state == MemberState::Unrevoked, !member.revoking.is_empty(), "{member:?}");
            for other in &rows[place + 1..] {
                for one in [&member.assigned, &member.revoking] {
                    assert!(!intersects(one, &other.assigned) && !intersects(one, &other.revoking));
                }
                assert!(!intersects(&member.target, &other.target));
            }
        }
    }

    /// Everything works from here on: the group comes to rest with every partition consumed.
    fn settle(&mut self) {
        for _ in 0..12 {
            for number in 0..self.clients.len() {
                self.beat(number, Fate::Fine);
                self.commit();
                (0..2).for_each(|_| self.clients[number].settle());
                self.check();
            }
            // Sessions of clients that never come back end.
            let alive: BTreeSet<_> = self.clients.iter().map(|client| client.member_id.clone()).collect();
            let gone = self.coordinator.members().keys().filter(|member| !alive.contains(*member)).cloned().collect();
            self.coordinator.fence(&gone);
        }
        let topics = self.topics();
        let epoch = self.coordinator.group_epoch();
        for client in &self.clients {
            let member = self.coordinator.member(&client.member_id).expect("a member");
            assert!(is_stable(member) && member.member_epoch == epoch, "{member:?}");
            assert_eq!((&member.assigned, &client.owned), (&member.target, &member.target));
            assert!(is_subset(&client.owned, &member.assigned));
        }
        let consumed: usize = self.clients.iter().flat_map(|client| client.owned.values()).map(Vec::len).sum();
        let wanted = |name: &str| {
            let by_regex = |client: &Client| client.regex.is_some() && "tu".contains(name);
            self.clients.iter().any(|client| client.wants.iter().any(|want| want == name) || by_regex(client))
        };
        let expected: i32 = NAMES
            .iter()
            .filter(|name| wanted(name))
            .filter_map(|name| topics.by_name(name))
            .map(|t| t.partitions)
            .sum();
        assert_eq!(consumed, expected as usize);
        assert_eq!(self.coordinator.take_update(), None, "a group at rest writes nothing");
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    Fine,
    RequestLost,
    AnswerLost,
    Repeated,
}

#[derive(Clone, Debug)]
enum Step {
    Beat { client: usize, fate: Fate },
    Settle { client: usize },
    Commit,
    Crash { after_commit: bool },
    Fence { client: usize },
    Leave { client: usize, comes_back: bool },
    Subscribe { client: usize, wants: u8 },
    Topic { name: usize, partitions: i32 },
}

fn step() -> impl Strategy<Value = Step> {
    let fate = prop_oneof![
        6 => Just(Fate::Fine), 1 => Just(Fate::RequestLost), 1 => Just(Fate::AnswerLost), 1 => Just(Fate::Repeated)
    ];
    prop_oneof![
        12 => (0..6usize, fate).prop_map(|(client, fate)| Step::Beat { client, fate }),
        10 => (0..6usize).prop_map(|client| Step::Settle { client }),
        8 => Just(Step::Commit),
        1 => any::<bool>().prop_map(|after_commit| Step::Crash { after_commit }),
        1 => (0..6usize).prop_map(|client| Step::Fence { client }),
        1 => (0..6usize, any::<bool>()).prop_map(|(client, comes_back)| Step::Leave { client, comes_back }),
        1 => (0..6usize, 0..16u8).prop_map(|(client, wants)| Step::Subscribe { client, wants }),
        1 => (0..3usize, 0..7i32).prop_map(|(name, partitions)| Step::Topic { name, partitions }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn no_partition_is_ever_consumed_by_two_members_and_every_group_comes_to_rest(
        clients in 1..6usize,
        steps in prop::collection::vec(step(), 0..150),
    ) {
        let mut scene = Scene::new(clients);
        steps.iter().for_each(|step| scene.act(step));
        scene.settle();
    }
}
