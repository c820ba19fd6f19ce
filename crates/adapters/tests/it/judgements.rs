//! Every egress that speaks HTTP judges an answer as the one table says.

use hook_core::{
    ports::{DeliverError, Delivered},
    testing::{Judged, misjudged},
};

use crate::support::{Receiver, egress, event, response};

async fn attempt(driver: &str, keys: &str, status: u16) -> Result<Delivered, DeliverError> {
    let receiver = Receiver::answering(move |_| response(status, &[], "")).await;
    let text = format!("url = '{}'\nallow_networks = ['127.0.0.0/8']\n{keys}", receiver.url());
    egress(driver, &text, &[("T", "t0ken")]).await.deliver(&event("{}")).await
}

async fn check(driver: &str, keys: &str, except: &[(u16, Judged)]) {
    let wrong = misjudged(except, |status| attempt(driver, keys, status)).await;
    assert!(wrong.is_empty(), "{driver}: {wrong:#?}");
}

#[tokio::test]
async fn by_http_output() {
    check("http_output", "", &[]).await;
}

#[tokio::test]
async fn by_openclaw_http_output() {
    let keys = "token_env = 'T'\ntimeout_seconds = 5";
    // From the gateway 502 means that preparing this event's run failed.
    check("openclaw_http_output", keys, &[(502, Judged::Failed)]).await;
}
