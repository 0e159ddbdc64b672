//! A value that tasks wait for, waking in the order in which they began to wait.
//!
//! `tokio::sync::watch` wakes its receivers in random order. Where several tasks wait for one value on the data path,
//! that order decides who goes first, and a simulation that is run again from its seed must see the same order again.

use parking_lot::Mutex;
use std::fmt;
use std::pin::pin;
use tokio::sync::Notify;

/// A value and those who wait for it to change.
pub struct Signal<T> {
    value: Mutex<T>,
    changed: Notify,
}

impl<T: Clone> Signal<T> {
    /// A signal that shows `value`.
    pub fn new(value: T) -> Signal<T> {
        Signal { value: Mutex::new(value), changed: Notify::new() }
    }

    /// The value now.
    pub fn get(&self) -> T {
        self.value.lock().clone()
    }

    /// Shows another value and wakes who waits.
    pub fn set(&self, value: T) {
        *self.value.lock() = value;
        self.changed.notify_waiters();
    }

    /// Changes the value in place; wakes who waits if `change` says that it did.
    pub fn update(&self, change: impl FnOnce(&mut T) -> bool) {
        let has_changed = change(&mut self.value.lock());
        if has_changed {
            self.changed.notify_waiters();
        }
    }

    /// Waits until the value is `wanted`, and returns it. Dropping the future is fine.
    pub async fn wait_for(&self, mut wanted: impl FnMut(&T) -> bool) -> T {
        loop {
            let mut changed = pin!(self.changed.notified());
            // In the queue before the value is looked at, so that no change is missed.
            changed.as_mut().enable();
            let value = self.get();
            if wanted(&value) {
                return value;
            }
            changed.await;
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for Signal<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signal({:?})", self.value.lock())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[tokio::test]
    async fn waiters_wake_in_the_order_in_which_they_came() {
        let (signal, order) = (Arc::new(Signal::new(0)), Arc::new(Mutex::new(Vec::new())));
        let mut tasks = Vec::new();
        for number in 0..50 {
            let (signal, order) = (signal.clone(), order.clone());
            tasks.push(tokio::spawn(async move {
                signal.wait_for(|value| *value == 1).await;
                order.lock().push(number);
            }));
            tokio::task::yield_now().await;
        }
        signal.set(1);
        for task in tasks {
            task.await.expect("no panic");
        }
        assert_eq!(*order.lock(), (0..50).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn a_value_that_is_there_already_is_not_waited_for() {
        let signal = Signal::new(7);
        assert_eq!(signal.wait_for(|value| *value == 7).await, 7);
        signal.update(|value| {
            *value += 1;
            true
        });
        assert_eq!(signal.get(), 8);
    }
}
