mod random;
mod rules;
mod statics;

use super::*;

/// What the state makes of a record.
pub(super) fn applied(record: &GroupGeneration) -> ClassicGroup {
    let members = record.members.iter().map(|member| (member.member_id.clone(), member.clone()));
    ClassicGroup {
        generation: record.generation,
        protocol_type: record.protocol_type.clone(),
        protocol: record.protocol.clone(),
        leader: record.leader.clone(),
        members: members.collect(),
    }
}

/// A group, the time, and who was answered what.
pub(super) struct Harness {
    pub group: Membership,
    pub now_ms: u64,
    pub answers: BTreeMap<WaiterId, Answer>,
    pub records: Vec<(RecordId, GroupGeneration)>,
    last_waiter: u64,
    last_id: u64,
}

impl Harness {
    pub fn new() -> Harness {
        Harness::with(Rules { initial_delay_ms: 0, members_max: 1000 })
    }

    pub fn with(rules: Rules) -> Harness {
        let group = Membership::empty("g", 0, None, rules);
        let (answers, records) = Default::default();
        Harness { group, now_ms: 1_000, answers, records, last_waiter: 0, last_id: 0 }
    }

    pub fn waiter(&mut self) -> WaiterId {
        self.last_waiter += 1;
        WaiterId(self.last_waiter)
    }

    pub fn take(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Answer(waiter, answer) => {
                    assert_eq!(self.answers.insert(waiter, answer), None, "{waiter:?} is answered once");
                }
                Effect::Record(id, Command::GroupGeneration(record)) => self.records.push((id, record)),
                Effect::Record(_, other) => panic!("a classic group writes generations, not {other:?}"),
            }
        }
    }

    pub fn join_with(&mut self, member_id: &str, change: impl FnOnce(&mut Join)) -> WaiterId {
        self.last_id += 1;
        let mut join = Join {
            member_id: member_id.to_owned(),
            fresh_id: format!("m{}", self.last_id),
            instance_id: None,
            client_id: "client".to_owned(),
            client_host: "/127.0.0.1".to_owned(),
            session_timeout_ms: 10_000,
            rebalance_timeout_ms: 60_000,
            protocol_type: "consumer".to_owned(),
            protocols: vec![("range".to_owned(), Bytes::from_static(b"topics"))],
            requires_member_id: false,
            can_skip_assignment: true,
        };
        change(&mut join);
        let waiter = self.waiter();
        let effects = self.group.join(self.now_ms, waiter, join);
        self.take(effects);
        waiter
    }

    pub fn join(&mut self, member_id: &str) -> WaiterId {
        self.join_with(member_id, |_| ())
    }

    pub fn join_static(&mut self, instance: &str) -> WaiterId {
        self.join_with("", |join| join.instance_id = Some(instance.to_owned()))
    }

    pub fn sync(&mut self, member_id: &str, generation: i32, assignment: &[(&str, &'static str)]) -> WaiterId {
        let assignment = assignment.iter().map(|(id, bytes)| (id.to_string(), Bytes::from_static(bytes.as_bytes())));
        let sync =
            Sync { member_id: member_id.to_owned(), generation, assignment: assignment.collect(), ..Sync::default() };
        let waiter = self.waiter();
        let effects = self.group.sync(self.now_ms, waiter, sync);
        self.take(effects);
        waiter
    }

    pub fn leave(&mut self, leavers: &[(&str, Option<&str>)]) -> WaiterId {
        let leaver = |(id, instance): &(&str, Option<&str>)| Leaver {
            member_id: id.to_string(),
            instance_id: instance.map(str::to_owned),
        };
        let waiter = self.waiter();
        let effects = self.group.leave(self.now_ms, waiter, leavers.iter().map(leaver).collect());
        self.take(effects);
        waiter
    }

    pub fn heartbeat(&mut self, member_id: &str, generation: i32) -> Result<(), GroupError> {
        self.group.heartbeat(self.now_ms, member_id, None, generation)
    }

    pub fn advance(&mut self, ms: u64) {
        self.now_ms += ms;
        let effects = self.group.due(self.now_ms);
        self.take(effects);
    }

    /// The metadata log applies what was asked for; gives the last record.
    pub fn apply_records(&mut self) -> Option<GroupGeneration> {
        let mut last = None;
        for (id, record) in std::mem::take(&mut self.records) {
            let effects = self.group.recorded(self.now_ms, id);
            self.take(effects);
            last = Some(record);
        }
        last
    }

    pub fn joined(&self, waiter: WaiterId) -> Joined {
        match self.answers.get(&waiter) {
            Some(Answer::Join(Ok(joined))) => joined.clone(),
            other => panic!("{waiter:?} was answered {other:?}"),
        }
    }

    pub fn join_error(&self, waiter: WaiterId) -> GroupError {
        match self.answers.get(&waiter) {
            Some(Answer::Join(Err(refused))) => refused.error,
            other => panic!("{waiter:?} was answered {other:?}"),
        }
    }

    pub fn assignment(&self, waiter: WaiterId) -> Bytes {
        match self.answers.get(&waiter) {
            Some(Answer::Sync(Ok(synced))) => synced.assignment.clone(),
            other => panic!("{waiter:?} was answered {other:?}"),
        }
    }

    pub fn sync_error(&self, waiter: WaiterId) -> GroupError {
        match self.answers.get(&waiter) {
            Some(Answer::Sync(Err(error))) => *error,
            other => panic!("{waiter:?} was answered {other:?}"),
        }
    }

    pub fn left(&self, waiter: WaiterId) -> Vec<Result<(), GroupError>> {
        match self.answers.get(&waiter) {
            Some(Answer::Leave(Ok(left))) => left.iter().map(|left| left.result).collect(),
            other => panic!("{waiter:?} was answered {other:?}"),
        }
    }

    pub fn is_waiting(&self, waiter: WaiterId) -> bool {
        !self.answers.contains_key(&waiter)
    }

    /// A stable group of `count` dynamic members; gives their ids (the leader first) and the generation.
    pub fn stable(&mut self, count: usize) -> (Vec<String>, i32) {
        let waiters: Vec<_> = (0..count).map(|_| self.join("")).collect();
        self.advance(0);
        self.advance(0);
        self.settle(&waiters)
    }

    /// The members that these joins let in sync, and the records are applied.
    pub fn settle(&mut self, waiters: &[WaiterId]) -> (Vec<String>, i32) {
        let joined: Vec<_> = waiters.iter().map(|waiter| self.joined(*waiter)).collect();
        let (leader, generation) = (joined[0].leader.clone(), joined[0].generation);
        let mut ids: Vec<_> = joined.into_iter().map(|joined| joined.member_id).collect();
        ids.sort_by_key(|id| *id != leader);
        for id in ids.iter().rev() {
            let all: Vec<_> = ids.iter().map(|id| (id.as_str(), "part")).collect();
            self.sync(id, generation, if *id == leader { &all } else { &[] });
        }
        self.apply_records();
        assert_eq!(self.group.state(), GroupState::Stable);
        (ids, generation)
    }
}
