//! What the routes work on: a running process, or a directory opened for a command.

use std::{sync::Arc, time::Duration};

use hook_core::{
    metrics::Metrics,
    pipeline::{deliver::DestinationStatus, relay::BridgeStatus},
    plan::{DestinationPlan, Plan},
    ports::{Accept, Readiness},
};
use hook_event::EventId;
use hook_ledger::Ledger;
use hook_log::{Log, Position, Topic, TopicInfo};
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use crate::{
    admin::{Refused, dead_letters, wire},
    app::{Endpoint, Opened},
    backend::Backend,
    relay,
    roles::Roles,
};

/// How long an operator waits for the ledger to know of a change.
const INDEXED_WITHIN: Duration = Duration::from_secs(2);
/// How often it is asked.
const INDEXED_POLL: Duration = Duration::from_millis(5);

/// Everything that the routes may look at.
pub(crate) struct Operations {
    plan: Plan,
    backend: Backend,
    pub(super) log: Arc<dyn Log>,
    pub(super) ledger: Arc<Ledger>,
    process: Option<Process>,
}

/// What only a running process has.
pub(crate) struct Process {
    pub(crate) roles: Roles,
    pub(crate) since: Timestamp,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) destinations: Vec<Arc<DestinationStatus>>,
    pub(crate) bridges: Vec<Arc<BridgeStatus>>,
    pub(crate) accept: Option<Arc<dyn Accept>>,
    pub(crate) listening: Vec<wire::Listening>,
    /// Ends streams that would have no end of their own.
    pub(crate) stop: CancellationToken,
}

impl Operations {
    /// Those of a running process.
    pub(crate) fn of_process(plan: Plan, opened: &Opened, process: Process) -> Arc<Self> {
        Arc::new(Self {
            plan,
            backend: opened.backend.clone(),
            log: opened.log.clone(),
            ledger: opened.ledger.clone(),
            process: Some(process),
        })
    }

    /// Those of a directory where nothing runs.
    pub(crate) fn of_directory(plan: Plan, opened: &Opened) -> Arc<Self> {
        Arc::new(Self {
            plan,
            backend: opened.backend.clone(),
            log: opened.log.clone(),
            ledger: opened.ledger.clone(),
            process: None,
        })
    }

    /// Resolves when the process stops; never where none runs.
    pub(super) async fn stopped(&self) {
        match &self.process {
            Some(process) => process.stop.cancelled().await,
            None => std::future::pending().await,
        }
    }

    pub(crate) fn plan(&self) -> &Plan {
        &self.plan
    }

    pub(super) fn readiness(&self) -> Readiness {
        let accept = self.process.as_ref().and_then(|process| process.accept.as_ref());
        let readiness = accept.map_or_else(|| self.deliver_readiness(), |accept| accept.readiness());
        match self.backend.trouble() {
            Some(reason) if readiness.ready => Readiness { ready: false, reason: Some(reason), ..readiness },
            _ => readiness,
        }
    }

    /// A process that only delivers is ready as soon as it runs.
    fn deliver_readiness(&self) -> Readiness {
        Readiness {
            ready: self.process.is_some(),
            profile: self.plan.profile.clone(),
            validation_mode: mode(&self.plan),
            reason: self.process.is_none().then(|| "nothing runs here".to_owned()),
        }
    }

    pub(super) async fn metrics(&self) -> String {
        let Some(process) = &self.process else { return "# EOF\n".to_owned() };
        // A log that cannot be reached has no figures, and asking it would take long.
        if self.backend.trouble().is_none()
            && let Ok(topics) = self.log.topics().await
        {
            for destination in &self.plan.destinations {
                if let Ok(lag) = self.lag(destination, &topics).await {
                    process.metrics.lag(&destination.id, lag);
                }
            }
            process.metrics.log_holds(&topics);
        }
        relay::measure(&process.bridges, &process.metrics).await;
        if let Some(stats) = self.backend.stats() {
            process.metrics.log_counts(&stats);
        }
        process.metrics.render()
    }

    pub(super) async fn status(&self) -> anyhow::Result<wire::Status> {
        let process = self.process.as_ref();
        let readiness = self.readiness();
        let topics = self.log.topics().await?;
        let mut destinations = Vec::new();
        for plan in &self.plan.destinations {
            destinations.push(wire::Destination {
                adapter: plan.id.to_string(),
                driver: plan.driver.to_owned(),
                endpoint: plan.config.endpoint(),
                lag: self.lag(plan, &topics).await?,
                delivery: self.delivery(&plan.id)?,
            });
        }
        Ok(wire::Status {
            running: process.is_some(),
            app: self.plan.app.id.clone(),
            profile: self.plan.profile.clone(),
            validation_mode: mode(&self.plan),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            data: self.plan.log.path.display().to_string(),
            pid: process.map(|_| std::process::id()),
            role: process.map(|process| process.roles.name().to_owned()),
            since: process.map(|process| process.since),
            not_ready: readiness.reason.filter(|_| process.is_some()),
            listening: process.map(|process| process.listening.clone()).unwrap_or_default(),
            destinations,
            bridges: match process {
                Some(process) => relay::lines(&self.plan.relay.bridges, &process.bridges).await,
                None => Vec::new(),
            },
            topics: topics.iter().map(topic).collect(),
            dead_letters: self.ledger.totals()?.dead_letters,
        })
    }

    /// Refuses a destination that the contract does not have.
    pub(super) fn require_destination(&self, adapter: &str) -> Result<(), Refused> {
        let ids: Vec<_> = self.plan.destinations.iter().map(|destination| destination.id.as_ref()).collect();
        if ids.contains(&adapter) {
            return Ok(());
        }
        let valid = ids.iter().map(|id| format!("`{id}`")).collect::<Vec<_>>().join(", ");
        Err(Refused::bad_request(format!("no destination is called `{adapter}`, expected one of {valid}")))
    }

    /// Whether a topic holds events, and not the program's own records.
    pub(super) fn event_topics(&self) -> impl Fn(&Topic) -> bool + Send + Sync + 'static {
        let dead_letters = self.plan.log.dead_letters.clone();
        move |topic| *topic != dead_letters && !topic.as_str().starts_with("hook.")
    }

    pub(super) fn dead_letters_of(&self, id: EventId) -> anyhow::Result<Vec<wire::DeadLetterLine>> {
        let query = hook_ledger::DeadLetterQuery {
            event: Some(id),
            purged: true,
            ..hook_ledger::DeadLetterQuery::default()
        };
        let rows = self.ledger.dead_letters(&query)?;
        Ok(rows.into_iter().map(|row| dead_letters::line(self, row)).collect())
    }

    /// Where a dead letter of the ledger lies.
    pub(super) fn dead_letter_position(&self, row: &hook_ledger::DeadLetterRow) -> Position {
        Position { topic: self.plan.log.dead_letters.clone(), lane: row.lane, offset: row.offset }
    }

    /// Returns once the ledger knows what was just appended, so that the next question
    /// is answered with it; a busy process is not waited for longer than a moment.
    pub(super) async fn indexed(&self, appended: Option<&Position>) -> anyhow::Result<()> {
        if self.process.is_none() {
            self.ledger.catch_up(self.log.as_ref(), |_| ()).await?;
        }
        let mut tick = tokio::time::interval(INDEXED_POLL);
        let until = tokio::time::Instant::now() + INDEXED_WITHIN;
        while appended.is_some_and(|position| !self.ledger.has_read(position)) && tick.tick().await < until {}
        Ok(())
    }

    /// Records of the destination's topics that it has not settled.
    async fn lag(&self, destination: &DestinationPlan, topics: &[TopicInfo]) -> anyhow::Result<u64> {
        let committed = self.log.committed(&self.plan.group(&destination.id)).await?;
        let of_events = self.event_topics();
        let mut lag = 0;
        for info in topics {
            let own =
                hook_core::plan::redeliver_topic(&destination.id).is_ok_and(|topic| topic == info.topic);
            let routed = destination.routes.iter().any(|route| route.topics.matches(info.topic.as_str()));
            let read = own || (routed && of_events(&info.topic));
            for lane in info.lanes.iter().filter(|_| read) {
                let settled = committed.iter().find(|at| at.topic == info.topic && at.lane == lane.lane);
                let from = settled.map_or(lane.first, |at| (at.offset + 1).max(lane.first));
                lag += lane.next.saturating_sub(from);
            }
        }
        Ok(lag)
    }

    fn delivery(&self, id: &str) -> anyhow::Result<Option<serde_json::Value>> {
        let snapshots = self
            .process
            .iter()
            .flat_map(|process| process.destinations.iter())
            .map(|status| status.snapshot());
        let own = snapshots.into_iter().find(|snapshot| snapshot.adapter == id);
        Ok(own.map(serde_json::to_value).transpose()?)
    }
}

fn mode(plan: &Plan) -> String {
    match plan.validation_mode {
        hook_core::plan::ValidationMode::Strict => "strict".to_owned(),
        hook_core::plan::ValidationMode::Debug => "debug".to_owned(),
    }
}

fn topic(info: &TopicInfo) -> wire::Topic {
    wire::Topic {
        topic: info.topic.to_string(),
        first: info.lanes.iter().map(|lane| lane.first).min().unwrap_or(0),
        next: info.lanes.iter().map(|lane| lane.next).max().unwrap_or(0),
        bytes: info.lanes.iter().map(|lane| lane.bytes).sum(),
    }
}

impl From<&Endpoint> for wire::Listening {
    fn from(endpoint: &Endpoint) -> Self {
        Self { adapter: endpoint.adapter.to_string(), at: endpoint.at.clone() }
    }
}
