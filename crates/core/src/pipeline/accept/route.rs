//! Which topic an event goes to: the first route that fits, and no silent fallback.

use hook_log::{Topic, TopicError};

use crate::{glob::Glob, plan::ServeRoute};

/// The routes that one source can take, their topics resolved.
pub(super) struct Routes(Vec<Route>);

struct Route {
    id: String,
    event_types: Glob,
    topic: Topic,
}

impl Routes {
    /// The routes for events of `source`, in the contract's order.
    pub(super) fn of(source: &str, routes: &[ServeRoute]) -> Result<Self, TopicError> {
        let fitting = routes.iter().filter(|route| route.source_match.matches(source));
        let resolve = |route: &ServeRoute| {
            Ok(Route {
                id: route.id.clone(),
                event_types: route.event_type_pattern.clone(),
                topic: Topic::new(&route.target_topic.replace("{source}", source))?,
            })
        };
        fitting.map(resolve).collect::<Result<_, _>>().map(Self)
    }

    /// The id and topic of the first route that takes `event_type`.
    pub(super) fn find(&self, event_type: &str) -> Option<(&str, &Topic)> {
        let route = self.0.iter().find(|route| route.event_types.matches(event_type))?;
        Some((&route.id, &route.topic))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(id: &str, source: &str, event_type: &str, topic: &str) -> ServeRoute {
        ServeRoute {
            id: id.into(),
            source_match: Glob::new(source),
            event_type_pattern: Glob::new(event_type),
            target_topic: topic.into(),
        }
    }

    #[test]
    fn the_first_route_that_fits_wins() {
        let routes = [
            route("reviews", "github", "pull_request.*", "webhooks.reviews"),
            route("own", "git*", "*", "webhooks.{source}"),
            route("issues", "*", "Issue.*", "webhooks.core"),
        ];
        for (source, event_type, expected) in [
            ("github", "pull_request.opened", Some(("reviews", "webhooks.reviews"))),
            ("github", "push", Some(("own", "webhooks.github"))),
            ("gitlab", "pull_request.opened", Some(("own", "webhooks.gitlab"))),
            ("linear", "Issue.create", Some(("issues", "webhooks.core"))),
            ("linear", "Comment.create", None),
            ("github", "", Some(("own", "webhooks.github"))),
        ] {
            let routes = Routes::of(source, &routes).unwrap();
            let found = routes.find(event_type).map(|(id, topic)| (id, topic.as_str()));
            assert_eq!(found, expected, "{source} {event_type}");
        }
    }

    #[test]
    fn a_source_that_makes_no_topic_is_refused() {
        let routes = [route("own", "*", "*", "{source}")];
        assert!(Routes::of(".hidden", &routes).is_err());
    }
}
