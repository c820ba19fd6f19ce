//! The thread that keeps looking: which topics there are, whether the cluster answers,
//! and whether each consumer gets on.

use std::{
    collections::HashMap,
    sync::{Arc, PoisonError, mpsc},
    thread::JoinHandle,
    time::Duration,
};

use rdkafka::Offset;
use tokio::time::Instant;

use crate::{cluster::Cluster, log::Members, member::Member, watch::Watch};

/// How often the topics are listed; what another process made is found within it.
const LOOK_EVERY: Duration = Duration::from_secs(3);
/// The same while the cluster does not answer.
const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// How often consumers are looked at.
const CHECK_EVERY: Duration = Duration::from_secs(30);
/// A thread that did not poll for so long is stuck: no wait of its own is as long.
const STUCK_AFTER: Duration = Duration::from_secs(120);

/// Starts it; it ends when the sender is dropped.
pub(crate) fn start(
    cluster: &Arc<Cluster>,
    members: &Members,
) -> std::io::Result<(mpsc::Sender<()>, JoinHandle<()>)> {
    let (stop, stopped) = mpsc::channel();
    let (cluster, members) = (Arc::clone(cluster), Arc::clone(members));
    let keeper = std::thread::Builder::new().name("kafka-keeper".to_owned());
    Ok((stop, keeper.spawn(move || run(&cluster, &members, &stopped))?))
}

fn run(cluster: &Cluster, members: &Members, stopped: &mpsc::Receiver<()>) {
    let mut watches: HashMap<String, Watch> = HashMap::new();
    let mut check_at = Instant::now() + CHECK_EVERY;
    let mut wait = LOOK_EVERY;
    while stopped.recv_timeout(wait) == Err(mpsc::RecvTimeoutError::Timeout) {
        wait = if cluster.list().is_ok() { LOOK_EVERY } else { LOOK_AGAIN };
        if Instant::now() < check_at {
            continue;
        }
        check_at = Instant::now() + CHECK_EVERY;
        let now = members.lock().unwrap_or_else(PoisonError::into_inner).clone();
        watches.retain(|group, _| now.iter().any(|member| member.group == *group));
        for member in now.iter().filter(|member| !member.has_ended()) {
            check(cluster, member, watches.entry(member.group.clone()).or_default());
        }
    }
}

fn check(cluster: &Cluster, member: &Member, watch: &mut Watch) {
    let silent = member.silent_for();
    let stuck = silent >= STUCK_AFTER;
    if stuck {
        tracing::error!(group = %member.group, seconds = silent.as_secs(), "a Kafka consumer's thread is stuck; restart the process");
    }
    cluster.health.stalled(&member.group, stuck);
    let (received, lanes) = member.progress();
    let Ok(ends) = cluster.offsets(lanes, Offset::End) else { return };
    if watch.is_starved(received, ends, Instant::now()) {
        tracing::error!(group = %member.group, "a Kafka consumer gets nothing of lanes that grow; it is made anew");
        member.renew();
    }
}
