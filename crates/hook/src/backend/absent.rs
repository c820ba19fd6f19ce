//! No Kafka in this build: a contract that asks for it is refused.

use std::{convert::Infallible, sync::Arc};

use hook_core::{
    plan::{KafkaPlan, LogPlan, Plan},
    secret::Environment,
};
use hook_log::{Topic, forward::Link};

use crate::{fault, roles::Roles};

/// There is none.
#[derive(Clone)]
pub(crate) struct Log(Infallible);

impl Log {
    pub(crate) async fn open(_: &Plan, _: &Environment, _: Roles) -> anyhow::Result<Self> {
        Err(absent())
    }

    pub(crate) fn log(&self) -> Arc<dyn hook_log::Log> {
        match self.0 {}
    }

    pub(crate) fn trouble(&self) -> Option<String> {
        match self.0 {}
    }

    pub(crate) fn close(&self) {
        match self.0 {}
    }
}

/// There is none of those either.
#[derive(Clone)]
pub(crate) struct Cluster(Infallible);

impl Cluster {
    pub(crate) fn open(_: &KafkaPlan, _: &LogPlan, _: &Environment) -> anyhow::Result<Self> {
        Err(absent())
    }

    pub(crate) fn of(log: &Log, _: &Topic) -> Self {
        match log.0 {}
    }

    pub(crate) fn log(&self) -> Arc<dyn hook_log::Log> {
        match self.0 {}
    }

    pub(crate) fn dead_letters(&self) -> &Topic {
        match self.0 {}
    }

    pub(crate) fn exactly_once(&self, _: String) -> Arc<dyn Link> {
        match self.0 {}
    }

    pub(crate) fn close(&self) {
        match self.0 {}
    }
}

pub(crate) fn dead_letters(_: &Plan, _: &Environment) -> anyhow::Result<Topic> {
    Err(absent())
}

pub(crate) fn librdkafka() -> Option<String> {
    None
}

fn absent() -> anyhow::Error {
    fault::usage(
        "this `hook` was built without Kafka\n  hint: build it with the feature `kafka`, which is on by default",
    )
}
