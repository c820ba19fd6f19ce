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
    inherited::Inherited,
    metrics::Metrics,
    pipeline::{
        accept::Acceptor,
        deliver::{DeliverContext, Delivery, DestinationStatus, Unrouted},
        journal::{Journal, JournalWriter},
    },
    plan::Plan,
    ports::{Accept, Ingress},
    secret::Environment,
    source::Source,
};
use hook_event::{Clock, Entropy};
use hook_ledger::Ledger;
use hook_log::Log;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{
    admin,
    backend::{self, Backend},
    inherited,
    relay::{self, Bridges},
    roles::Roles,
    store,
};

/// The log and the ledger of a data directory, opened and caught up.
pub(crate) struct Opened {
    pub(crate) backend: Backend,
    pub(crate) log: Arc<dyn Log>,
    pub(crate) ledger: Arc<Ledger>,
}

/// A running process.
pub(crate) struct Running {
    opened: Opened,
    endpoints: Vec<Endpoint>,
    ingress: Part,
    delivery: Part,
    bridges: Part,
    clusters: relay::Clusters,
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
    /// Opens the log as `roles` and lets the ledger catch up. The plan was given its
    /// place before.
    pub(crate) async fn open(plan: &Plan, environment: &Environment, roles: Roles) -> anyhow::Result<Self> {
        let backend = Backend::open(plan, environment, roles).await?;
        let ledger = Arc::new(store::open_ledger(plan, &backend).await?);
        Ok(Self { log: backend.log(), backend, ledger })
    }

    /// Lets go of the directory.
    pub(crate) fn close(self) {
        drop(self.ledger);
        self.backend.close();
    }
}

impl Running {
    /// Builds everything that the plan names, and only when all of it stands starts it.
    pub(crate) async fn start(
        mut plan: Plan,
        environment: Environment,
        roles: Roles,
        inherited: Inherited,
    ) -> anyhow::Result<Self> {
        backend::place(&mut plan, &environment, roles)?;
        let opened = Opened::open(&plan, &environment, roles).await?;
        let metrics = Arc::new(Metrics::new());
        let builder = Builder {
            plan: &plan,
            environment: &environment,
            opened: &opened,
            metrics: &metrics,
            inherited: &inherited,
        };
        let delivering = if roles.smash { Some(builder.delivering().await?) } else { None };
        let accepting = if roles.serve { Some(builder.accepting().await?) } else { None };
        let bridges = builder.bridges(roles)?;
        let endpoints = accepting.as_ref().map(Accepting::endpoints).unwrap_or_default();
        let process = admin::Process {
            roles,
            since: Clock::SYSTEM.now(),
            metrics: metrics.clone(),
            destinations: delivering.as_ref().map(Delivering::statuses).unwrap_or_default(),
            bridges: bridges.statuses(),
            accept: accepting.as_ref().map(|accepting| accepting.accept.clone()),
            listening: endpoints.iter().map(Into::into).collect(),
            stop: CancellationToken::new(),
        };
        let mut background = Part { stop: process.stop.clone(), tasks: JoinSet::new() };
        let servers =
            admin::servers(admin::Operations::of_process(plan, &opened, process), &inherited).await?;
        inherited::require_taken(&inherited)?;

        // Nothing below can fail, so nothing is delivered by a process that does not come up.
        let (ledger, log) = (opened.ledger.clone(), opened.log.clone());
        background.spawn(|stop| async move {
            ledger.follow(log, stop).await;
            Ok(())
        });
        servers.into_iter().for_each(|server| background.spawn(|stop| server.run(stop)));
        let (delivery, history) = delivering.map_or_else(|| (Part::new(), Part::new()), Delivering::spawn);
        let ingress = accepting.map_or_else(Part::new, Accepting::spawn);
        let mut carrying = Part::new();
        let (relays, clusters) = bridges.into_parts();
        relays.into_iter().for_each(|relay| carrying.spawn(|stop| async move { Ok(relay.run(stop).await?) }));
        Ok(Self { opened, endpoints, ingress, delivery, bridges: carrying, clusters, history, background })
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
            failed = self.bridges.failed() => failed,
            failed = self.history.failed() => failed,
            failed = self.background.failed() => failed,
        };
        self.ingress.stop().await;
        self.delivery.stop().await;
        self.bridges.stop().await;
        self.clusters.close();
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

/// Makes the halves of the pipeline from a plan, without starting them.
struct Builder<'a> {
    plan: &'a Plan,
    environment: &'a Environment,
    opened: &'a Opened,
    metrics: &'a Arc<Metrics>,
    inherited: &'a Inherited,
}

/// The right half, built.
struct Delivering {
    deliveries: Vec<Delivery>,
    unrouted: Unrouted,
    history: JournalWriter,
}

/// The left half, its listeners bound.
struct Accepting {
    accept: Arc<dyn Accept>,
    listeners: Vec<(Arc<str>, Box<dyn Ingress>)>,
}

impl Builder<'_> {
    async fn delivering(&self) -> anyhow::Result<Delivering> {
        let log = self.opened.log.clone();
        let (journal, history) = Journal::new(log.clone(), self.metrics.clone());
        let context = DeliverContext {
            app_id: self.plan.app.id.as_str().into(),
            log,
            metrics: self.metrics.clone(),
            journal,
            clock: Clock::SYSTEM,
            entropy: Entropy::SYSTEM,
            dead_letters: self.plan.log.dead_letters.clone(),
        };
        let mut deliveries = Vec::new();
        for destination in &self.plan.destinations {
            let egress = destination.config.build(&self.context(&destination.id)).await;
            let egress =
                egress.with_context(|| format!("cannot start the egress adapter `{}`", destination.id))?;
            deliveries.push(Delivery::new(destination.clone(), egress, context.clone()));
        }
        let unrouted = Unrouted::new(&self.plan.destinations, self.plan.unrouted, context);
        let unrouted = unrouted.except(relay::carried(self.plan));
        Ok(Delivering { deliveries, unrouted, history })
    }

    async fn accepting(&self) -> anyhow::Result<Accepting> {
        let mut listeners = Vec::new();
        for plan in &self.plan.ingress {
            let listener = plan.config.build(&self.context(&plan.id)).await;
            let listener =
                listener.with_context(|| format!("cannot start the ingress adapter `{}`", plan.id))?;
            listeners.push((plan.id.clone(), listener));
        }
        let accept = Acceptor::new(
            self.plan,
            self.sources()?,
            self.opened.log.clone(),
            self.opened.ledger.clone(),
            self.metrics.clone(),
            Clock::SYSTEM,
            Entropy::SYSTEM,
        );
        Ok(Accepting { accept: Arc::new(accept.context("cannot start taking events in")?), listeners })
    }

    fn bridges(&self, roles: Roles) -> anyhow::Result<Bridges> {
        let own = Some(&self.opened.backend);
        let bridges = relay::of_process(self.plan, roles);
        relay::build(&bridges, &self.plan.relay, &self.plan.log, own, self.environment, self.metrics)
    }

    fn sources(&self) -> anyhow::Result<BTreeMap<String, Source>> {
        let mut sources = BTreeMap::new();
        for (name, source) in &self.plan.sources {
            let built = Source::build(name, source, self.environment);
            let built = built.with_context(|| format!("cannot start the source `{name}`"))?;
            sources.insert(name.clone(), built);
        }
        Ok(sources)
    }

    fn context(&self, id: &Arc<str>) -> BuildContext {
        BuildContext {
            id: id.clone(),
            environment: self.environment.clone(),
            clock: Clock::SYSTEM,
            entropy: Entropy::SYSTEM,
            inherited: self.inherited.clone(),
            kafka: self.plan.log.backend.connection(),
        }
    }
}

impl Delivering {
    fn statuses(&self) -> Vec<Arc<DestinationStatus>> {
        self.deliveries.iter().map(Delivery::status).collect()
    }

    /// The deliveries, and what writes their history and must outlive them.
    fn spawn(self) -> (Part, Part) {
        let (mut delivery, mut history) = (Part::new(), Part::new());
        history.spawn(|stop| async move {
            self.history.run(stop).await;
            Ok(())
        });
        for part in self.deliveries {
            delivery.spawn(|stop| async move { Ok(part.run(stop).await?) });
        }
        delivery.spawn(|stop| async move { Ok(self.unrouted.run(stop).await?) });
        (delivery, history)
    }
}

impl Accepting {
    fn endpoints(&self) -> Vec<Endpoint> {
        let endpoint = |(adapter, listener): &(Arc<str>, Box<dyn Ingress>)| Endpoint {
            adapter: adapter.clone(),
            at: listener.endpoint(),
        };
        self.listeners.iter().map(endpoint).collect()
    }

    fn spawn(self) -> Part {
        let mut ingress = Part::new();
        for (_, listener) in self.listeners {
            let accept = self.accept.clone();
            ingress.spawn(|stop| async move { Ok(listener.run(accept, stop).await?) });
        }
        ingress
    }
}
