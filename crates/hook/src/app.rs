//! The composition root: a plan becomes a running process, and stops in order.
//!
//! Up: log, ledger, destinations, acceptor, listeners, so that nothing is taken
//! in before it can be stored. Down: listeners first, then deliveries, then the
//! journal, the ledger and the log, so that nothing is cut off from what it
//! writes to.

use std::{collections::BTreeMap, sync::Arc};

use anyhow::Context;
use hook_core::{
    driver::BuildContext,
    metrics::Metrics,
    pipeline::{
        accept::Acceptor,
        deliver::{DeliverContext, Delivery, Unrouted},
        journal::Journal,
    },
    plan::{IngressPlan, Plan},
    ports::{Accept, Egress, Ingress},
    secret::Environment,
    source::Source,
};
use hook_event::{Clock, Entropy};
use hook_ledger::Ledger;
use hook_log::{EmbeddedLog, Log};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{admin, roles::Roles, store};

/// The log and the ledger of a data directory, opened and caught up.
pub(crate) struct Opened {
    pub(crate) log: Arc<EmbeddedLog>,
    pub(crate) ledger: Arc<Ledger>,
}

/// A running process.
pub(crate) struct Running {
    opened: Opened,
    endpoints: Vec<Endpoint>,
    ingress: Part,
    delivery: Part,
    history: Part,
    background: Part,
}

/// Where an ingress adapter listens.
pub(crate) struct Endpoint {
    pub(crate) adapter: Arc<str>,
    pub(crate) at: String,
}

/// Tasks that stop together.
struct Part {
    stop: CancellationToken,
    tasks: JoinSet<anyhow::Result<()>>,
}

impl Opened {
    /// Opens the directory as `roles`, recovers the log and lets the ledger catch up.
    pub(crate) async fn open(plan: &Plan, roles: Roles) -> anyhow::Result<Self> {
        let log = Arc::new(store::open_log(plan, roles)?);
        let ledger = Arc::new(store::open_ledger(plan, log.as_ref()).await?);
        Ok(Self { log, ledger })
    }

    /// Lets go of the directory.
    pub(crate) fn close(self) {
        drop(self.ledger);
        self.log.close();
    }
}

impl Running {
    /// Builds everything that the plan names and starts it.
    pub(crate) async fn start(plan: Plan, environment: Environment, roles: Roles) -> anyhow::Result<Self> {
        let opened = Opened::open(&plan, roles).await?;
        let log: Arc<dyn Log> = opened.log.clone();
        let metrics = Arc::new(Metrics::new());
        let (journal, writer) = Journal::new(log.clone(), metrics.clone());
        let mut history = Part::new();
        let context = |id: &Arc<str>| BuildContext {
            id: id.clone(),
            environment: environment.clone(),
            clock: Clock::SYSTEM,
            entropy: Entropy::SYSTEM,
        };

        let mut delivery = Part::new();
        let mut statuses = Vec::new();
        if roles.smash {
            history.spawn(|stop| async move {
                writer.run(stop).await;
                Ok(())
            });
            let deliver = DeliverContext {
                app_id: plan.app.id.as_str().into(),
                log: log.clone(),
                metrics: metrics.clone(),
                journal,
                clock: Clock::SYSTEM,
                entropy: Entropy::SYSTEM,
                dead_letters: plan.log.dead_letters.clone(),
            };
            for destination in &plan.destinations {
                let egress: Arc<dyn Egress> = destination
                    .config
                    .build(&context(&destination.id))
                    .await
                    .with_context(|| format!("cannot start the egress adapter `{}`", destination.id))?;
                let part = Delivery::new(destination.clone(), egress, deliver.clone());
                statuses.push(part.status());
                delivery.spawn(|stop| async move { Ok(part.run(stop).await?) });
            }
            let unrouted = Unrouted::new(&plan.destinations, plan.unrouted, deliver);
            delivery.spawn(|stop| async move { Ok(unrouted.run(stop).await?) });
        }

        let mut ingress = Part::new();
        let mut endpoints = Vec::new();
        let mut acceptor: Option<Arc<dyn Accept>> = None;
        if roles.serve {
            let listeners = listeners(&plan.ingress, context).await?;
            let accept = Acceptor::new(
                &plan,
                sources(&plan, &environment)?,
                log.clone(),
                opened.ledger.clone(),
                metrics.clone(),
                Clock::SYSTEM,
                Entropy::SYSTEM,
            );
            let accept: Arc<dyn Accept> = Arc::new(accept.context("cannot start taking events in")?);
            for (adapter, listener) in listeners {
                endpoints.push(Endpoint { adapter, at: listener.endpoint() });
                let accept = accept.clone();
                ingress.spawn(|stop| async move { Ok(listener.run(accept, stop).await?) });
            }
            acceptor = Some(accept);
        }

        let mut background = Part::new();
        let (ledger, followed) = (opened.ledger.clone(), log.clone());
        background.spawn(|stop| async move {
            ledger.follow(followed, stop).await;
            Ok(())
        });
        let process = admin::Process {
            roles,
            since: Clock::SYSTEM.now(),
            metrics,
            destinations: statuses,
            accept: acceptor,
            listening: endpoints.iter().map(Into::into).collect(),
        };
        let operations = admin::Operations::of_process(plan, &opened, process);
        for server in admin::servers(operations.clone()).await? {
            background.spawn(|stop| server.run(stop));
        }
        Ok(Self { opened, endpoints, ingress, delivery, history, background })
    }

    /// Where it listens.
    pub(crate) fn endpoints(&self) -> &[Endpoint] {
        &self.endpoints
    }

    /// Waits until `stop`, or until a part fails; then stops everything in order.
    pub(crate) async fn until(mut self, stop: CancellationToken) -> anyhow::Result<()> {
        let failed = tokio::select! {
            () = stop.cancelled() => Ok(()),
            failed = self.ingress.failed() => failed,
            failed = self.delivery.failed() => failed,
            failed = self.history.failed() => failed,
            failed = self.background.failed() => failed,
        };
        self.ingress.stop().await;
        self.delivery.stop().await;
        self.history.stop().await;
        self.background.stop().await;
        self.opened.close();
        failed
    }
}

impl Part {
    fn new() -> Self {
        Self { stop: CancellationToken::new(), tasks: JoinSet::new() }
    }

    fn spawn<F>(&mut self, task: impl FnOnce(CancellationToken) -> F)
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        self.tasks.spawn(task(self.stop.clone()));
    }

    /// Resolves only when a task ended that nobody had asked to.
    async fn failed(&mut self) -> anyhow::Result<()> {
        match self.tasks.join_next().await {
            None => std::future::pending().await,
            Some(Ok(Ok(()))) => Err(anyhow::anyhow!("a part of the process ended by itself")),
            Some(Ok(Err(error))) => Err(error),
            Some(Err(panic)) => Err(anyhow::anyhow!("a part of the process crashed: {panic}")),
        }
    }

    async fn stop(&mut self) {
        self.stop.cancel();
        while let Some(ended) = self.tasks.join_next().await {
            match ended {
                Ok(Ok(())) => {}
                Ok(Err(error)) => tracing::error!(%error, "a part did not stop cleanly"),
                Err(panic) => tracing::error!(%panic, "a part crashed while stopping"),
            }
        }
    }
}

async fn listeners(
    plans: &[IngressPlan],
    context: impl Fn(&Arc<str>) -> BuildContext,
) -> anyhow::Result<Vec<(Arc<str>, Box<dyn Ingress>)>> {
    let mut listeners = Vec::new();
    for plan in plans {
        let listener = plan.config.build(&context(&plan.id)).await;
        let listener = listener.with_context(|| format!("cannot start the ingress adapter `{}`", plan.id))?;
        listeners.push((plan.id.clone(), listener));
    }
    Ok(listeners)
}

fn sources(plan: &Plan, environment: &Environment) -> anyhow::Result<BTreeMap<String, Source>> {
    let mut sources = BTreeMap::new();
    for (name, source) in &plan.sources {
        let built = Source::build(name, source, environment);
        let built = built.with_context(|| format!("cannot start the source `{name}`"))?;
        sources.insert(name.clone(), built);
    }
    Ok(sources)
}
