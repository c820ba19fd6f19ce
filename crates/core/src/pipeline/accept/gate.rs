//! A source and what stands before it: its rate, its cooldown, its routes.

use std::{num::NonZeroU32, sync::Arc};

use hook_log::TopicError;

use super::{
    cooldown::{Cooldown, Subject},
    rate::SourceRate,
    route::Routes,
};
use crate::{
    plan::{Plan, SourcePlan},
    ports::Refusal,
    source::Source,
};

/// Why an acceptor cannot be made of a plan.
#[derive(Debug, thiserror::Error)]
pub enum AcceptorError {
    /// A source of the plan was not built.
    #[error("the source `{0}` was not built")]
    MissingSource(String),
    /// A route's target is no topic for one of its sources.
    #[error("source `{source_name}` cannot be routed: {error}")]
    Topic {
        /// The source.
        source_name: String,
        /// What is wrong with the topic.
        error: TopicError,
    },
    /// A rate of zero would refuse everything.
    #[error("a rate of 0 per minute would refuse every request; leave it out for no limit")]
    ZeroRate,
}

/// One source and what stands before it.
pub(super) struct Gate {
    pub(super) source: Source,
    rate: Option<SourceRate>,
    cooldown: Option<Arc<Cooldown>>,
    pub(super) routes: Routes,
}

impl Gate {
    pub(super) fn new(
        name: &str,
        settings: &SourcePlan,
        source: Source,
        plan: &Plan,
    ) -> Result<Self, AcceptorError> {
        let routes = Routes::of(name, &plan.serve_routes)
            .map_err(|error| AcceptorError::Topic { source_name: name.to_owned(), error })?;
        Ok(Self {
            source,
            rate: rate(settings.rate_per_minute)?.map(SourceRate::per_minute),
            cooldown: Cooldown::new(settings.cooldown).map(Arc::new),
            routes,
        })
    }

    /// Counts a verified request.
    pub(super) fn spend(&self) -> Result<(), Refusal> {
        self.rate.as_ref().map_or(Ok(()), SourceRate::check)
    }

    /// The cooldown of a subject, where there is one.
    pub(super) fn cooldown(&self, subject: Option<&str>) -> Option<Subject> {
        Some(Subject { cooldown: Arc::clone(self.cooldown.as_ref()?), name: subject?.to_owned() })
    }
}

/// A rate as the contract wrote it.
pub(super) fn rate(per_minute: Option<u32>) -> Result<Option<NonZeroU32>, AcceptorError> {
    per_minute.map(|rate| NonZeroU32::new(rate).ok_or(AcceptorError::ZeroRate)).transpose()
}
