//! Which networks may be called: the guard against server-side request forgery.
//!
//! INVARIANT: an address is judged after it was resolved and it is the judged
//! address that is connected to, so a name cannot be rebound in between. Literals
//! never reach a resolver and are judged from the URL. Redirects and proxies are
//! off in `client`, or they would lead around the guard.
//!
//! Deliberately not here: a list of evil names. A name is what it resolves to;
//! only names that can never be public are reported without asking anyone.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::LazyLock,
};

use ipnet::IpNet;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
use url::{Host, Url};

/// Every network that is not the public internet, by the IANA special-purpose
/// registries; IPv6 outside `2000::/3` is refused besides.
const BLOCKED: &[(&str, &str)] = &[
    ("0.0.0.0/8", "this network"),
    ("10.0.0.0/8", "private"),
    ("100.64.0.0/10", "carrier-grade NAT"),
    ("127.0.0.0/8", "loopback"),
    ("169.254.0.0/16", "link-local, where clouds keep their metadata"),
    ("172.16.0.0/12", "private"),
    ("192.0.0.0/24", "protocol assignments"),
    ("192.0.2.0/24", "documentation"),
    ("192.88.99.0/24", "6to4 relays"),
    ("192.168.0.0/16", "private"),
    ("198.18.0.0/15", "benchmarking"),
    ("198.51.100.0/24", "documentation"),
    ("203.0.113.0/24", "documentation"),
    ("224.0.0.0/4", "multicast"),
    ("240.0.0.0/4", "reserved"),
    ("::/128", "unspecified"),
    ("::1/128", "loopback"),
    ("::/96", "IPv4-compatible"),
    ("::ffff:0:0:0/96", "IPv4-translated"),
    ("64:ff9b:1::/48", "local NAT64"),
    ("100::/64", "discard"),
    ("2001::/23", "protocol assignments and Teredo"),
    ("2001:db8::/32", "documentation"),
    ("2002::/16", "6to4"),
    ("3fff::/20", "documentation"),
    ("fc00::/7", "unique local"),
    ("fe80::/10", "link-local"),
    ("fec0::/10", "site-local"),
    ("ff00::/8", "multicast"),
];

static NETWORKS: LazyLock<Vec<(IpNet, &'static str)>> =
    LazyLock::new(|| BLOCKED.iter().filter_map(|(net, why)| Some((net.parse().ok()?, *why))).collect());

/// Networks as a contract writes them: CIDRs, or single addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Networks(Vec<IpNet>);

/// Lets a request out or not.
#[derive(Clone, Debug, Default)]
pub(crate) struct Guard {
    allow: Networks,
}

/// Why a host may not be called.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "`{host}` is in a network that is not called without permission ({why}), add it to `allow_networks` if it is yours"
)]
pub(crate) struct Blocked {
    host: String,
    why: &'static str,
}

impl Networks {
    /// Loopback, both families.
    pub(crate) fn loopback() -> Self {
        Self(vec![host_net(Ipv4Addr::LOCALHOST.into(), 8), host_net(Ipv6Addr::LOCALHOST.into(), 128)])
    }

    /// Whether the address lies in any of them; a mapped IPv4 address counts as IPv4.
    pub(crate) fn contains(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        self.0.iter().any(|net| net.contains(&ip))
    }
}

impl Guard {
    /// A guard that lets these networks through besides the public internet.
    pub(crate) fn new(allow: Networks) -> Self {
        Self { allow }
    }

    /// Judges a URL as far as that can be done without asking a resolver.
    pub(crate) fn url(&self, url: &Url) -> Result<(), Blocked> {
        match url.host() {
            Some(Host::Ipv4(ip)) => self.address(ip.into()),
            Some(Host::Ipv6(ip)) => self.address(ip.into()),
            Some(Host::Domain(name)) => self.name(name),
            None => Err(Blocked { host: url.to_string(), why: "it names no host" }),
        }
    }

    fn address(&self, ip: IpAddr) -> Result<(), Blocked> {
        match why_blocked(ip) {
            Some(why) if !self.allow.contains(ip) => Err(Blocked { host: ip.to_string(), why }),
            _ => Ok(()),
        }
    }

    /// With any allowed network the resolver has to decide.
    fn name(&self, name: &str) -> Result<(), Blocked> {
        let lower = name.trim_end_matches('.').to_ascii_lowercase();
        let label = lower.rsplit('.').next().unwrap_or_default();
        let why = match label {
            "localhost" => "loopback",
            "internal" | "local" => "a private name",
            _ => return Ok(()),
        };
        if self.allow.0.is_empty() { Err(Blocked { host: name.to_owned(), why }) } else { Ok(()) }
    }

    fn judge(&self, host: &str, found: impl Iterator<Item = SocketAddr>) -> Result<Vec<SocketAddr>, Blocked> {
        let mut refused = Blocked { host: host.to_owned(), why: "it has no address" };
        let mut allowed = Vec::new();
        for address in found {
            match self.address(address.ip()) {
                Ok(()) => allowed.push(address),
                Err(Blocked { host: ip, why }) => refused = Blocked { host: format!("{host} = {ip}"), why },
            }
        }
        if allowed.is_empty() { Err(refused) } else { Ok(allowed) }
    }
}

/// What reqwest asks for every host name, right before it connects.
impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = self.clone();
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let allowed = guard.judge(name.as_str(), found)?;
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

fn why_blocked(ip: IpAddr) -> Option<&'static str> {
    let ip = carried_by_nat64(ip.to_canonical());
    let listed = NETWORKS.iter().find(|(net, _)| net.contains(&ip)).map(|(_, why)| *why);
    listed.or_else(|| match ip {
        IpAddr::V6(v6) if v6.segments()[0] & 0xe000 != 0x2000 => Some("not global unicast"),
        _ => None,
    })
}

/// Where only IPv6 is spoken, every IPv4 host has an address in `64:ff9b::/96`; it
/// is as good or bad as the address that it carries.
fn carried_by_nat64(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V6(v6) if v6.segments()[..6] == [0x64, 0xff9b, 0, 0, 0, 0] => {
            let [.., a, b, c, d] = v6.octets();
            Ipv4Addr::new(a, b, c, d).into()
        }
        other => other,
    }
}

fn host_net(ip: IpAddr, prefix: u8) -> IpNet {
    IpNet::new(ip, prefix).map_or_else(|_| ip.into(), |net| net.trunc())
}

impl<'de> Deserialize<'de> for Networks {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let texts = Vec::<String>::deserialize(deserializer)?;
        texts.iter().map(|text| network(text).map_err(D::Error::custom)).collect::<Result<_, _>>().map(Self)
    }
}

fn network(text: &str) -> Result<IpNet, String> {
    text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from)).map_err(|_| {
        format!("`{text}` is not a network, expected such as `10.0.0.0/8`, `fd00::/8` or one address")
    })
}

/// As the contract writes it.
impl Serialize for Networks {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(&self.0)
    }
}

impl fmt::Display for Networks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all: Vec<String> = self.0.iter().map(IpNet::to_string).collect();
        f.write_str(&all.join(", "))
    }
}

#[cfg(test)]
mod tests;
