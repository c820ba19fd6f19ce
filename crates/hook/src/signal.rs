//! SIGTERM and SIGINT ask for a graceful stop; a second one ends at once.

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::manager;

/// Cancels `stop` at the first signal and ends the process at the second.
pub(crate) fn stop_on_signal(stop: CancellationToken) -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::spawn(async move {
        for first in [true, false] {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if first {
                tracing::info!("stopping: finishing what was begun; a second signal ends at once");
                manager::stopping();
                stop.cancel();
            } else {
                std::process::exit(130);
            }
        }
    });
    Ok(())
}
