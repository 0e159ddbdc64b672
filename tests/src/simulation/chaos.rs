//! The bad things that are done to brokers and to those who talk to them.

use super::chance::Chance;
use super::link::{Luck, Mode, Network};
use super::plan::Fault;
use super::world::{Broker, GROUPS, World};
use frazil_base::Epoch;
use frazil_log::Health;
use frazil_meta::record::Command;
use frazil_meta::state::CoordinatorKind;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Does bad things until the producers are done or as many have been done as the plan says; then heals everything.
pub async fn rage(world: Arc<World>, chance: Chance) {
    let faults = world.plan.faults;
    tokio::spawn(restart_fenced(world.clone()));
    if faults.contains(&Fault::Network) {
        *world.network.lock() = Network::BAD;
    }
    for _ in 0..if faults.is_empty() { 0 } else { world.plan.rounds } {
        tokio::time::sleep(chance.millis(50..1_500)).await;
        if world.is_finished() {
            break;
        }
        let fault = faults[chance.index(faults.len())];
        match fault {
            Fault::Outages => change_luck(&world, &chance),
            Fault::Kills if chance.per_mille(250) => take_over(&world, &chance),
            Fault::Kills => kill(&world, &chance),
            Fault::Pauses if chance.per_mille(250) && world.places() > 1 => evict(&world, &chance),
            Fault::Pauses => pause(&world, &chance),
            Fault::Coordinators if world.places() > 1 => depose(&world, &chance).await,
            Fault::Coordinators => take_over(&world, &chance),
            Fault::Clocks => jump(&world, &chance),
            // It is bad all the time.
            Fault::Network => {}
        }
    }
    heal(&world);
}

fn kill(world: &Arc<World>, chance: &Chance) {
    let place = chance.index(world.places());
    world.chaos_note(format!("kill -9 of the broker at place {place}"));
    let dead = world.brokers.lock()[place].clone();
    world.replace(place, true);
    if chance.per_mille(500) {
        close_for(world, &dead, chance);
    }
}

/// One of the others closes the registration of a broker that does not answer, as those do that hold a lease.
fn close_for(world: &Arc<World>, silent: &Broker, chance: &Chance) {
    let epoch = silent.log.epoch();
    let Some(other) = world.found(chance, |other| other.id != silent.id) else { return };
    tokio::spawn(async move { other.log.propose(Command::CloseBroker { epoch }).await });
}

fn take_over(world: &Arc<World>, chance: &Chance) {
    let place = chance.index(world.places());
    world.chaos_note(format!("a second broker starts at place {place}"));
    world.replace(place, false);
}

fn pause(world: &World, chance: &Chance) {
    let Some(broker) = world.found_broker(chance) else { return };
    let pause = if chance.per_mille(200) { chance.millis(60_000..200_000) } else { chance.millis(100..20_000) };
    world.chaos_note(format!("broker {} is paused for {pause:?}", broker.id));
    broker.link.set(Mode::Paused);
    tokio::spawn(async move {
        tokio::time::sleep(pause).await;
        broker.link.set(Mode::Up);
    });
}

/// A broker stops for so long that another closes its registration; when it goes on it believes for a while that nothing
/// happened. Then it is killed, and starts again.
fn evict(world: &Arc<World>, chance: &Chance) {
    let place = chance.index(world.places());
    let broker = world.brokers.lock()[place].clone();
    let (pause, belief) = (chance.millis(5_000..30_000), chance.millis(0..10_000));
    world.chaos_note(format!("broker {} is paused for {pause:?} and taken for dead", broker.id));
    broker.link.set(Mode::Paused);
    close_for(world, &broker, chance);
    let world = world.clone();
    tokio::spawn(async move {
        tokio::time::sleep(pause).await;
        broker.link.set(Mode::Up);
        tokio::time::sleep(belief).await;
        let is_there = world.brokers.lock().get(place).is_some_and(|there| Arc::ptr_eq(there, &broker));
        if is_there {
            world.replace(place, true);
        }
    });
}

/// The coordinator of a group dies and another broker becomes it. That one grows slow and stops in the middle of
/// its work, while the first one is back and the group goes on there. Perhaps the first one dies again; in any case the
/// other goes on as if nothing had happened, and what it had under way arrives.
async fn depose(world: &Arc<World>, chance: &Chance) {
    let group = GROUPS[chance.index(GROUPS.len())];
    let Some(first) = coordinator(world, group, chance) else { return };
    let place = first.id as usize;
    world.chaos_note(format!("broker {place} dies as the coordinator of {group}"));
    die(world, &first, chance);
    tokio::time::sleep(chance.millis(4_000..9_000)).await;
    let other = coordinator(world, group, chance).filter(|other| other.id != first.id);
    if let Some(other) = &other {
        world.chaos_note(format!("its successor, broker {}, grows slow and stops", other.id));
        other.link.set_luck(Luck { delay_ms: 2_000, ..Luck::GOOD });
        tokio::time::sleep(chance.millis(2_000..8_000)).await;
        other.link.set(Mode::Paused);
    }
    world.replace(place, false);
    tokio::time::sleep(chance.millis(10_000..70_000)).await;
    let again = world.brokers.lock()[place].clone();
    let dies_again = chance.per_mille(600);
    if dies_again {
        world.chaos_note(format!("broker {place} dies again"));
        die(world, &again, chance);
        tokio::time::sleep(chance.millis(100..2_000)).await;
    }
    if let Some(other) = other {
        world.chaos_note(format!("broker {} goes on", other.id));
        other.link.set_luck(Luck::GOOD);
        other.link.set(Mode::Up);
    }
    tokio::time::sleep(chance.millis(1_000..8_000)).await;
    if dies_again {
        world.replace(place, false);
    }
}

/// The broker that coordinates the group, as some broker knows.
fn coordinator(world: &World, group: &str, chance: &Chance) -> Option<Arc<Broker>> {
    let known = world.found_broker(chance)?;
    let id = known.log.state().coordinator(CoordinatorKind::Group, group)?.id;
    world.broker(id.0, Epoch::default(), chance)
}

/// A broker is killed and does not come back; another one notices.
fn die(world: &Arc<World>, broker: &Broker, chance: &Chance) {
    broker.link.set(Mode::Cut);
    let epoch = broker.log.epoch();
    let is_up = |other: &Broker| other.id != broker.id && other.link.is_up();
    let Some(other) = world.found(chance, is_up) else { return };
    tokio::spawn(async move { other.log.propose(Command::CloseBroker { epoch }).await });
}

fn change_luck(world: &World, chance: &Chance) {
    let luck = match chance.within(0..4) {
        0 => Luck::GOOD,
        1 => Luck { refused: 100, lost: 100, delay_ms: 50 },
        2 => Luck { refused: 700, lost: 20, delay_ms: 20 },
        _ => Luck { refused: 20, lost: 20, delay_ms: 2_000 },
    };
    world.chaos_note(format!("luck is now {luck:?}"));
    set_luck(world, luck);
}

fn set_luck(world: &World, luck: Luck) {
    *world.luck.lock() = luck;
    world.links.lock().iter().for_each(|link| link.set_luck(luck));
}

fn jump(world: &World, chance: &Chance) {
    let ahead_ms = chance.within(0..7_200_000) as i64 - 3_600_000;
    world.chaos_note(format!("the wall clock is now {ahead_ms} ms ahead"));
    world.clock.ahead_ms.store(ahead_ms, Ordering::Relaxed);
}

fn heal(world: &World) {
    world.chaos_note("everything is healed".to_owned());
    set_luck(world, Luck::GOOD);
    *world.network.lock() = Network::GOOD;
    world.links.lock().iter().for_each(|link| link.set(Mode::Up));
}

/// A process that learns that its registration is closed ends, and is started again unless another is in its place.
async fn restart_fenced(world: Arc<World>) {
    loop {
        tokio::time::sleep(Duration::from_secs(10)).await;
        let fenced =
            |broker: &Arc<Broker>| matches!(broker.log.health(), Health::Fenced { .. }) && !broker.link.is_cut();
        let brokers = world.brokers.lock().clone();
        brokers.iter().skip(world.places()).filter(|broker| fenced(broker)).for_each(|old| old.link.set(Mode::Cut));
        for place in 0..world.places() {
            let is_fenced = world.brokers.lock().get(place).is_some_and(&fenced);
            if is_fenced {
                world.replace(place, true);
            }
        }
    }
}
