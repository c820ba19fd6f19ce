//! What is counted, under the names that dashboards of the seed already use.
//!
//! The registry is a value: whoever makes it passes it on. Labels come from the
//! contract (adapters, known sources, topics) or from constants, never from a
//! sender's bytes, so the number of series is bounded. Deliberately absent:
//! anything that serves them over HTTP.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use hook_log::{Stats, TopicInfo};
use prometheus_client::{
    encoding::{EncodeLabelSet, text},
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

/// Seconds; from a local hand-over to a provider's patience.
const SECONDS: [f64; 14] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0, 300.0];

type Counters<L> = Family<L, Counter>;
type Gauges<L> = Family<L, Gauge>;
type Histograms<L> = Family<L, Histogram, fn() -> Histogram>;

/// Everything that is counted in one process.
pub struct Metrics {
    registry: Registry,
    ingress_events: Counters<AdapterSource>,
    publish_success: Counters<Topic>,
    publish_failure: Counters<TopicReason>,
    consume_events: Counters<Topic>,
    egress_success: Counters<Adapter>,
    egress_failure: Counters<AdapterReason>,
    commits: Counters<Topic>,
    dead_letters: Counters<Topic>,
    answers: Counters<Answer>,
    attempt_seconds: Histograms<Adapter>,
    end_to_end_seconds: Histograms<Adapter>,
    in_flight: Gauges<Adapter>,
    waiting: Gauges<Adapter>,
    breaker: Gauges<Adapter>,
    retries: Counters<Adapter>,
    dropped: Counters<AdapterReason>,
    unrouted: Counters<Topic>,
    journal_drops: Counter,
    log_records: Gauges<Topic>,
    log_bytes: Gauges<Topic>,
    lag: Gauges<Adapter>,
    relay_records: Counters<BridgeOutcome>,
    relay_retries: Counters<Bridge>,
    relay_held: Gauges<Bridge>,
    relay_waits: Gauges<Bridge>,
    relay_lag: Gauges<Bridge>,
    log_appends: Counter,
    log_commits: Counter,
    log_commit_seconds: Counter<f64, AtomicU64>,
    log_missed: Counter,
    log_stopped: Gauge,
    log_full: Gauge,
}

/// One destination's counters, found once and then free of look-ups.
#[derive(Clone)]
pub struct DestinationMetrics {
    adapter: String,
    egress_success: Counter,
    egress_failure: Counters<AdapterReason>,
    dropped: Counters<AdapterReason>,
    consume_events: Counters<Topic>,
    commits: Counters<Topic>,
    dead_letters: Counters<Topic>,
    attempt_seconds: Histogram,
    end_to_end_seconds: Histogram,
    in_flight: Gauge,
    waiting: Gauge,
    breaker: Gauge,
    retries: Counter,
}

/// One bridge's counters, found once and then free of look-ups.
#[derive(Clone)]
pub struct BridgeMetrics {
    carried: Counter,
    dead_lettered: Counter,
    retries: Counter,
    held: Gauge,
    waits: Gauge,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Bridge {
    bridge: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct BridgeOutcome {
    bridge: String,
    outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct AdapterSource {
    adapter: String,
    source: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Adapter {
    adapter: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct AdapterReason {
    adapter: String,
    reason: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Answer {
    adapter: String,
    source: String,
    answer: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Topic {
    topic: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct TopicReason {
    topic: String,
    reason: &'static str,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Counters at zero.
    pub fn new() -> Self {
        let histograms = || Histograms::new_with_constructor(|| Histogram::new(SECONDS));
        let mut metrics = Self {
            registry: Registry::default(),
            ingress_events: Family::default(),
            publish_success: Family::default(),
            publish_failure: Family::default(),
            consume_events: Family::default(),
            egress_success: Family::default(),
            egress_failure: Family::default(),
            commits: Family::default(),
            dead_letters: Family::default(),
            answers: Family::default(),
            attempt_seconds: histograms(),
            end_to_end_seconds: histograms(),
            in_flight: Family::default(),
            waiting: Family::default(),
            breaker: Family::default(),
            retries: Family::default(),
            dropped: Family::default(),
            unrouted: Family::default(),
            journal_drops: Counter::default(),
            log_records: Family::default(),
            log_bytes: Family::default(),
            lag: Family::default(),
            relay_records: Family::default(),
            relay_retries: Family::default(),
            relay_held: Family::default(),
            relay_waits: Family::default(),
            relay_lag: Family::default(),
            log_appends: Counter::default(),
            log_commits: Counter::default(),
            log_commit_seconds: Counter::default(),
            log_missed: Counter::default(),
            log_stopped: Gauge::default(),
            log_full: Gauge::default(),
        };
        metrics.register_seed();
        metrics.register_own();
        metrics
    }

    /// The text that Prometheus reads.
    pub fn render(&self) -> String {
        let mut out = String::new();
        #[expect(clippy::expect_used, reason = "writing to a String cannot fail")]
        text::encode(&mut out, &self.registry).expect("a String takes everything");
        out
    }

    /// A sender was answered: `accepted`, `duplicate`, `unverified`, … A `source` that the
    /// contract does not name must be passed as a constant.
    pub fn answered(&self, adapter: &str, source: &str, answer: &'static str) {
        let (adapter, source) = (adapter.to_owned(), source.to_owned());
        if matches!(answer, "accepted" | "duplicate" | "suppressed") {
            let labels = AdapterSource { adapter: adapter.clone(), source: source.clone() };
            self.ingress_events.get_or_create(&labels).inc();
        }
        self.answers.get_or_create(&Answer { adapter, source, answer }).inc();
    }

    /// An event is stored.
    pub fn published(&self, topic: &str) {
        self.publish_success.get_or_create(&Topic::of(topic)).inc();
    }

    /// An event could not be stored.
    pub fn not_published(&self, topic: &str, reason: &'static str) {
        self.publish_failure.get_or_create(&TopicReason { topic: topic.to_owned(), reason }).inc();
    }

    /// No smash route wanted a stored event.
    pub fn unrouted(&self, topic: &str) {
        self.unrouted.get_or_create(&Topic::of(topic)).inc();
    }

    /// An event of `topic` became a dead letter without a destination.
    pub fn dead_letter(&self, topic: &str) {
        self.dead_letters.get_or_create(&Topic::of(topic)).inc();
    }

    /// Attempt records that were not written, because the log was too slow for them.
    pub fn journal_dropped(&self, records: u64) {
        self.journal_drops.inc_by(records);
    }

    /// What the log holds, as it says itself; called before [`Self::render`].
    pub fn log_holds(&self, topics: &[TopicInfo]) {
        for info in topics {
            let labels = Topic::of(info.topic.as_str());
            let records = info.lanes.iter().map(|lane| lane.next - lane.first).sum::<u64>();
            let bytes = info.lanes.iter().map(|lane| lane.bytes).sum::<u64>();
            self.log_records.get_or_create(&labels).set(gauge(records));
            self.log_bytes.get_or_create(&labels).set(gauge(bytes));
        }
    }

    /// What the log has counted, as it says itself; called before [`Self::render`].
    pub fn log_counts(&self, stats: &Stats) {
        self.log_appends.inner().store(stats.appends, Ordering::Relaxed);
        self.log_commits.inner().store(stats.commits, Ordering::Relaxed);
        self.log_commit_seconds.inner().store(stats.commit_seconds_sum.to_bits(), Ordering::Relaxed);
        let missed = stats.missed.iter().map(|missed| missed.records).sum();
        self.log_missed.inner().store(missed, Ordering::Relaxed);
        self.log_stopped.set(stats.poisoned.is_some().into());
        self.log_full.set(stats.full.into());
    }

    /// Stored events that a destination has not settled; called before [`Self::render`].
    pub fn lag(&self, adapter: &str, events: u64) {
        self.lag.get_or_create(&Adapter { adapter: adapter.to_owned() }).set(gauge(events));
    }

    /// Records that a bridge has not settled; called before [`Self::render`].
    pub fn relay_lag(&self, bridge: &str, records: u64) {
        self.relay_lag.get_or_create(&Bridge { bridge: bridge.to_owned() }).set(gauge(records));
    }

    /// The counters of one bridge.
    pub fn bridge(&self, bridge: &str) -> BridgeMetrics {
        let labels = Bridge { bridge: bridge.to_owned() };
        let outcome = |outcome| BridgeOutcome { bridge: bridge.to_owned(), outcome };
        BridgeMetrics {
            carried: self.relay_records.get_or_create_owned(&outcome("carried")),
            dead_lettered: self.relay_records.get_or_create_owned(&outcome("dead_lettered")),
            retries: self.relay_retries.get_or_create_owned(&labels),
            held: self.relay_held.get_or_create_owned(&labels),
            waits: self.relay_waits.get_or_create_owned(&labels),
        }
    }

    /// The counters of one destination.
    pub fn destination(&self, adapter: &str) -> DestinationMetrics {
        let labels = Adapter { adapter: adapter.to_owned() };
        DestinationMetrics {
            adapter: adapter.to_owned(),
            egress_success: self.egress_success.get_or_create_owned(&labels),
            egress_failure: self.egress_failure.clone(),
            dropped: self.dropped.clone(),
            consume_events: self.consume_events.clone(),
            commits: self.commits.clone(),
            dead_letters: self.dead_letters.clone(),
            attempt_seconds: self.attempt_seconds.get_or_create_owned(&labels),
            end_to_end_seconds: self.end_to_end_seconds.get_or_create_owned(&labels),
            in_flight: self.in_flight.get_or_create_owned(&labels),
            waiting: self.waiting.get_or_create_owned(&labels),
            breaker: self.breaker.get_or_create_owned(&labels),
            retries: self.retries.get_or_create_owned(&labels),
        }
    }

    fn register_seed(&mut self) {
        let r = &mut self.registry;
        r.register("serve_ingress_events", "Verified events that came in", self.ingress_events.clone());
        r.register("serve_publish_success", "Events stored", self.publish_success.clone());
        r.register("serve_publish_failure", "Events that could not be stored", self.publish_failure.clone());
        r.register("smash_consume_events", "Events read for a destination", self.consume_events.clone());
        r.register("smash_egress_success", "Events delivered", self.egress_success.clone());
        r.register("smash_egress_failure", "Attempts that did not deliver", self.egress_failure.clone());
        r.register("smash_commit", "Commits", self.commits.clone());
        r.register("smash_dlq", "Dead letters, by the topic of the event", self.dead_letters.clone());
    }

    fn register_own(&mut self) {
        let r = self.registry.sub_registry_with_prefix("hook");
        r.register("accept_answers", "Requests, by what was answered", self.answers.clone());
        r.register("attempt_seconds", "One attempt at a destination", self.attempt_seconds.clone());
        r.register("end_to_end_seconds", "From receipt to delivery", self.end_to_end_seconds.clone());
        r.register("in_flight", "Attempts under way", self.in_flight.clone());
        r.register("waiting", "Events read and not yet settled", self.waiting.clone());
        r.register(
            "breaker_state",
            "0 running, 1 waiting for the destination, 2 halted",
            self.breaker.clone(),
        );
        r.register("retries", "Attempts after the first", self.retries.clone());
        r.register("dropped", "Events given up and not kept", self.dropped.clone());
        r.register("unrouted", "Stored events that no smash route wants", self.unrouted.clone());
        r.register("journal_dropped", "Attempt records not written", self.journal_drops.clone());
        r.register("log_records", "Records retained", self.log_records.clone());
        r.register("log_bytes", "Bytes retained", self.log_bytes.clone());
        r.register("lag", "Stored events that a destination has not settled", self.lag.clone());
        r.register("relay_records", "Records that a bridge is done with, by how", self.relay_records.clone());
        r.register("relay_retries", "Tries of a bridge that failed", self.relay_retries.clone());
        r.register("relay_held", "Records that a bridge has read and not settled", self.relay_held.clone());
        r.register("relay_waiting", "1 while a bridge can carry nothing", self.relay_waits.clone());
        r.register("relay_lag", "Records that a bridge has not settled", self.relay_lag.clone());
        r.register("log_appends", "Appends that were acknowledged", self.log_appends.clone());
        r.register("log_commits", "Group commits, each one flush", self.log_commits.clone());
        r.register("log_commit_seconds", "Time spent in group commits", self.log_commit_seconds.clone());
        r.register("log_missed_records", "Records that retention took unsettled", self.log_missed.clone());
        r.register("log_stopped", "1 after a failed flush, until a restart", self.log_stopped.clone());
        r.register("log_full", "1 while the disk has no room", self.log_full.clone());
    }
}

impl DestinationMetrics {
    /// Events of `topic` were read.
    pub fn consumed(&self, topic: &str, events: u64) {
        self.consume_events.get_or_create(&Topic::of(topic)).inc_by(events);
    }

    /// An event was delivered; `age` is the time since it was received.
    pub fn delivered(&self, age: Duration) {
        self.egress_success.inc();
        self.end_to_end_seconds.observe(age.as_secs_f64());
    }

    /// An attempt did not deliver.
    pub fn failed(&self, reason: &'static str) {
        self.egress_failure.get_or_create(&self.reason(reason)).inc();
    }

    /// How long one attempt took.
    pub fn attempt_took(&self, took: Duration) {
        self.attempt_seconds.observe(took.as_secs_f64());
    }

    /// An attempt after the first began.
    pub fn retried(&self) {
        self.retries.inc();
    }

    /// An event was given up and, as `required = false` says, not kept.
    pub fn dropped(&self, reason: &'static str) {
        self.dropped.get_or_create(&self.reason(reason)).inc();
    }

    /// An event of `topic` became a dead letter, durably.
    pub fn dead_letter(&self, topic: &str) {
        self.dead_letters.get_or_create(&Topic::of(topic)).inc();
    }

    /// A lane of `topic` was committed.
    pub fn committed(&self, topic: &str) {
        self.commits.get_or_create(&Topic::of(topic)).inc();
    }

    /// How many attempts are under way, and how many events are read and unsettled.
    pub fn holds(&self, in_flight: usize, waiting: usize) {
        self.in_flight.set(gauge(in_flight as u64));
        self.waiting.set(gauge(waiting as u64));
    }

    /// The breaker: 0 running, 1 waiting, 2 halted.
    pub fn breaker(&self, state: u8) {
        self.breaker.set(state.into());
    }

    fn reason(&self, reason: &'static str) -> AdapterReason {
        AdapterReason { adapter: self.adapter.clone(), reason }
    }
}

impl BridgeMetrics {
    /// So many records arrived, and so many became dead letters.
    pub fn carried(&self, records: u64, letters: u64) {
        self.carried.inc_by(records);
        self.dead_lettered.inc_by(letters);
    }

    /// A try failed.
    pub fn retried(&self) {
        self.retries.inc();
    }

    /// How many records are read and not settled.
    pub fn holds(&self, records: usize) {
        self.held.set(gauge(records as u64));
    }

    /// Whether it can carry nothing now.
    pub fn waits(&self, waits: bool) {
        self.waits.set(waits.into());
    }
}

impl Topic {
    fn of(topic: &str) -> Self {
        Self { topic: topic.to_owned() }
    }
}

fn gauge(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seeds_names_are_kept() {
        let metrics = Metrics::new();
        metrics.answered("in", "github", "accepted");
        metrics.answered("in", "github", "unverified");
        metrics.published("webhooks.core");
        metrics.not_published("webhooks.core", "full");
        let destination = metrics.destination("out");
        destination.consumed("webhooks.core", 3);
        destination.delivered(Duration::from_millis(3));
        destination.failed("failed");
        destination.committed("webhooks.core");
        destination.dead_letter("webhooks.core");
        let text = metrics.render();
        for line in [
            r#"serve_ingress_events_total{adapter="in",source="github"} 1"#,
            r#"serve_publish_success_total{topic="webhooks.core"} 1"#,
            r#"serve_publish_failure_total{topic="webhooks.core",reason="full"} 1"#,
            r#"smash_consume_events_total{topic="webhooks.core"} 3"#,
            r#"smash_egress_success_total{adapter="out"} 1"#,
            r#"smash_egress_failure_total{adapter="out",reason="failed"} 1"#,
            r#"smash_commit_total{topic="webhooks.core"} 1"#,
            r#"smash_dlq_total{topic="webhooks.core"} 1"#,
            r#"hook_end_to_end_seconds_count{adapter="out"} 1"#,
            r#"hook_accept_answers_total{adapter="in",source="github",answer="unverified"} 1"#,
            "hook_journal_dropped_total 0",
        ] {
            assert!(text.lines().any(|have| have == line), "{line} is missing in\n{text}");
        }
    }
}
