//! Certificates for TLS: an authority of one's own, and what it signs.
//!
//! For a Kafka cluster, an ingress, or their clients, where no authority is at hand.
//! A key is on disk before its certificate, readable by its owner alone, and is never
//! printed. What is deliberately not here: revocation. Whoever lost a key makes a new
//! authority in a new folder.

mod authority;
mod folder;
mod name;
#[cfg(test)]
mod tests;

use anyhow::Context;
use jiff::Timestamp;

pub(crate) use authority::{Authority, Certified, Leaf};
pub(crate) use folder::{Folder, Pair};
pub(crate) use name::{ClientName, Host};

use crate::fault;

/// Longer is refused by systems that judge certificates by their age.
pub(crate) const LONGEST_DAYS: i64 = 825;

/// What is asked for.
pub(crate) struct Request {
    /// What the server is reached at; empty is what it was reached at before.
    pub(crate) hosts: Vec<Host>,
    /// Empty is `hook`.
    pub(crate) clients: Vec<ClientName>,
    pub(crate) days: u16,
    /// Put new ones in the place of those that are there.
    pub(crate) replace: bool,
}

/// What is in the folder now, as far as it was asked for.
pub(crate) struct Outcome {
    pub(crate) authority: Entry,
    pub(crate) server: Entry,
    pub(crate) clients: Vec<(ClientName, Entry)>,
    /// Whether certificates of an authority that was there are of no use any more.
    pub(crate) authority_replaced: bool,
}

/// A certificate and its key.
pub(crate) struct Entry {
    pub(crate) pair: Pair,
    pub(crate) hosts: Vec<String>,
    pub(crate) until: Timestamp,
    /// Whether it was made now.
    pub(crate) made: bool,
}

/// Makes what is asked for and is not there. Nothing is written before all of it was made.
pub(crate) fn make(folder: &Folder, request: &Request, now: Timestamp) -> anyhow::Result<Outcome> {
    let found = authority(folder, request, now)?;
    let clients = match request.clients.is_empty() {
        true => vec![ClientName::default()],
        false => request.clients.clone(),
    };
    let server = folder.server();
    let another = request.replace && request.clients.is_empty();
    let serve = found.made || !server.exists() || !request.hosts.is_empty() || another;
    refuse_to_overwrite(folder, request, &found, serve, &clients)?;

    let mut written = Vec::new();
    if found.made {
        written.push((folder.authority(), found.authority.certified()));
    }
    if serve {
        let leaf = Leaf::Server(hosts(request, &server)?);
        written.push((server.clone(), found.authority.issue(&leaf, now, request.days)?));
    }
    for name in &clients {
        let leaf = Leaf::Client(name.clone());
        written.push((folder.client(name), found.authority.issue(&leaf, now, request.days)?));
    }
    folder.write(&written, request.replace)?;

    let entry = |pair: Pair| -> anyhow::Result<Entry> {
        let made = written.iter().any(|(other, _)| *other == pair);
        let certificate = authority::read(&pair.certificate)?;
        Ok(Entry { hosts: certificate.hosts, until: certificate.until, made, pair })
    };
    let clients = clients.into_iter().map(|name| Ok((name.clone(), entry(folder.client(&name))?)));
    Ok(Outcome {
        authority: entry(folder.authority())?,
        server: entry(server)?,
        clients: clients.collect::<anyhow::Result<_>>()?,
        authority_replaced: found.replaced,
    })
}

/// Who signs.
struct Found {
    authority: Authority,
    made: bool,
    replaced: bool,
}

/// The authority of the folder, or a new one where there is none; in the place of one
/// that cannot sign only when told to.
fn authority(folder: &Folder, request: &Request, now: Timestamp) -> anyhow::Result<Found> {
    let pair = folder.authority();
    if !pair.exists() {
        return Ok(Found { authority: Authority::new(now)?, made: true, replaced: false });
    }
    match Authority::open(&pair, now) {
        Ok(authority) => Ok(Found { authority, made: false, replaced: false }),
        Err(_) if request.replace => {
            Ok(Found { authority: Authority::new(now)?, made: true, replaced: true })
        }
        Err(error) => Err(fault::usage(format!(
            "the authority in {} cannot sign: {error:#}\n  hint: `--force` makes a new one, which nothing signed before goes with",
            folder.path().display()
        ))),
    }
}

fn refuse_to_overwrite(
    folder: &Folder,
    request: &Request,
    found: &Found,
    serve: bool,
    clients: &[ClientName],
) -> anyhow::Result<()> {
    if request.replace {
        return Ok(());
    }
    let mut there: Vec<Pair> = clients.iter().map(|name| folder.client(name)).collect();
    // A new authority needs a new server, but not over one that another signed.
    there.extend((serve || found.made).then(|| folder.server()));
    let there: Vec<String> =
        there.iter().flat_map(Pair::files_there).map(|file| file.display().to_string()).collect();
    match there.is_empty() {
        true => Ok(()),
        false => Err(fault::usage(format!(
            "{} would be overwritten\n  hint: `--force` replaces what is there, `--client NAME` adds a client, `--out DIR` takes another folder",
            there.join(", ")
        ))),
    }
}

fn hosts(request: &Request, server: &Pair) -> anyhow::Result<Vec<Host>> {
    if !request.hosts.is_empty() {
        return Ok(request.hosts.clone());
    }
    if !server.certificate.exists() {
        return Ok(Host::local());
    }
    let before = authority::read(&server.certificate)?.hosts;
    let hosts = before.iter().map(|host| host.parse().map_err(anyhow::Error::msg)).collect::<Result<_, _>>();
    hosts.context("the server's certificate names a host that cannot be kept; name them by `--host`")
}
