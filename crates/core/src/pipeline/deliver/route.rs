//! Which stored events a destination wants.
//!
//! A route's `when` that fails on an event is no "no": if no other route wants
//! the event, it goes to the dead letters (`when_failed`) and a person decides.
//! Topics of the pipeline's own (`hook.…`, the dead letters) are read only by a
//! route that names them exactly.

use hook_event::Event;
use hook_log::{Topic, TopicSet};

use crate::{
    expr::{ExprError, View},
    plan::{SmashRoute, redeliver_topic},
};

/// One destination's part of the routes.
#[derive(Clone)]
pub(super) struct Routes {
    routes: Vec<SmashRoute>,
    redeliver: Option<Topic>,
    dead_letters: Topic,
}

/// What a destination's routes say of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Judgement {
    /// It is to be delivered; `required` if any route that wants it says so.
    Wanted { required: bool },
    /// No route wants it.
    Unwanted,
    /// No route wants it for sure: a condition failed.
    WhenFailed { required: bool, error: String },
}

impl Routes {
    pub(super) fn new(adapter: &str, routes: Vec<SmashRoute>, dead_letters: Topic) -> Self {
        Self { routes, redeliver: redeliver_topic(adapter).ok(), dead_letters }
    }

    /// The topics that may hold something for the destination.
    pub(super) fn topics(&self) -> TopicSet {
        let routes = self.clone();
        TopicSet::matching(move |topic| routes.reads(topic))
    }

    /// Whether events of this topic were aimed at this destination alone.
    pub(super) fn is_redelivery(&self, topic: &Topic) -> bool {
        self.redeliver.as_ref() == Some(topic)
    }

    /// Whether the routes look at this topic, or it holds redeliveries.
    pub(super) fn reads(&self, topic: &Topic) -> bool {
        self.is_redelivery(topic)
            || self.routes.iter().any(|route| takes_topic(route, &self.dead_letters, topic))
    }

    /// What the routes say of an event of `topic`.
    pub(super) fn judge(&self, topic: &Topic, event: &Event) -> Judgement {
        if self.is_redelivery(topic) {
            let required = self.routes.is_empty() || self.routes.iter().any(|route| route.required);
            return Judgement::Wanted { required };
        }
        let (mut wanted, mut failed) = (None, None);
        let mut view = None;
        for route in self.routes.iter().filter(|route| takes(route, &self.dead_letters, topic, event)) {
            match holds(route, event, &mut view) {
                Ok(true) => wanted = Some(wanted.unwrap_or(false) | route.required),
                Ok(false) => {}
                Err(error) => {
                    let required = failed.as_ref().is_some_and(|(required, _)| *required) | route.required;
                    failed = Some((required, format!("`when` of the route `{}` failed: {error}", route.id)));
                }
            }
        }
        match (wanted, failed) {
            (Some(required), _) => Judgement::Wanted { required },
            (None, Some((required, error))) => Judgement::WhenFailed { required, error },
            (None, None) => Judgement::Unwanted,
        }
    }
}

/// What each route that takes an event of `topic` by its globs says of it: whether it
/// wants the event, or why its condition failed.
pub fn opinions<'a>(
    routes: &'a [SmashRoute],
    dead_letters: &Topic,
    topic: &Topic,
    event: &Event,
) -> Vec<(&'a SmashRoute, Result<bool, ExprError>)> {
    let mut view = None;
    let taking = routes.iter().filter(|route| takes(route, dead_letters, topic, event));
    taking.map(|route| (route, holds(route, event, &mut view))).collect()
}

/// Whether a topic is the pipeline's own.
pub(super) fn is_internal(topic: &Topic, dead_letters: &Topic) -> bool {
    topic == dead_letters || topic.as_str().starts_with("hook.")
}

fn takes(route: &SmashRoute, dead_letters: &Topic, topic: &Topic, event: &Event) -> bool {
    let filters = &route.event_filters;
    let by_type = filters.is_empty() || filters.iter().any(|glob| glob.matches(&event.event_type));
    by_type && takes_topic(route, dead_letters, topic)
}

fn takes_topic(route: &SmashRoute, dead_letters: &Topic, topic: &Topic) -> bool {
    match is_internal(topic, dead_letters) {
        true => route.topics.as_str() == topic.as_str(),
        false => route.topics.matches(topic.as_str()),
    }
}

fn holds(route: &SmashRoute, event: &Event, view: &mut Option<View>) -> Result<bool, ExprError> {
    let Some(when) = &route.when else { return Ok(true) };
    when.holds(view.get_or_insert_with(|| View::of(event)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{expr::Condition, glob::Glob, testing};

    fn route(topics: &str, filters: &[&str], when: Option<&str>, required: bool) -> SmashRoute {
        SmashRoute {
            id: "r".into(),
            topics: Glob::new(topics),
            event_filters: filters.iter().map(|filter| Glob::new(filter)).collect(),
            when: when.map(|text| Condition::parse(text).unwrap()),
            required,
        }
    }

    fn judge(routes: Vec<SmashRoute>, topic: &str) -> Judgement {
        let routes = Routes::new("out", routes, Topic::new("webhooks.dlq").unwrap());
        let event = testing::event(1, "push", br#"{"draft":true}"#);
        let topic = Topic::new(topic).unwrap();
        assert!(routes.topics().contains(&topic) || routes.judge(&topic, &event) == Judgement::Unwanted);
        routes.judge(&topic, &event)
    }

    const WANTED: Judgement = Judgement::Wanted { required: true };

    #[test]
    fn what_a_route_takes() {
        let on =
            |topics, filters: &[&str], when, topic| judge(vec![route(topics, filters, when, true)], topic);
        assert_eq!(on("webhooks.*", &[], None, "webhooks.core"), WANTED);
        assert_eq!(on("webhooks.core", &["issues.*", "pu*"], None, "webhooks.core"), WANTED);
        assert_eq!(on("webhooks.core", &["issues.*"], None, "webhooks.core"), Judgement::Unwanted);
        assert_eq!(on("webhooks.core", &[], Some("payload.draft"), "webhooks.core"), WANTED);
        assert_eq!(on("webhooks.core", &[], Some("not payload.draft"), "webhooks.core"), Judgement::Unwanted);
        assert_eq!(on("*", &[], None, "other"), WANTED);
    }

    #[test]
    fn own_topics_must_be_named() {
        let on = |topics, topic| judge(vec![route(topics, &[], None, true)], topic);
        for topic in ["webhooks.dlq", "hook.deliveries", "hook.redeliver.other"] {
            assert_eq!(on("*", topic), Judgement::Unwanted, "{topic}");
            assert_eq!(on(topic, topic), WANTED, "{topic}");
        }
        assert_eq!(on("nothing", "hook.redeliver.out"), WANTED);
    }

    #[test]
    fn any_route_that_requires_it_is_enough() {
        let both = vec![route("*", &[], None, false), route("*", &["push"], None, true)];
        assert_eq!(judge(both, "t"), WANTED);
        let other = vec![route("*", &[], None, false), route("*", &["issues"], None, true)];
        assert_eq!(judge(other, "t"), Judgement::Wanted { required: false });
    }

    #[test]
    fn a_condition_that_fails_is_no_no() {
        let broken = || route("*", &[], Some("payload.a.b.c == 1"), true);
        assert!(matches!(judge(vec![broken()], "t"), Judgement::WhenFailed { required: true, .. }));
        assert_eq!(judge(vec![broken(), route("*", &[], None, true)], "t"), WANTED);
    }
}
