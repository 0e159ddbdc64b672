//! Random events: clients that join, sync, beat, leave, die and come back, records that take their time.

use super::*;
use proptest::prelude::*;

/// What happens next. Numbers pick one of what there is.
#[derive(Clone, Debug)]
enum Event {
    Join { member: usize, metadata: u8 },
    JoinNew { with_id: bool },
    JoinStatic { instance: u8, metadata: u8 },
    Sync { member: usize, is_stale: bool },
    Heartbeat { member: usize },
    Leave { member: usize },
    LeaveStatic { instance: u8 },
    Recorded,
    Pass { ms: u64 },
    Restart,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (any::<usize>(), 0..3u8).prop_map(|(member, metadata)| Event::Join { member, metadata }),
        3 => any::<bool>().prop_map(|with_id| Event::JoinNew { with_id }),
        2 => (0..3u8, 0..3u8).prop_map(|(instance, metadata)| Event::JoinStatic { instance, metadata }),
        6 => (any::<usize>(), proptest::bool::weighted(0.1)).prop_map(|(member, is_stale)| Event::Sync { member, is_stale }),
        4 => any::<usize>().prop_map(|member| Event::Heartbeat { member }),
        1 => any::<usize>().prop_map(|member| Event::Leave { member }),
        1 => (0..3u8).prop_map(|instance| Event::LeaveStatic { instance }),
        6 => Just(Event::Recorded),
        4 => prop_oneof![Just(1), Just(2_000), Just(12_000), Just(70_000)].prop_map(|ms| Event::Pass { ms }),
        1 => Just(Event::Restart),
    ]
}

/// What clients were told, and the rules that it must keep.
struct Checker {
    world: Harness,
    asked: Vec<WaiterId>,
    /// Ids that members go by.
    ids: Vec<String>,
    /// Per generation: its leader and protocol, as every member was told.
    generations: BTreeMap<i32, (Option<String>, BTreeSet<String>)>,
    /// Per generation and member: its assignment.
    assignments: BTreeMap<(i32, String), Bytes>,
    /// Who asked with which id in which generation.
    syncs: BTreeMap<WaiterId, (i32, String)>,
    recorded: Option<GroupGeneration>,
}

impl Checker {
    fn new() -> Checker {
        let world = Harness::with(Rules { initial_delay_ms: 3_000, members_max: 6 });
        Checker {
            world,
            asked: Vec::new(),
            ids: vec!["nobody".to_owned()],
            generations: BTreeMap::new(),
            assignments: BTreeMap::new(),
            syncs: BTreeMap::new(),
            recorded: None,
        }
    }

    fn pick(&self, number: usize) -> String {
        self.ids[number % self.ids.len()].clone()
    }

    fn step(&mut self, event: Event) {
        let metadata = |byte: u8| vec![("range".to_owned(), Bytes::from(vec![byte]))];
        match event {
            Event::Join { member, metadata: byte } => {
                let id = self.pick(member);
                let instance = self.world.group.instances.iter().find(|(_, owner)| **owner == id);
                let instance_id = instance.map(|(instance, _)| instance.clone());
                let waiter = self.world.join_with(&id, |join| {
                    join.protocols = metadata(byte);
                    join.instance_id = instance_id;
                });
                self.asked.push(waiter);
            }
            Event::JoinNew { with_id } => {
                let waiter = self.world.join_with("", |join| join.requires_member_id = with_id);
                self.asked.push(waiter);
            }
            Event::JoinStatic { instance, metadata: byte } => {
                let waiter = self.world.join_with("", |join| {
                    join.instance_id = Some(format!("i{instance}"));
                    join.protocols = metadata(byte);
                });
                self.asked.push(waiter);
            }
            Event::Sync { member, is_stale } => self.sync(member, is_stale),
            Event::Heartbeat { member } => {
                let (id, generation) = (self.pick(member), self.world.group.generation());
                let _ = self.world.heartbeat(&id, generation);
            }
            Event::Leave { member } => {
                let id = self.pick(member);
                let waiter = self.world.leave(&[(&id, None)]);
                self.asked.push(waiter);
            }
            Event::LeaveStatic { instance } => {
                let waiter = self.world.leave(&[("", Some(&format!("i{instance}")))]);
                self.asked.push(waiter);
            }
            Event::Recorded => self.apply_one(),
            Event::Pass { ms } => self.world.advance(ms),
            Event::Restart => self.restart(),
        }
        self.check();
    }

    fn sync(&mut self, member: usize, is_stale: bool) {
        let id = self.pick(member);
        let generation = self.world.group.generation() - i32::from(is_stale);
        let owned: Vec<_> = self.ids.iter().map(|id| (id.clone(), Bytes::from(format!("{generation}/{id}")))).collect();
        let sync = Sync { member_id: id.clone(), generation, assignment: owned, ..Sync::default() };
        let waiter = self.world.waiter();
        self.syncs.insert(waiter, (generation, id));
        let effects = self.world.group.sync(self.world.now_ms, waiter, sync);
        self.world.take(effects);
        self.asked.push(waiter);
    }

    fn apply_one(&mut self) {
        if self.world.records.is_empty() {
            return;
        }
        let (id, record) = self.world.records.remove(0);
        if let Some(last) = &self.recorded {
            assert!(record.generation >= last.generation, "recorded generations grow: {last:?}, {record:?}");
        }
        let now_ms = self.world.now_ms;
        self.recorded = Some(record);
        let effects = self.world.group.recorded(now_ms, id);
        self.world.take(effects);
    }

    /// The coordinator dies; another one goes on with what was recorded.
    fn restart(&mut self) {
        let rules = self.world.group.rules;
        let restored = match &self.recorded {
            Some(record) => Membership::restore("g", &applied(record), rules, self.world.now_ms),
            None => Membership::empty("g", 0, None, rules),
        };
        let mut old = std::mem::replace(&mut self.world.group, restored);
        self.world.records.clear();
        let effects = old.abandon(GroupError::NotCoordinator);
        self.world.take(effects);
        // What was told of generations that were never recorded is void, and has no assignment.
        let last = self.recorded.as_ref().map_or(0, |record| record.generation);
        self.generations.retain(|generation, _| *generation <= last);
        self.check();
    }

    fn check(&mut self) {
        for (waiter, answer) in std::mem::take(&mut self.world.answers) {
            self.asked.retain(|asked| *asked != waiter);
            match answer {
                Answer::Join(Ok(joined)) => self.check_joined(joined),
                Answer::Join(Err(JoinRefused { error: GroupError::MemberIdRequired, member_id })) => {
                    self.ids.push(member_id);
                }
                Answer::Sync(Ok(synced)) => self.check_synced(waiter, synced.assignment),
                Answer::Join(Err(_)) | Answer::Sync(Err(_)) | Answer::Leave(_) | Answer::ConsumerHeartbeat(_) => (),
            }
        }
        let group = &self.world.group;
        if let Some(leader) = &group.leader {
            assert!(group.members.contains_key(leader), "the leader is a member");
        } else {
            assert!(group.members.is_empty(), "a group with members has a leader");
        }
        for (instance, id) in &group.instances {
            assert_eq!(group.members.get(id).and_then(|member| member.instance_id.as_ref()), Some(instance));
        }
        assert_eq!(group.state() == GroupState::Empty, group.phase == Phase::Empty);
        if group.phase == Phase::Empty {
            assert!(group.members.is_empty(), "an empty group has no members");
        }
    }

    fn check_joined(&mut self, joined: Joined) {
        let fresh = || (joined.protocol.clone(), BTreeSet::new());
        let (protocol, leaders) = self.generations.entry(joined.generation).or_insert_with(fresh);
        assert_eq!(*protocol, joined.protocol, "one protocol in generation {}", joined.generation);
        if !joined.members.is_empty() && !joined.skip_assignment {
            leaders.insert(joined.leader.clone());
            assert_eq!(leaders.len(), 1, "one member assigns in generation {}", joined.generation);
        }
        if !self.ids.contains(&joined.member_id) {
            self.ids.push(joined.member_id);
        }
    }

    fn check_synced(&mut self, waiter: WaiterId, assignment: Bytes) {
        let key = self.syncs[&waiter].clone();
        let known = self.assignments.entry(key.clone()).or_insert_with(|| assignment.clone());
        assert_eq!(*known, assignment, "one assignment for {key:?}");
        let record = self.recorded.as_ref().expect("nobody is assigned anything before a record");
        assert_eq!(record.generation, key.0, "the assignment is that of the last record");
        let member = record.members.iter().find(|member| member.member_id == key.1);
        assert_eq!(member.map(|member| &member.assignment), Some(&assignment), "and it stands in it");
    }

    /// Nobody comes any more: time passes, records are applied.
    fn drain(&mut self) {
        for _ in 0..200 {
            self.apply_one();
            let next_ms = self.world.group.next_deadline_ms().unwrap_or(self.world.now_ms);
            self.world.advance(next_ms.saturating_sub(self.world.now_ms));
            self.check();
        }
        assert_eq!(self.asked, [], "everybody was answered");
        assert!(self.world.group.is_disposable(), "{:?}", self.world.group);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, max_shrink_iters: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn members_of_one_generation_agree_and_everybody_is_answered(events in prop::collection::vec(event(), 1..120)) {
        let mut checker = Checker::new();
        for event in events {
            checker.step(event);
        }
        checker.drain();
    }
}
