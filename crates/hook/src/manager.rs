//! What the service manager is told: ready, stopping, still alive (`sd_notify`).
//!
//! Without one nobody is told, and nothing else changes.

use std::time::Duration;

use sd_notify::NotifyState;

/// The process does its work, and from now on says that it lives; `status` is for
/// `systemctl status`.
pub(crate) fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
    if let Some(interval) = sd_notify::watchdog_enabled() {
        tokio::spawn(keep_watchdog(interval));
    }
}

/// The process finishes what was begun.
pub(crate) fn stopping() {
    tell(&[NotifyState::Stopping, NotifyState::Status("finishing what was begun")]);
}

/// Says twice in each interval of `WatchdogSec=` that tasks still get their turn, until
/// the process ends.
async fn keep_watchdog(interval: Duration) {
    let mut tick = tokio::time::interval((interval / 2).max(Duration::from_millis(1)));
    loop {
        tick.tick().await;
        tell(&[NotifyState::Watchdog]);
    }
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "the service manager cannot be told");
    }
}
