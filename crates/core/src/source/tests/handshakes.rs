//! Requests that are answered and not stored.

use super::*;

const SECRET: &[(&str, &str)] = &[("S", "s3cret-for-tests")];

fn text(reply: Option<Reply>) -> Option<(u16, String)> {
    reply.map(|reply| (reply.status, String::from_utf8(reply.body.to_vec()).unwrap()))
}

fn shaken(source: &Source, body: &str) -> Option<Reply> {
    let raw = signed(source, body, at(1_700_000_000), None);
    assert_eq!(source.preflight(&raw), None);
    source.handshake(&source.verify(raw, at(1_700_000_000)).unwrap())
}

fn none(keys: &str) -> Source {
    source(&format!("algorithm = \"none\"\nevent_type = [\"event\"]\n{keys}"), &[])
}

fn get(query: &str) -> RawEvent {
    RawEvent { method: Method::GET, query: Some(query.to_owned()), ..post("", &[]) }
}

#[test]
fn slack_gets_its_challenge_back_when_it_signed_for_it() {
    let slack = source("preset = \"slack\"\nsecret_env = \"S\"", SECRET);
    let body = r#"{"token":"t","challenge":"3eZbrw1a","type":"url_verification"}"#;
    assert_eq!(text(shaken(&slack, body)), Some((200, "3eZbrw1a".to_owned())));
    assert_eq!(shaken(&slack, r#"{"type":"event_callback"}"#), None);
    assert!(unverified(slack.verify(post(body, &[]), at(1_700_000_000))));
    assert_eq!(text(slack.reply()), Some((200, String::new())));
}

#[test]
fn discord_gets_a_pong_for_either_ping_and_its_events_are_events() {
    let discord = source("preset = \"discord\"\nsecret_env = \"S\"", &[("S", ED25519_PRIVATE)]);
    let pong = shaken(&discord, r#"{"type":1,"id":"1"}"#).unwrap();
    assert_eq!((pong.status, &pong.body[..]), (200, &br#"{"type":1}"#[..]));
    assert_eq!(pong.content_type, "application/json");
    assert_eq!(text(shaken(&discord, r#"{"type":0}"#)), Some((204, String::new())));
    assert_eq!(shaken(&discord, r#"{"type":1,"event":{"type":"APPLICATION_AUTHORIZED"}}"#), None);
    assert_eq!(text(discord.reply()), Some((204, String::new())));
}

#[test]
fn a_query_can_be_echoed_to_anybody() {
    let source = none(
        "[[handshakes]]\nmethod = 'GET'\nsigned = false\nwhen = { '{?hub.mode}' = 'subscribe' }\necho = '{?hub.challenge}'",
    );
    let reply = source.preflight(&get("hub.mode=subscribe&hub.challenge=1158%201444")).unwrap();
    assert_eq!(text(reply.ok()), Some((200, "1158 1444".to_owned())));
    for query in [
        "hub.mode=other&hub.challenge=1",
        "hub.mode=subscribe",
        "hub.mode=subscribe&hub.challenge=1&hub.challenge=2",
    ] {
        let reply = source.preflight(&get(query));
        assert_eq!(reply, Some(Err(Refusal::MethodNotAllowed(Method::GET))), "{query}");
    }
}

#[test]
fn a_header_can_be_echoed_as_a_header() {
    let source = none(
        "[[handshakes]]\nsigned = false\nwhen = { '[{X-Hook-Secret}]!' = 'abc!' }\nheaders = { X-Hook-Secret = '{X-Hook-Secret}' }",
    );
    let reply = source.preflight(&post("", &[("x-hook-secret", "abc")])).unwrap().unwrap();
    assert_eq!(reply.headers["x-hook-secret"], "abc");
    assert_eq!(source.preflight(&post("{}", &[])), None);
}

#[test]
fn json_is_answered_with_its_texts_filled_in_and_escaped() {
    let source = none(
        "[[handshakes]]\nmethod = 'GET'\nwhen = { '{X-Ask}' = 'me' }\njson = { verification = '{X-Challenge}', n = [1, 'x{X-Ask}'] }",
    );
    let mut raw = get("");
    raw.headers.insert("x-ask", HeaderValue::from_static("me"));
    raw.headers.insert("x-challenge", HeaderValue::from_static("a\"b"));
    assert_eq!(source.preflight(&raw), None, "what is answered after verification is not refused before it");
    let verified = source.verify(raw, at(0)).unwrap();
    let reply = text(source.handshake(&verified));
    assert_eq!(reply, Some((200, r#"{"verification":"a\"b","n":[1,"xme"]}"#.to_owned())));
    assert_eq!(source.normalize(verified), Err(Refusal::MethodNotAllowed(Method::GET)));
}

#[test]
fn a_method_that_carries_nothing_is_refused_before_any_body() {
    for preset in PRESETS {
        let secret = match preset.name {
            "discord" => ED25519_PRIVATE,
            _ => "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        };
        let named = preset.secret_env.map(|_| "secret_env = \"S\"").unwrap_or_default();
        let source = source(&format!("preset = \"{}\"\n{named}", preset.name), &[("S", secret)]);
        for method in [Method::GET, Method::HEAD, Method::PUT, Method::DELETE, Method::OPTIONS] {
            let raw = RawEvent { method: method.clone(), ..post("{}", &[]) };
            assert_eq!(
                source.preflight(&raw),
                Some(Err(Refusal::MethodNotAllowed(method))),
                "{}",
                preset.name
            );
        }
        assert_eq!(source.preflight(&post("{}", &[])), None);
    }
}
