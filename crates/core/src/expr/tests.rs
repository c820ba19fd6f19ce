//! Expressions on one event: what they give, and what stops them.

use bytes::Bytes;
use hook_event::{Entropy, EventId, Meta};
use jiff::Timestamp;

use super::*;

fn view() -> View {
    View::of(&event())
}

fn event() -> Event {
    Event {
        id: EventId::new(Timestamp::UNIX_EPOCH, Entropy::SYSTEM),
        source: "github".into(),
        event_type: "pull_request.opened".into(),
        received_at: Timestamp::UNIX_EPOCH,
        meta: Meta::default(),
        payload: Bytes::from_static(br#"{"number":7,"title":"a \"q\"\n{{ id }}","draft":false}"#),
    }
}

#[test]
fn conditions() {
    for (source, holds) in [
        ("not payload.draft", true),
        ("payload.number > 7", false),
        ("event_type is startingwith('pull_request')", true),
        ("payload.missing is undefined", true),
        ("source in ['github', 'linear']", true),
    ] {
        assert_eq!(Condition::parse(source).unwrap().holds(&view()), Ok(holds), "{source}");
    }
}

#[test]
fn filters_under_watch_work_as_ever() {
    for source in [
        "[1, 2, 2] | map('string') | unique | list == ['1', '2']",
        "['b', 'A'] | sort == ['A', 'b'] and ['b', 'A'] | sort(reverse=true) == ['b', 'A']",
        "['a', 'A'] | unique(case_sensitive=true) | list | length == 2",
        "[{'a': 2}, {'a': 1}] | sort(attribute='a') | map(attribute='a') | list == [1, 2]",
        "[{'a': 2}, {}] | map(attribute='a', default=7) | list == [2, 7]",
        "[{'a': 2}, {'a': 1}] | selectattr('a', '>', 1) | list == [{'a': 2}]",
        "[{'a': 2}, {'a': 1}] | rejectattr('a', 'odd') | list == [{'a': 2}]",
        "[1, 2, 3] | reject('in', [1, 2]) | list == [3] and [0, 1] | select == [1]",
        "'dog' | select('in', 'aeiou') | list == ['o']",
        "{'b': 1, 'a': 2} | dictsort(by='value', reverse=true) | first == ('a', 2)",
        "[{'a': 1}, {'a': 1}] | groupby('a') | length == 1",
        "{'b': 1} | map('upper') | list == ['B'] and 'ab' | list == ['a', 'b']",
        "[1, 2, 3] | batch(2, 0) | list == [[1, 2], [3, 0]] and [1] | tojson == '[1]'",
        "[{'a': 1}, {'a': 2}] | join('-', attribute='a') == '1-2' and {'a': 1} | urlencode == 'a=1'",
        "[1, 3, 2] | max == 3 and [1, 3] | min == 1 and [1, 3] | sum(start=1) == 5",
        "'a b' | split | list == ['a', 'b'] and 'a-b' | replace('-', ' ') | title == 'A B'",
        "1 | string == '1' and 'x' | pprint is string",
    ] {
        assert_eq!(Condition::parse(source).unwrap().holds(&view()), Ok(true), "{source}");
    }
    for source in ["7 | sort", "7 | select", "payload.missing | map('upper')", "['a'] | map('no_such')"] {
        assert!(Condition::parse(source).unwrap().holds(&view()).is_err(), "{source}");
    }
}

#[test]
fn a_misspelt_name_is_found_before_any_event() {
    assert!(Condition::parse("paylod.x == 1").unwrap_err().message.contains("`paylod` is not a name here"));
    assert!(Template::parse("{{ paylod.x }}").unwrap_err().message.contains("`payload`"));
    assert!(Condition::parse("payload.x ==").is_err());
}

#[test]
fn text_is_data_and_never_evaluated_again() {
    let text = Template::parse("#{{ payload.number }} {{ payload.title }}").unwrap();
    assert_eq!(text.render(&view()).unwrap(), "#7 a \"q\"\n{{ id }}");
}

#[test]
fn json_text_stays_json() {
    let text = Template::parse_json(r#"{"text": {{ payload.title }} }"#).unwrap().render(&view()).unwrap();
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json["text"], "a \"q\"\n{{ id }}");
}

#[test]
fn a_runaway_template_is_stopped() {
    let text =
        Template::parse("{% for i in range(90000) %}{% for j in range(90000) %}x{% endfor %}{% endfor %}");
    assert!(!text.unwrap().render(&view()).unwrap_err().timed_out, "it ran out of fuel");
    let wide = Template::parse("{% for i in range(3000) %}{{ 'x' * 5000 }}{% endfor %}").unwrap();
    assert!(!wide.render(&view()).unwrap_err().timed_out, "it wrote too much");
}

/// A payload of two lists of numbers that have none in common.
fn long(elements: usize) -> View {
    let list = |number: &str| vec![number; elements].join(",");
    let payload = format!(r#"{{"a":[{}],"b":[{}]}}"#, list("1"), list("2"));
    View::of(&Event { payload: payload.into(), ..event() })
}

#[test]
fn a_condition_that_compares_everything_with_everything_is_stopped() {
    let view = long(20_000);
    for source in [
        "payload.a | select('in', payload.b)",
        "payload.a | reject('in', payload.b) | length > 1",
        "[payload.a, payload.b] | map('select', 'in', payload.b) | first",
    ] {
        let error = Condition::parse(source).unwrap().holds(&view).unwrap_err();
        assert_eq!(error.message, "the condition took longer than 250ms", "{source}");
        assert!(error.timed_out, "{source}");
    }
    let text = Template::parse("{% if payload.a | select('in', payload.b) %}x{% endif %}").unwrap();
    assert!(text.render(&view).unwrap_err().timed_out, "though it writes nothing");
}

#[test]
fn what_is_sorted_or_held_is_not_too_much() {
    for filter in ["list", "sort", "unique", "groupby('x')", "dictsort"] {
        let condition = Condition::parse(&format!("payload.a | {filter}")).unwrap();
        let error = condition.holds(&long(100_001)).unwrap_err();
        assert!(error.message.contains("more than 100000 elements"), "{filter}: {error}");
    }
    for (source, holds) in [
        ("payload.a | sort | length == 100000", true),
        ("payload.a | length == 100000", true),
        ("2 in payload.a", false),
        ("(payload.c | default([]) | sort | list) == []", true),
    ] {
        assert_eq!(Condition::parse(source).unwrap().holds(&long(100_000)), Ok(holds), "{source}");
    }
    assert!(Condition::parse("payload.c | sort").unwrap().holds(&long(1)).is_err(), "undefined as ever");
}

#[test]
fn a_template_that_was_only_slow_says_so() {
    let text = Template::parse("{{ payload.number }}").unwrap();
    let error = text.render_within(Duration::ZERO, &view()).unwrap_err();
    assert_eq!((error.message.as_str(), error.timed_out), ("the text took longer than 250ms", true));
}
