//! `hook debug env`: which variables are read, whether each is set, where, and by whom.
//!
//! INVARIANT: a secret's value is shown only when `--no-redact` asked for it, and then
//! only to a terminal or with a second flag; nor is that of a variable that nobody reads,
//! for it may be a secret under a name that was misspelt.

use std::{collections::BTreeMap, io::IsTerminal};

use hook_core::{
    contract::{self as core, SecretUser},
    plan::{Backend, Plan},
    secret::{Environment, SecretError, SecretRef},
};
use serde::Serialize;

use super::variables::{OURS, variables};
use crate::{
    cli::{self, Global},
    contract,
    env::{self, Origin},
    fault,
    output::{self, Output},
};

/// One variable, or one file that holds a secret.
#[derive(Serialize)]
struct Row {
    name: String,
    state: State,
    /// Where it was found: `environment`, `credential FILE`, `file FILE`, `profile`.
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<String>,
    secret: bool,
    /// None where it is redacted.
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    /// Nobody, where it is empty.
    used_by: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum State {
    Set,
    Unset,
    Empty,
    Placeholder,
    Unreadable,
}

/// Who reads a name, and whether its value is a secret.
#[derive(Default)]
struct Use {
    secret: bool,
    by: Vec<String>,
}

pub(crate) fn run(shown: &cli::Env, global: &Global, output: Output) -> anyhow::Result<()> {
    if shown.no_redact && !shown.yes && !std::io::stdout().is_terminal() {
        return Err(fault::usage(
            "secrets are shown on a terminal only\n  hint: `--no-redact --yes` writes them to whatever this output is",
        ));
    }
    let plan = match contract::check(global, &contract::find(global)?) {
        Ok(loaded) => Some(loaded.plan),
        Err(_) => {
            output.note("the contract has errors, so what it names is not listed: run `hook check`");
            None
        }
    };
    let rows = rows(plan.as_ref(), &env::found(&global.env_file)?, shown.no_redact);
    output.result(&rows, |rows| text(rows))
}

fn rows(plan: Option<&Plan>, found: &[(String, String, Origin)], reveal: bool) -> Vec<Row> {
    let mut uses: BTreeMap<SecretRef, Use> = BTreeMap::new();
    for variable in variables() {
        let entry = uses.entry(SecretRef::Env(variable.name)).or_default();
        entry.secret = variable.secret;
        entry.by.push(variable.purpose);
    }
    for (secret, user) in plan.map(named).unwrap_or_default() {
        let entry = uses.entry(secret).or_default();
        entry.secret = true;
        entry.by.push(user);
    }
    for (name, _, _) in found {
        if OURS.iter().any(|prefix| name.starts_with(prefix)) {
            uses.entry(SecretRef::Env(name.clone())).or_insert(Use { secret: true, by: Vec::new() });
        }
    }
    let defaults = plan.map(|plan| plan.environment.clone()).unwrap_or_default();
    let own = Environment::new(found.iter().map(|(name, value, _)| (name.clone(), value.clone())));
    let environment = own.with_defaults(&defaults);
    let row = |(secret, used): (SecretRef, Use)| Row {
        name: secret.to_string(),
        state: state(&environment, &secret),
        from: origin(&secret, found, &defaults),
        value: value(&environment, &secret).filter(|_| reveal || !used.secret),
        secret: used.secret,
        used_by: used.by,
    };
    uses.into_iter().map(row).collect()
}

/// What the contract names.
fn named(plan: &Plan) -> Vec<(SecretRef, String)> {
    let shown = |(secret, user): (SecretRef, SecretUser)| (secret, user.to_string());
    let mut named: Vec<_> = core::secrets(plan).into_iter().map(shown).collect();
    if let Backend::Kafka(kafka) = &plan.log.backend {
        let sasl = &kafka.connection.sasl;
        let names = [&sasl.username_env, &sasl.password_env].into_iter().flatten();
        named.extend(names.map(|name| (SecretRef::Env(name.clone()), "the log in Kafka".to_owned())));
    }
    named
}

fn state(environment: &Environment, secret: &SecretRef) -> State {
    match environment.secret(secret) {
        Ok(_) => State::Set,
        Err(SecretError::Unset(_)) => State::Unset,
        Err(SecretError::Empty(_)) => State::Empty,
        Err(SecretError::Placeholder(_)) => State::Placeholder,
        Err(SecretError::File { .. }) => State::Unreadable,
    }
}

fn origin(
    secret: &SecretRef,
    found: &[(String, String, Origin)],
    defaults: &BTreeMap<String, String>,
) -> Option<String> {
    let SecretRef::Env(name) = secret else { return None };
    let last = found.iter().rev().find(|(other, _, _)| other == name);
    match last.map(|(_, _, origin)| origin) {
        Some(Origin::Process) => Some("environment".to_owned()),
        Some(Origin::Credential(path)) => Some(format!("credential {}", path.display())),
        Some(Origin::File(path)) => Some(format!("file {}", path.display())),
        None => defaults.contains_key(name).then(|| "profile".to_owned()),
    }
}

/// The text of a variable; a file is never read out.
fn value(environment: &Environment, secret: &SecretRef) -> Option<String> {
    match secret {
        SecretRef::Env(name) => environment.get(name).map(str::to_owned),
        SecretRef::File(_) => None,
    }
}

fn text(rows: &[Row]) -> String {
    let row = |row: &Row| {
        let value = match (&row.value, row.state) {
            (Some(value), State::Set) => value.clone(),
            (None, State::Set) => "set, not shown".to_owned(),
            (_, State::Unset) => "-".to_owned(),
            (_, State::Empty) => "EMPTY".to_owned(),
            (_, State::Placeholder) => "holds an unfilled `${…}`".to_owned(),
            (_, State::Unreadable) => "CANNOT BE READ".to_owned(),
        };
        let used_by =
            if row.used_by.is_empty() { "nothing reads it".to_owned() } else { row.used_by.join("; ") };
        vec![row.name.clone(), value, row.from.clone().unwrap_or_default(), used_by]
    };
    output::table(&["NAME", "VALUE", "FROM", "FOR"], rows.iter().map(row).collect())
}
