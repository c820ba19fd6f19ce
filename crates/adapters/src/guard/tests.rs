//! The guard against every form in which a private address was ever written.

use super::*;

fn blocked(allow: &[&str], url: &str) -> bool {
    let networks = Networks(allow.iter().map(|text| network(text).unwrap()).collect());
    Guard::new(networks).url(&url.parse().unwrap()).is_err()
}

#[test]
fn hosts_of_urls() {
    for url in [
        "https://localhost/",
        "https://LOCALHOST/",
        "https://a.localhost/",
        "https://localhost./",
        "https://127.0.0.1/",
        "https://127.1/",
        "https://2130706433/",
        "https://0x7f.1/",
        "https://0177.0.0.1/",
        "https://0.0.0.0/",
        "https://0.1.2.3/",
        "https://10.0.0.1/",
        "https://100.64.0.1/",
        "https://100.127.255.255/",
        "https://169.254.169.254/",
        "https://172.31.255.255/",
        "https://192.0.0.8/",
        "https://192.88.99.1/",
        "https://192.168.1.1/",
        "https://198.18.0.1/",
        "https://198.19.255.255/",
        "https://203.0.113.5/",
        "https://224.0.0.1/",
        "https://240.0.0.1/",
        "https://255.255.255.255/",
        "https://[::1]/",
        "https://[::]/",
        "https://[::ffff:127.0.0.1]/",
        "https://[::ffff:10.0.0.1]/",
        "https://[::ffff:0:10.0.0.1]/",
        "https://[::127.0.0.1]/",
        "https://[64:ff9b::7f00:1]/",
        "https://[64:ff9b::10.0.0.1]/",
        "https://[64:ff9b:1::1]/",
        "https://[100::1]/",
        "https://[2002:7f00:1::]/",
        "https://[fec0::1]/",
        "https://[fe80::1]/",
        "https://[fc00::1]/",
        "https://[fdff::1]/",
        "https://[2001:db8::1]/",
        "https://[2001::1]/",
        "https://[3fff::1]/",
        "https://[4000::1]/",
        "https://[ff02::1]/",
        "https://host.docker.internal/",
        "https://metadata.google.internal/",
        "https://metadata.google.internal./",
        "https://printer.local/",
    ] {
        assert!(blocked(&[], url), "{url} got through");
    }
    for url in [
        "https://example.com/",
        "https://example.com:22/",
        "https://1.1.1.1/",
        "https://8.8.8.8/",
        "https://100.63.255.255/",
        "https://172.32.0.1/",
        "https://[2606:4700:4700::1111]/",
        "https://[64:ff9b::1.1.1.1]/",
        "https://notlocalhost/",
        "https://internal.example.com/",
    ] {
        assert!(!blocked(&[], url), "{url} was blocked");
    }
}

#[test]
fn what_the_contract_allows_gets_through_and_nothing_else() {
    assert!(!blocked(&["127.0.0.0/8"], "http://127.0.0.1:18789/"));
    assert!(!blocked(&["127.0.0.1"], "http://[::ffff:127.0.0.1]/"));
    assert!(!blocked(&["127.0.0.0/8"], "http://localhost/"));
    assert!(blocked(&["127.0.0.1"], "http://127.0.0.2/"));
    assert!(blocked(&["10.0.0.0/8"], "http://127.0.0.1/"));
    assert!(!blocked(&["::/0", "0.0.0.0/0"], "http://[fe80::1]/"));
}

#[test]
fn a_name_is_what_it_resolves_to() {
    let judge = |addresses: &[&str]| {
        let found = addresses.iter().map(|text| SocketAddr::new(text.parse().unwrap(), 0));
        Guard::default().judge("rebind.example", found.collect::<Vec<_>>().into_iter()).map(|all| all.len())
    };
    assert_eq!(judge(&["1.1.1.1", "127.0.0.1"]), Ok(1));
    assert_eq!(judge(&["1.1.1.1"]), Ok(1));
    let refused = judge(&["169.254.169.254"]).unwrap_err().to_string();
    assert!(refused.contains("`rebind.example = 169.254.169.254`"), "{refused}");
    assert!(refused.contains("metadata"), "{refused}");
    assert!(judge(&[]).is_err());
}

#[test]
fn every_listed_network_parses_and_blocks_its_ends() {
    assert_eq!(NETWORKS.len(), BLOCKED.len());
    for (net, _) in NETWORKS.iter() {
        assert!(why_blocked(net.network()).is_some(), "{net}");
        assert!(why_blocked(net.broadcast()).is_some(), "{net}");
    }
}

proptest::proptest! {
    #[test]
    fn a_mapped_or_translated_address_is_judged_as_what_it_carries(bits: u32) {
        let v4 = Ipv4Addr::from_bits(bits);
        let mapped = v4.to_ipv6_mapped();
        let nat64 = Ipv6Addr::from_bits((0x64_ff9b_u128 << 96) | u128::from(bits));
        let judged = why_blocked(v4.into());
        proptest::prop_assert_eq!(why_blocked(mapped.into()), judged);
        proptest::prop_assert_eq!(why_blocked(nat64.into()), judged);
    }
}
