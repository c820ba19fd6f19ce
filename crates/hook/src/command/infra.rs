//! `hook infra`: certificates, and the settings that use them.

use hook_event::Clock;
use serde::Serialize;

use crate::{
    certs::{self, Entry, Folder, Outcome, Request},
    cli::{Certs, Gen, Global, Infra},
    output::{self, Output},
};

/// What was made, as it is printed.
#[derive(Serialize)]
struct Printed {
    directory: String,
    authority: Certificate,
    server: Certificate,
    clients: Vec<Certificate>,
    /// Whether what another authority signed in this folder is of no use any more.
    authority_replaced: bool,
    settings: Settings,
}

#[derive(Serialize)]
struct Certificate {
    name: String,
    certificate: String,
    key: String,
    hosts: Vec<String>,
    until: jiff::Timestamp,
    made: bool,
}

/// What uses the first of the clients, and the server's.
#[derive(Serialize)]
struct Settings {
    contract: String,
    environment: Vec<String>,
    ingress: String,
}

pub(crate) fn run(command: Infra, global: &Global, output: Output) -> anyhow::Result<()> {
    let Infra::Certs(Certs::Gen(Gen { out, host, days, client })) = command;
    let folder = Folder::at(&out)?;
    let request = Request { hosts: host, clients: client, days, replace: global.force };
    let outcome = certs::make(&folder, &request, Clock::SYSTEM.now())?;
    output.result(&printed(&folder, outcome), text)
}

fn printed(folder: &Folder, outcome: Outcome) -> Printed {
    let Outcome { authority, server, clients, authority_replaced } = outcome;
    let server = certificate("server".to_owned(), server);
    let authority = certificate("authority".to_owned(), authority);
    let clients: Vec<_> =
        clients.into_iter().map(|(name, entry)| certificate(format!("client {name}"), entry)).collect();
    let settings = settings(&authority, &server, &clients[0]);
    let directory = folder.path().display().to_string();
    Printed { directory, authority, server, clients, authority_replaced, settings }
}

fn certificate(name: String, entry: Entry) -> Certificate {
    Certificate {
        name,
        certificate: entry.pair.certificate.display().to_string(),
        key: entry.pair.key.display().to_string(),
        hosts: entry.hosts,
        until: entry.until,
        made: entry.made,
    }
}

fn settings(authority: &Certificate, server: &Certificate, client: &Certificate) -> Settings {
    let files = [("ca", &authority.certificate), ("cert", &client.certificate), ("key", &client.key)];
    let keys: String = files.iter().map(|(key, file)| format!("{key}_path = {file:?}\n")).collect();
    let variables = files.map(|(key, file)| format!("KAFKA_TLS_{}={file}", key.to_uppercase()));
    Settings {
        contract: format!("[log.kafka]\nsecurity_protocol = \"ssl\"\n\n[log.kafka.tls]\n{keys}"),
        environment: ["KAFKA_SECURITY_PROTOCOL=ssl".to_owned()].into_iter().chain(variables).collect(),
        ingress: format!("tls_cert_file = {:?}\ntls_key_file = {:?}\n", server.certificate, server.key),
    }
}

fn text(printed: &Printed) -> String {
    let all = [&printed.authority, &printed.server].into_iter().chain(&printed.clients);
    let row = |entry: &Certificate| {
        vec![
            entry.name.clone(),
            if entry.made { "made" } else { "kept" }.to_owned(),
            entry.until.strftime("%Y-%m-%d").to_string(),
            entry.hosts.join(" "),
            entry.certificate.clone(),
        ]
    };
    let table = output::table(&["WHAT", "", "UNTIL", "HOSTS", "FILE"], all.map(row).collect());
    let warning = match printed.authority_replaced {
        true => "\nThe authority is a new one: what the one before signed is of no use any more.\n",
        false => "",
    };
    format!(
        "{table}\n{warning}\nEach key lies beside its certificate, as `…-key.pem`. {} should stay where it is.\n\n\
         {}\n{}\n{}\n{}\n\n{}\n{}",
        printed.authority.key,
        output::heading("A Kafka cluster, in the contract"),
        printed.settings.contract,
        output::heading("or in the environment"),
        printed.settings.environment.join("\n"),
        output::heading("An `http_webhook_ingress`"),
        printed.settings.ingress,
    )
}
