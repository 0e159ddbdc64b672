//! Whether the data path can acknowledge.

use std::sync::Arc;
use tokio::sync::watch;

/// What an operator is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// Writes are acknowledged.
    Ok,
    /// The store or the metadata log does not take writes at the moment; they are retried or refused.
    StoreOutage {
        /// What was seen last.
        cause: Arc<str>,
    },
    /// Another broker took over. Final: nothing this process writes will be acknowledged any more.
    Fenced {
        /// Who took over, as far as is known.
        cause: Arc<str>,
    },
}

/// The one place where health changes: an outage ends, fencing does not.
#[derive(Clone, Debug)]
pub(crate) struct HealthCell {
    sender: Arc<watch::Sender<Health>>,
}

impl HealthCell {
    pub(crate) fn new() -> HealthCell {
        HealthCell { sender: Arc::new(watch::Sender::new(Health::Ok)) }
    }

    pub(crate) fn get(&self) -> Health {
        self.sender.borrow().clone()
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<Health> {
        self.sender.subscribe()
    }

    /// The cause, once another broker took over.
    pub(crate) fn fenced(&self) -> Option<Arc<str>> {
        match &*self.sender.borrow() {
            Health::Fenced { cause } => Some(cause.clone()),
            Health::Ok | Health::StoreOutage { .. } => None,
        }
    }

    pub(crate) fn set_fenced(&self, cause: Arc<str>) {
        self.change(Health::Fenced { cause });
    }

    /// The broker left of its own accord: nothing is acknowledged any more, and nobody needs to hear about it.
    pub(crate) fn set_left(&self) {
        self.sender.send_if_modified(|current| {
            let changes = !matches!(current, Health::Fenced { .. });
            if changes {
                *current = Health::Fenced { cause: "this broker has left".into() };
            }
            changes
        });
    }

    pub(crate) fn set_outage(&self, cause: Arc<str>) {
        self.change(Health::StoreOutage { cause });
    }

    pub(crate) fn set_ok(&self) {
        if *self.sender.borrow() != Health::Ok {
            self.change(Health::Ok);
        }
    }

    fn change(&self, next: Health) {
        let changed = self.sender.send_if_modified(|current| {
            let changes = !matches!(current, Health::Fenced { .. }) && *current != next;
            if changes {
                *current = next.clone();
            }
            changes
        });
        if changed {
            match next {
                Health::Ok => tracing::info!("writes are acknowledged again"),
                Health::StoreOutage { cause } => tracing::warn!(%cause, "writes cannot be acknowledged at the moment"),
                Health::Fenced { cause } => {
                    tracing::error!(%cause, "fenced: this broker acknowledges nothing any more")
                }
            }
        }
    }
}
