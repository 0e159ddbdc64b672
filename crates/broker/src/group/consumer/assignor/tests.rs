use super::*;
use frazil_base::TopicPartition;
use proptest::prelude::*;
use std::time::{Duration, Instant};

fn topic(number: u128) -> TopicId {
    TopicId(number)
}

fn subscriber(topics: &[u128]) -> Subscriber {
    Subscriber { topics: topics.iter().map(|number| topic(*number)).collect(), held: Assignment::new() }
}

fn group(members: &[(&str, &[u128])]) -> BTreeMap<String, Subscriber> {
    members.iter().map(|(name, topics)| (name.to_string(), subscriber(topics))).collect()
}

fn counts(topics: &[(u128, i32)]) -> PartitionCounts {
    topics.iter().map(|(number, count)| (topic(*number), *count)).collect()
}

fn load(assignment: &Assignment) -> usize {
    assignment.values().map(Vec::len).sum()
}

fn hold(members: &mut BTreeMap<String, Subscriber>, assignments: &BTreeMap<String, Assignment>) {
    for (name, member) in members {
        member.held = assignments.get(name).cloned().unwrap_or_default();
    }
}

/// Every partition of a subscribed topic has exactly one owner, who wants it; partitions are ascending.
fn check_complete(
    members: &BTreeMap<String, Subscriber>,
    counts: &PartitionCounts,
    result: &BTreeMap<String, Assignment>,
) {
    assert_eq!(result.keys().collect::<Vec<_>>(), members.keys().collect::<Vec<_>>());
    let mut owned = BTreeSet::new();
    for (name, assignment) in result {
        for (topic, partitions) in assignment {
            assert!(members[name].topics.contains(topic), "{name} does not want {topic}");
            assert!(!partitions.is_empty() && partitions.windows(2).all(|pair| pair[0] < pair[1]));
            for partition in partitions {
                let partition = TopicPartition { topic: *topic, partition: *partition };
                assert!(owned.insert(partition), "{partition:?} has two owners");
            }
        }
    }
    let wanted = |topic: &&TopicId| members.values().any(|member| member.topics.contains(topic));
    let expected: usize = counts.keys().filter(wanted).map(|topic| counts[topic] as usize).sum();
    assert_eq!(owned.len(), expected);
}

/// Members hold what the assignor gives them.
fn settle(assignor: Assignor, members: &mut BTreeMap<String, Subscriber>, counts: &PartitionCounts) {
    let assignments = assignor.assign(members, counts);
    hold(members, &assignments);
}

fn moved(members: &BTreeMap<String, Subscriber>, result: &BTreeMap<String, Assignment>) -> usize {
    let kept = |name: &String, assignment: &Assignment| -> usize {
        let held = &members[name].held;
        let kept_of = |(topic, partitions): (&TopicId, &Vec<i32>)| {
            let held = held.get(topic).cloned().unwrap_or_default();
            partitions.iter().filter(|partition| held.contains(partition)).count()
        };
        assignment.iter().map(kept_of).sum()
    };
    result.iter().map(|(name, assignment)| load(assignment) - kept(name, assignment)).sum()
}

#[test]
fn uniform_moves_only_what_a_new_member_is_owed() {
    let counts = counts(&[(1, 6), (2, 6)]);
    let mut members = group(&[("a", &[1, 2]), ("b", &[1, 2]), ("c", &[1, 2])]);
    settle(Assignor::Uniform, &mut members, &counts);
    members.insert("0".to_owned(), subscriber(&[1, 2]));
    let result = Assignor::Uniform.assign(&members, &counts);
    check_complete(&members, &counts, &result);
    assert!(result.values().all(|assignment| load(assignment) == 3));
    assert_eq!(moved(&members, &result), 3);
}

#[test]
fn uniform_leaves_the_odd_partitions_with_those_that_hold_them() {
    let counts = counts(&[(1, 4)]);
    let mut members = group(&[("a", &[1]), ("b", &[1]), ("c", &[1])]);
    members.get_mut("a").unwrap().held.insert(topic(1), vec![2]);
    members.get_mut("b").unwrap().held.insert(topic(1), vec![1]);
    members.get_mut("c").unwrap().held.insert(topic(1), vec![0, 3]);
    assert_eq!(moved(&members, &Assignor::Uniform.assign(&members, &counts)), 0);
}

#[test]
fn uniform_levels_through_a_member_in_between() {
    // a and c share no topic; b, which shares one with each, has to pass load on.
    let counts = counts(&[(1, 4), (2, 2)]);
    let mut members = group(&[("a", &[1]), ("b", &[1, 2]), ("c", &[2])]);
    members.get_mut("a").unwrap().held.insert(topic(1), vec![0, 1, 2]);
    members.get_mut("b").unwrap().held.extend([(topic(1), vec![3]), (topic(2), vec![0])]);
    members.get_mut("c").unwrap().held.insert(topic(2), vec![1]);
    let result = Assignor::Uniform.assign(&members, &counts);
    check_complete(&members, &counts, &result);
    assert!(result.values().all(|assignment| load(assignment) == 2), "{result:?}");
    assert_eq!(moved(&members, &result), 2);
}

#[test]
fn range_gives_the_same_partition_numbers_of_co_partitioned_topics_to_one_member() {
    let counts = counts(&[(1, 5), (2, 5), (3, 2)]);
    let members = group(&[("a", &[1, 2, 3]), ("b", &[1, 2, 3])]);
    let result = Assignor::Range.assign(&members, &counts);
    let of = |member: &str, number: u128| result[member].get(&topic(number)).cloned().unwrap_or_default();
    assert_eq!((of("a", 1), of("b", 1)), (vec![0, 1, 2], vec![3, 4]));
    assert_eq!((of("a", 2), of("b", 2)), (of("a", 1), of("b", 1)));
    assert_eq!((of("a", 3), of("b", 3)), (vec![0], vec![1]));
}

#[test]
fn range_keeps_a_new_co_partitioned_topic_in_step_with_the_old_one() {
    let mut members = group(&[("a", &[1]), ("b", &[1]), ("c", &[1])]);
    settle(Assignor::Range, &mut members, &counts(&[(1, 6)]));
    members.remove("a");
    settle(Assignor::Range, &mut members, &counts(&[(1, 6)]));
    members.values_mut().for_each(|member| member.topics = [topic(0), topic(1)].into());
    let both = counts(&[(0, 6), (1, 6)]);
    let result = Assignor::Range.assign(&members, &both);
    check_complete(&members, &both, &result);
    for (name, assignment) in &result {
        assert_eq!(assignment[&topic(0)], assignment[&topic(1)]);
        assert_eq!(assignment[&topic(1)], members[name].held[&topic(1)], "nothing moves for it");
    }
}

#[test]
fn a_hundred_members_over_a_thousand_partitions_are_assigned_at_once() {
    let counts: PartitionCounts = (0..50).map(|number| (topic(number), 20)).collect();
    let all: Vec<u128> = (0..50).collect();
    let mut members: BTreeMap<_, _> = (0..100u128).map(|number| (format!("m{number}"), subscriber(&all))).collect();
    for (number, member) in members.values_mut().enumerate().skip(50) {
        member.topics.remove(&topic(number as u128 - 50));
    }
    for assignor in Assignor::ALL {
        let began = Instant::now();
        let result = assignor.assign(&members, &counts);
        assert!(began.elapsed() < Duration::from_secs(2), "{assignor:?} took {:?}", began.elapsed());
        check_complete(&members, &counts, &result);
        if assignor == Assignor::Uniform {
            assert!(result.values().all(|assignment| load(assignment) == 10));
        }
    }
}

#[test]
fn nobody_and_nothing_are_assigned_without_ado() {
    for assignor in Assignor::ALL {
        assert!(assignor.assign(&BTreeMap::new(), &counts(&[(1, 3)])).is_empty());
        let members = group(&[("a", &[7]), ("b", &[])]);
        assert!(assignor.assign(&members, &counts(&[(1, 3)])).values().all(BTreeMap::is_empty));
    }
}

prop_compose! {
    /// Up to eight members and five topics, with what a member holds taken from an arbitrary, perhaps outdated split.
    fn scene(same: bool)(
        sizes in prop::collection::vec(1..9i32, 1..5),
        wants in prop::collection::vec(prop::collection::btree_set(0..5u128, 0..5), 1..8),
        owners in prop::collection::vec(0..12usize, 60),
    ) -> (BTreeMap<String, Subscriber>, PartitionCounts) {
        let counts: PartitionCounts = sizes.iter().enumerate().map(|(n, size)| (topic(n as u128), *size)).collect();
        let mut members: BTreeMap<String, Subscriber> = BTreeMap::new();
        for (number, wanted) in wants.iter().enumerate() {
            let wanted = if same { &wants[0] } else { wanted };
            members.insert(format!("m{number}"), subscriber(&wanted.iter().copied().collect::<Vec<_>>()));
        }
        let mut owners = owners.into_iter();
        for number in 0..5u128 {
            for partition in 0..12 {
                let Some(owner) = owners.next() else { break };
                if let Some(member) = members.get_mut(&format!("m{owner}")) {
                    member.held.entry(topic(number)).or_default().push(partition);
                }
            }
        }
        (members, counts)
    }
}

proptest! {
    #[test]
    fn every_partition_has_exactly_one_owner((members, counts) in scene(false)) {
        for assignor in Assignor::ALL {
            let result = assignor.assign(&members, &counts);
            check_complete(&members, &counts, &result);
        }
    }

    #[test]
    fn equal_subscriptions_get_shares_that_differ_by_at_most_one((members, counts) in scene(true)) {
        let result = Assignor::Uniform.assign(&members, &counts);
        check_complete(&members, &counts, &result);
        let loads: Vec<_> = result.values().map(load).collect();
        prop_assert!(loads.iter().max().unwrap() - loads.iter().min().unwrap() <= 1, "{loads:?}");
    }

    #[test]
    fn no_single_move_improves_the_balance_of_different_subscriptions((members, counts) in scene(false)) {
        let result = Assignor::Uniform.assign(&members, &counts);
        for (giver, assignment) in &result {
            for topic in assignment.keys() {
                for (taker, _) in members.iter().filter(|(_, member)| member.topics.contains(topic)) {
                    prop_assert!(load(&result[taker]) + 1 >= load(assignment), "{giver} -> {taker}: {result:?}");
                }
            }
        }
    }

    #[test]
    fn an_assignment_computed_again_stays((members, counts) in scene(false)) {
        for assignor in Assignor::ALL {
            let first = assignor.assign(&members, &counts);
            let mut members = members.clone();
            hold(&mut members, &first);
            prop_assert_eq!(assignor.assign(&members, &counts), first);
        }
    }

    #[test]
    fn a_leaving_member_moves_only_its_own_partitions_and_what_balance_asks((members, counts) in scene(true)) {
        let mut members = members;
        settle(Assignor::Uniform, &mut members, &counts);
        let gone = load(&members.pop_first().expect("a member").1.held);
        prop_assume!(!members.is_empty());
        let result = Assignor::Uniform.assign(&members, &counts);
        prop_assert_eq!(moved(&members, &result), gone);
    }

    #[test]
    fn range_shares_of_a_topic_differ_by_at_most_one((members, counts) in scene(false)) {
        let result = Assignor::Range.assign(&members, &counts);
        for topic in counts.keys() {
            let wanting = members.iter().filter(|(_, member)| member.topics.contains(topic));
            let shares: Vec<_> = wanting.map(|(name, _)| result[name].get(topic).map_or(0, Vec::len)).collect();
            if let (Some(most), Some(least)) = (shares.iter().max(), shares.iter().min()) {
                prop_assert!(most - least <= 1, "{shares:?}");
            }
        }
    }

    #[test]
    fn range_maps_co_partitioned_topics_alike((members, counts) in scene(true)) {
        let result = Assignor::Range.assign(&members, &counts);
        for (one, one_count) in &counts {
            for (other, _) in counts.iter().filter(|(_, count)| *count == one_count) {
                for (name, member) in &members {
                    if member.topics.contains(one) && member.topics.contains(other) {
                        prop_assert_eq!(result[name].get(one), result[name].get(other));
                    }
                }
            }
        }
    }
}
