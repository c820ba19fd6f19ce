//! The command line's grammar. Every command has an example; nothing here acts.

mod debug;
mod infra;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

pub(crate) use self::{
    debug::{Debug, Env},
    infra::{Certs, Gen, Infra},
};

const AFTER_HELP: &str = "\
Examples:
  hook demo                                    see it work, in a minute
  hook check                                   check ./contract.toml
  hook run                                     take events in, store them, deliver them
  hook events show 0198f3c2-…                  one event's whole life
  hook dlq list                                what was given up, and why
  hook dlq replay --adapter reviewer           try those again

Exit codes: 0 done, 1 failed while running, 2 usage or contract, 3 something it needs cannot be reached.";

const RELAY_HELP: &str = "\
Within one Kafka cluster every record is carried exactly once. A target that is away is waited for
without an end; a record that can never arrive becomes a dead letter that names its position.
Where the cluster is, and how to reach it, is said by KAFKA_BROKERS, KAFKA_SECURITY_PROTOCOL,
KAFKA_ALLOW_PLAINTEXT, KAFKA_TLS_{CERT,KEY,CA}, KAFKA_SASL_{MECHANISM,USERNAME,PASSWORD}.

Examples:
  hook relay --topics webhooks.github,webhooks.linear --output-topic webhooks.core
  hook relay --topics 'logs.*' --output-topic all-logs --mode raw --group-id all-logs
  hook relay                                   the bridges of the contract's profile";

/// Verify events from anywhere, store them durably, deliver them everywhere.
#[derive(Parser, Debug)]
#[command(name = "hook", version, about, after_help = AFTER_HELP, arg_required_else_help = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Flags that every command takes, before or after its name.
#[derive(Args, Debug, Clone)]
pub(crate) struct Global {
    /// The contract file [default: apps/APP/contract.toml, ./contract.toml, or the built-in one]
    #[arg(long, global = true, value_name = "FILE", env = "HOOK_CONTRACT")]
    pub(crate) contract: Option<PathBuf>,
    /// Use apps/APP/contract.toml
    #[arg(long, global = true, value_name = "APP")]
    pub(crate) app: Option<String>,
    /// The profile to run
    #[arg(long, global = true, value_name = "NAME", env = "HOOK_PROFILE")]
    pub(crate) profile: Option<String>,
    /// Read environment variables from a file; may be repeated, the process's own win
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) env_file: Vec<PathBuf>,
    /// How strictly the contract is checked; debug relaxes nothing about security
    #[arg(long, global = true, value_name = "MODE")]
    pub(crate) validation_mode: Option<Mode>,
    /// Go on in spite of findings that are not about security; replace files that are there
    #[arg(long, global = true)]
    pub(crate) force: bool,
    /// The log's directory, instead of the contract's `[log] path`
    #[arg(long, global = true, value_name = "DIR", env = "HOOK_DATA")]
    pub(crate) data: Option<PathBuf>,
    /// Print JSON for programs instead of text for people
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

/// How strictly a contract is checked.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Mode {
    /// Every finding is an error.
    Strict,
    /// What is not about security is a warning.
    Debug,
}

#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Take events in, store them and deliver them, in one process
    Run,
    /// Only take events in and store them
    Serve,
    /// Only deliver stored events
    Smash,
    /// Carry records from topics to a topic
    #[command(after_help = RELAY_HELP)]
    Relay(Relay),
    /// Show what the running process does: destinations, lag, log
    #[command(
        after_help = "Examples:\n  hook status\n  hook status --ready      # for scripts and health checks"
    )]
    Status {
        /// Only whether a process runs and can do its work: exit code 1 when it cannot, 3 when none runs
        #[arg(long)]
        ready: bool,
    },
    /// Check the contract and list every finding
    #[command(
        after_help = "Examples:\n  hook check\n  hook --contract apps/reviews/contract.toml check --json"
    )]
    Check,
    /// Look at the contract
    #[command(subcommand)]
    Config(Config),
    /// List the drivers with their keys
    Drivers {
        /// Only this driver, with an example
        name: Option<String>,
    },
    /// Send a payload as a provider would: signed, with its headers
    #[command(after_help = "Examples:\n  hook send --source github --event push --file payload.json\n  \
        hook send --source linear --file issue.json --url http://127.0.0.1:8080/webhook/linear")]
    Send(Send),
    /// Look at stored events
    #[command(subcommand)]
    Events(Events),
    /// Dead letters: events that a destination will not get without help
    #[command(subcommand)]
    Dlq(Dlq),
    /// Deliver stored events again
    #[command(subcommand)]
    Replay(Replay),
    /// Verify or repair the log's files
    #[command(subcommand)]
    Log(Log),
    /// What this program can do here, and which variables it reads
    #[command(subcommand)]
    Debug(Debug),
    /// What stands around the process: certificates
    #[command(subcommand)]
    Infra(Infra),
    /// Run the real pipeline with sample events for a minute and show every event's fate
    Demo,
    /// Print a completion script
    #[command(after_help = "Example:\n  hook completions bash > /etc/bash_completion.d/hook")]
    Completions {
        /// The shell
        shell: Shell,
    },
}

/// What the relay reads and where it goes. Without `--topics` the contract says it.
#[derive(Args, Debug)]
pub(crate) struct Relay {
    /// The topics to read, or globs, separated by commas
    #[arg(long, value_name = "TOPICS", value_delimiter = ',', requires = "output_topic")]
    pub(crate) topics: Vec<String>,
    /// The topic to write to; `{topic}` stands for the one that was read, `{source}` for an event's source
    #[arg(long, value_name = "TOPIC", requires = "topics")]
    pub(crate) output_topic: Option<String>,
    /// The group whose place in the topics it is; relays that share it share the work [default: hook-relay]
    #[arg(long, value_name = "GROUP", requires = "topics")]
    pub(crate) group_id: Option<String>,
    /// The cluster's brokers, `host:port` separated by commas [default: KAFKA_BROKERS]
    #[arg(long, value_name = "BROKERS", value_delimiter = ',', requires = "topics")]
    pub(crate) brokers: Vec<String>,
    /// What the records are [default: envelope]
    #[arg(long, value_name = "MODE", requires = "topics")]
    pub(crate) mode: Option<RelayMode>,
    /// How often a record that the cluster refuses is tried again before its dead letter [default: 5]
    #[arg(long, value_name = "N", requires = "topics")]
    pub(crate) max_retries: Option<u32>,
    /// The first wait between tries, in milliseconds [default: 200]
    #[arg(long, value_name = "MS", requires = "topics")]
    pub(crate) backoff_base_ms: Option<u32>,
    /// The longest wait between tries, in milliseconds [default: 5000]
    #[arg(long, value_name = "MS", requires = "topics")]
    pub(crate) backoff_max_ms: Option<u32>,
    /// Serve /metrics, /health, /ready and /v1/status here [default: the contract's `[admin] bind`]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) admin_bind: Option<std::net::SocketAddr>,
}

/// What the records are.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum RelayMode {
    /// Event envelopes: each is checked, and goes on byte for byte under its ordering key.
    Envelope,
    /// Any bytes: key and value go on untouched.
    Raw,
}

#[derive(Subcommand, Debug)]
pub(crate) enum Config {
    /// The same as `hook check`
    Validate,
    /// Print the plan: one profile, all defaults filled in, secrets by name only
    Show,
    /// Print the contract's JSON Schema (draft-07) for editors
    #[command(after_help = "Example:\n  hook config schema > contract.schema.json\n  \
        # then put `#:schema ./contract.schema.json` into the contract's first line")]
    Schema,
}

#[derive(Args, Debug)]
pub(crate) struct Send {
    /// The source to send as
    #[arg(long, value_name = "NAME")]
    pub(crate) source: String,
    /// The payload; `-` reads standard input
    #[arg(long, value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// The provider's event name, where it travels in a header: push
    #[arg(long, value_name = "NAME")]
    pub(crate) event: Option<String>,
    /// Where to send it [default: the contract's first HTTP ingress]
    #[arg(long, value_name = "URL")]
    pub(crate) url: Option<url::Url>,
    /// An extra header, `name: value`; may be repeated
    #[arg(long, value_name = "HEADER")]
    pub(crate) header: Vec<String>,
}

#[derive(Subcommand, Debug)]
pub(crate) enum Events {
    /// List stored events, newest first
    #[command(after_help = "Example:\n  hook events list --source github --type 'pull_request.*' --since 1h")]
    List(EventFilter),
    /// One event's whole life: received, verified, each attempt, where it ended
    Show {
        /// The event's id
        id: hook_event::EventId,
        /// Print the payload's bytes and nothing else
        #[arg(long)]
        payload: bool,
    },
    /// Print events as they are stored, until interrupted
    Tail {
        /// Only this source
        #[arg(long, value_name = "NAME")]
        source: Option<String>,
        /// Only event types that fit this glob
        #[arg(long = "type", value_name = "GLOB")]
        event_type: Option<String>,
    },
}

/// Which events.
#[derive(Args, Debug, Clone, Default)]
pub(crate) struct EventFilter {
    /// Only this source
    #[arg(long, value_name = "NAME")]
    pub(crate) source: Option<String>,
    /// Only event types that fit this glob
    #[arg(long = "type", value_name = "GLOB")]
    pub(crate) event_type: Option<String>,
    /// Received since: RFC 3339, or an age such as 90s, 15m, 2h, 7d
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// Received before: RFC 3339, or an age
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<String>,
    /// At most this many
    #[arg(long, default_value_t = 50, value_name = "N")]
    pub(crate) limit: usize,
}

#[derive(Subcommand, Debug)]
pub(crate) enum Dlq {
    /// List dead letters, newest first
    List(DlqFilter),
    /// One dead letter with its envelope
    Show {
        /// The event's id, or the dead letter's position `topic/lane/offset`
        which: String,
    },
    /// Deliver dead letters again, each to the destination that gave it up
    #[command(
        after_help = "Examples:\n  hook dlq replay --adapter reviewer --dry-run\n  hook dlq replay --adapter reviewer --rate 10"
    )]
    Replay {
        #[command(flatten)]
        filter: DlqFilter,
        /// At most this many a second
        #[arg(long, value_name = "N")]
        rate: Option<u32>,
        /// Only count
        #[arg(long)]
        dry_run: bool,
    },
    /// Take dead letters off the list; the log keeps their records until its retention takes them
    Purge {
        #[command(flatten)]
        filter: DlqFilter,
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

/// Which dead letters.
#[derive(Args, Debug, Clone, Default)]
pub(crate) struct DlqFilter {
    /// Only of this destination
    #[arg(long, value_name = "ADAPTER")]
    pub(crate) adapter: Option<String>,
    /// Only for this reason: refused, exhausted, expired, hook_denied, unroutable, malformed
    #[arg(long, value_name = "REASON")]
    pub(crate) reason: Option<String>,
    /// Only of this event
    #[arg(long, value_name = "ID")]
    pub(crate) event: Option<hook_event::EventId>,
    /// Given up since: RFC 3339, or an age such as 90s, 15m, 2h, 7d
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// Given up before: RFC 3339, or an age
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<String>,
    /// Also those that were replayed or purged
    #[arg(long)]
    pub(crate) all: bool,
    /// At most this many [default: 50 when listing, no limit otherwise]
    #[arg(long, value_name = "N")]
    pub(crate) limit: Option<usize>,
}

#[derive(Subcommand, Debug)]
pub(crate) enum Replay {
    /// Deliver events of the log again, to one destination only
    #[command(
        after_help = "Examples:\n  hook replay events --topic webhooks.core --since 2h --to reviewer --dry-run\n  \
        hook replay events --topic webhooks.core --since 2h --when 'payload.number == 42' --to reviewer --rate 5"
    )]
    Events(ReplayEvents),
    /// Send a payload file to a URL once, as it is
    Webhook {
        /// Where to
        #[arg(long, value_name = "URL")]
        url: url::Url,
        /// The payload
        #[arg(long, value_name = "FILE")]
        file: PathBuf,
        /// Sign it as this source of the contract would
        #[arg(long, value_name = "NAME")]
        source: Option<String>,
        /// A header, `name: value`; may be repeated
        #[arg(long, value_name = "HEADER")]
        header: Vec<String>,
    },
}

#[derive(Args, Debug)]
pub(crate) struct ReplayEvents {
    /// The topic to read
    #[arg(long, default_value = "webhooks.core", value_name = "TOPIC")]
    pub(crate) topic: String,
    /// Stored since: RFC 3339, or an age such as 90s, 15m, 2h, 7d
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// Stored before: RFC 3339, or an age
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<String>,
    /// Only event types that fit this glob
    #[arg(long = "type", value_name = "GLOB")]
    pub(crate) event_type: Option<String>,
    /// Only where this holds: `payload.number == 42`
    #[arg(long, value_name = "EXPRESSION")]
    pub(crate) when: Option<String>,
    /// The destination
    #[arg(long, value_name = "ADAPTER")]
    pub(crate) to: String,
    /// At most this many a second
    #[arg(long, value_name = "N")]
    pub(crate) rate: Option<u32>,
    /// Only count
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Subcommand, Debug)]
pub(crate) enum Log {
    /// Read every record and check it
    Verify,
    /// Cut out what is damaged (kept beside, in *.cut files) so that the log opens again
    Repair {
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::Cli;

    #[test]
    fn the_grammar_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn flags_may_stand_on_either_side_of_the_command() {
        let app = |line: &str| {
            let cli = Cli::try_parse_from(line.split(' ')).unwrap_or_else(|error| panic!("{line}: {error}"));
            (cli.global.app, cli.global.json)
        };
        for command in ["run", "serve", "smash", "check", "config show", "events list", "dlq list"] {
            let expected = (Some("reviews".to_owned()), true);
            assert_eq!(app(&format!("hook --app reviews --json {command}")), expected, "{command}");
            assert_eq!(app(&format!("hook {command} --app reviews --json")), expected, "{command}");
        }
    }
}
