//! The demo topic: orders of a small shop, as JSON, keyed by order id, so that a first look finds something alive.
//!
//! Each order is created, then paid or cancelled, then shipped and delivered; later steps follow earlier ones in the
//! same partition, because they have the same key.

use crate::client::{Client, ClientError, NewRecord, Producer, ProducerOptions};
use crate::time::Timestamp;
use bytes::Bytes;
use frazil_base::Env;
use frazil_wire::Compression;
use kafka_protocol::error::ResponseError;
use std::collections::VecDeque;
use std::time::Duration;

/// The topic's name.
pub const TOPIC: &str = "orders";
/// Records per second.
pub const RECORDS_PER_SECOND: u32 = 500;

const PARTITIONS: i32 = 3;
const TICKS_PER_SECOND: u32 = 10;
const OPEN_ORDERS_MAX: usize = 2_000;
const CUSTOMERS: u64 = 400;
const CITIES: &[&str] = &["Oslo", "Lisbon", "Kraków", "Ghent", "Turku", "Graz", "Cork", "Bergamo"];
const ITEMS: &[(&str, u64)] =
    &[("kettle", 3490), ("lamp", 5900), ("scarf", 2450), ("skates", 8900), ("teapot", 4200), ("sledge", 11900)];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    Created,
    Paid,
    Cancelled,
    Shipped,
    Delivered,
}

impl Status {
    fn name(self) -> &'static str {
        match self {
            Status::Created => "created",
            Status::Paid => "paid",
            Status::Cancelled => "cancelled",
            Status::Shipped => "shipped",
            Status::Delivered => "delivered",
        }
    }

    /// What follows; one order in ten is cancelled instead of paid.
    fn next(self, chance: u64) -> Option<Status> {
        match self {
            Status::Created if chance.is_multiple_of(10) => Some(Status::Cancelled),
            Status::Created => Some(Status::Paid),
            Status::Paid => Some(Status::Shipped),
            Status::Shipped => Some(Status::Delivered),
            Status::Cancelled | Status::Delivered => None,
        }
    }
}

#[derive(Clone, Debug)]
struct Order {
    id: u64,
    status: Status,
    customer: u64,
    city: &'static str,
    item: &'static str,
    quantity: u64,
    amount_cents: u64,
}

impl Order {
    fn new(id: u64, chance: u64) -> Order {
        let (item, price_cents) = ITEMS[(chance % ITEMS.len() as u64) as usize];
        let quantity = 1 + (chance >> 8) % 3;
        Order {
            id,
            status: Status::Created,
            customer: (chance >> 16) % CUSTOMERS,
            city: CITIES[((chance >> 32) % CITIES.len() as u64) as usize],
            item,
            quantity,
            amount_cents: price_cents * quantity,
        }
    }

    fn record(&self, now_ms: i64) -> NewRecord {
        let value = format!(
            "{{\"order_id\":\"o-{:08}\",\"status\":\"{}\",\"amount\":{}.{:02},\"currency\":\"EUR\",\"customer\":\"c-{:04}\",\
             \"city\":\"{}\",\"item\":\"{}\",\"quantity\":{},\"at\":\"{}\"}}",
            self.id,
            self.status.name(),
            self.amount_cents / 100,
            self.amount_cents % 100,
            self.customer,
            self.city,
            self.item,
            self.quantity,
            Timestamp(now_ms),
        );
        let key = Some(Bytes::from(format!("o-{:08}", self.id)));
        NewRecord { key, value: Some(value.into()), timestamp: now_ms, ..NewRecord::default() }
    }
}

/// Makes orders, one step at a time.
#[derive(Debug)]
struct Shop {
    env: Env,
    next_id: u64,
    open: VecDeque<Order>,
}

impl Shop {
    fn new(env: Env) -> Shop {
        Shop { env, next_id: 1, open: VecDeque::new() }
    }

    /// A new order, or the next step of the oldest open one.
    fn step(&mut self) -> NewRecord {
        let (chance, now_ms) = (self.env.entropy.bits64(), self.env.clock.now_ms());
        let opens = self.open.is_empty() || (self.open.len() < OPEN_ORDERS_MAX && chance >> 62 == 0);
        let order = if opens { self.open_order(chance) } else { self.advance_oldest(chance) };
        let record = order.record(now_ms);
        if order.status.next(0).is_some() {
            self.open.push_back(order);
        }
        record
    }

    fn open_order(&mut self, chance: u64) -> Order {
        let order = Order::new(self.next_id, chance);
        self.next_id += 1;
        order
    }

    fn advance_oldest(&mut self, chance: u64) -> Order {
        let mut order = self.open.pop_front().expect("only called while orders are open");
        order.status = order.status.next(chance).expect("finished orders are not kept");
        order
    }
}

/// Fills the topic until the future is dropped. Errors that may pass are waited out.
pub async fn fill(client: Client, env: Env) -> Result<(), ClientError> {
    let options = ProducerOptions { compression: Compression::Lz4, ..ProducerOptions::default() };
    let mut producer = Producer::open(client, TOPIC, options).await?;
    let mut shop = Shop::new(env);
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / TICKS_PER_SECOND);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        for _ in 0..RECORDS_PER_SECOND / TICKS_PER_SECOND {
            producer.push(&shop.step());
        }
        if let Err(error) = producer.flush().await {
            tracing::debug!(%error, "the demo could not write");
            if !error.is_transient() {
                return Err(error);
            }
        }
    }
}

/// Makes the topic unless it exists.
pub async fn create_topic(client: &Client) -> Result<(), ClientError> {
    let keep_an_hour = [("retention.ms".to_string(), "3600000".to_string())];
    match client.create_topic(TOPIC, Some(PARTITIONS), &keep_an_hour, false).await {
        Err(ClientError::Refused { error: ResponseError::TopicAlreadyExists, .. }) => Ok(()),
        result => result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn every_record_is_json_and_every_order_goes_through_its_steps_in_order() {
        let mut shop = Shop::new(Env::system());
        let mut steps: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for _ in 0..5_000 {
            let record = shop.step();
            let value: serde_json::Value = serde_json::from_slice(&record.value.unwrap()).unwrap();
            let id = value["order_id"].as_str().unwrap().to_string();
            assert_eq!(record.key.as_deref(), Some(id.as_bytes()));
            assert!(value["amount"].as_f64().unwrap() > 0.0);
            steps.entry(id).or_default().push(value["status"].as_str().unwrap().to_string());
        }
        let whole = ["created", "paid", "shipped", "delivered"];
        for seen in steps.values() {
            let cancelled = seen.as_slice() == ["created", "cancelled"];
            assert!(cancelled || whole.starts_with(&seen.iter().map(String::as_str).collect::<Vec<_>>()), "{seen:?}");
        }
        assert!(steps.values().any(|seen| seen.len() == 4));
        assert!(shop.open.len() <= OPEN_ORDERS_MAX);
    }
}
