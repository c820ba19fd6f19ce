//! Who listens where, and whether a destination is our own front door.
//!
//! Only what the contract itself says is compared; nothing is resolved or opened.

use url::{Host, Url};

use super::{parse::Contract, report::Report, written as w};
use crate::{glob::Glob, plan::Plan};

/// A place where something of ours listens.
struct Listener<'a> {
    name: String,
    id: Option<&'a w::Text>,
    url: Url,
    /// The paths that take events.
    paths: Option<Glob>,
}

pub(super) fn lint(contract: &Contract, plan: &Plan, report: &mut Report) {
    let listeners = listeners(contract, plan);
    one_place(&listeners, report);
    loops(contract, plan, &listeners, report);
}

fn listeners<'a>(contract: &'a Contract, plan: &Plan) -> Vec<Listener<'a>> {
    let ingress = plan.ingress.iter().filter_map(|adapter| {
        let template = adapter.config.url_template()?;
        let after_host = template.split_once("://")?.1.split_once('/')?.1;
        let written = contract.ingress.iter().map(|written| &written.common.id);
        Some(Listener {
            name: format!("the ingress adapter `{}`", adapter.id),
            id: written.into_iter().find(|id| **id.get_ref() == *adapter.id),
            url: Url::parse(&template).ok()?,
            paths: Some(Glob::new(&format!("/{}", after_host.replace("{source}", "*")))),
        })
    });
    let admin = plan.admin.bind.and_then(|bind| {
        let url = Url::parse(&format!("http://{bind}/")).ok()?;
        Some(Listener { name: "`[admin] bind`".to_owned(), id: None, url, paths: None })
    });
    admin.into_iter().chain(ingress).collect()
}

/// Two that listen in one place: the second could not start.
fn one_place(listeners: &[Listener<'_>], report: &mut Report) {
    for (at, listener) in listeners.iter().enumerate() {
        let Some(before) = listeners[..at].iter().find(|before| same_place(&before.url, &listener.url))
        else {
            continue;
        };
        let span = listener.id.map_or(0..0, |id| id.span());
        let title = format!("{} listens where {} listens already", listener.name, before.name);
        report.error("same_bind", span, title).help("give each a port of its own");
    }
}

/// A destination that sends events back to where they come in.
fn loops(contract: &Contract, plan: &Plan, listeners: &[Listener<'_>], report: &mut Report) {
    for destination in &plan.destinations {
        let Some(target) = Url::parse(&destination.config.endpoint()).ok().filter(Url::has_host) else {
            continue;
        };
        let reaches = |listener: &&Listener<'_>| {
            listener.paths.as_ref().is_some_and(|paths| paths.matches(target.path()))
                && same_place(&listener.url, &target)
        };
        let Some(listener) = listeners.iter().find(reaches) else { continue };
        let written = contract.egress.iter().map(|written| &written.common.id);
        let Some(id) = written.into_iter().find(|id| **id.get_ref() == *destination.id) else { continue };
        let title = format!("the adapter `{}` sends events back to {}", destination.id, listener.name);
        report.lint("loop", id.span(), title).help("every event would come in again, for ever");
    }
}

fn same_place(a: &Url, b: &Url) -> bool {
    let port = a.port_or_known_default();
    port.is_some_and(|port| port != 0)
        && port == b.port_or_known_default()
        && (a.host() == b.host()
            || (is_here(a) && is_here(b) && (is_any(a) || is_any(b) || is_name(a) || is_name(b))))
}

/// Whether it is surely this machine.
fn is_here(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback() || ip.is_unspecified(),
        Some(Host::Ipv6(ip)) => ip.is_loopback() || ip.is_unspecified(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

fn is_any(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_unspecified(),
        Some(Host::Ipv6(ip)) => ip.is_unspecified(),
        _ => false,
    }
}

fn is_name(url: &Url) -> bool {
    matches!(url.host(), Some(Host::Domain(_)))
}
