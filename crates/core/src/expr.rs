//! The one small language for conditions and text: MiniJinja.
//!
//! An expression sees one event as `id`, `source`, `event_type`, `received_at`,
//! `meta` and `payload`. It can be wrong but not harmful: it has fuel, a time
//! limit (`watch` says how far it reaches) and an output limit, and reads nothing
//! but the event.

mod watch;

use std::{
    fmt, io,
    sync::{Arc, LazyLock},
    time::{Duration, Instant},
};

use hook_event::Event;
use minijinja::{AutoEscape, Environment, UndefinedBehavior, Value, context, value::Serde};
use watch::Watch;

const FUEL: u64 = 200_000;
const TIME_LIMIT: Duration = Duration::from_millis(250);
const OUTPUT_LIMIT: usize = 4 << 20;

/// A condition such as `payload.action == "opened"`.
#[derive(Clone)]
pub struct Condition {
    source: Arc<str>,
    compiled: Arc<minijinja::Expression<'static, 'static>>,
}

/// A text such as `Review #{{ payload.number }}`.
#[derive(Clone)]
pub struct Template {
    source: Arc<str>,
    environment: Arc<Environment<'static>>,
    name: &'static str,
}

/// An event bound for expressions: the payload is parsed once, however many look at it.
#[derive(Clone)]
pub struct View(Value);

/// An expression that does not parse, or fails on an event.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("{message}")]
pub struct ExprError {
    /// What is wrong, for a person.
    pub message: String,
    /// The bytes of the expression's text that are to blame, where known.
    pub range: Option<std::ops::Range<usize>>,
    /// Whether it was only slow. The machine may have been; another time it may do.
    pub timed_out: bool,
}

/// The names that an expression may use.
pub const NAMES: &[&str] = &["event_type", "id", "meta", "payload", "received_at", "source"];

static ENVIRONMENT: LazyLock<Environment<'static>> = LazyLock::new(environment);

impl Condition {
    /// Compiles a condition.
    ///
    /// # Errors
    /// When it does not parse or uses a name that no event has.
    pub fn parse(source: &str) -> Result<Self, ExprError> {
        let compiled = ENVIRONMENT.compile_expression_owned(source.to_owned())?;
        known_names(compiled.undeclared_variables(false).into_iter())?;
        Ok(Self { source: source.into(), compiled: Arc::new(compiled) })
    }

    /// Whether it holds for the event.
    ///
    /// # Errors
    /// When the expression fails on this event, such as by a missing field's field, or
    /// takes too long twice: the first time the machine may just have been busy.
    pub fn holds(&self, view: &View) -> Result<bool, ExprError> {
        match self.holds_within(TIME_LIMIT, view) {
            Err(error) if error.timed_out => self.holds_within(TIME_LIMIT, view),
            held => held,
        }
    }

    fn holds_within(&self, limit: Duration, view: &View) -> Result<bool, ExprError> {
        let watch = Watch::until(Instant::now() + limit);
        let held = self.compiled.eval(view.0.clone());
        if watch.stopped() {
            return Err(ExprError::slow("condition"));
        }
        Ok(held?.is_true())
    }
}

impl Template {
    /// Compiles a text.
    ///
    /// # Errors
    /// When it does not parse or uses a name that no event has.
    pub fn parse(source: &str) -> Result<Self, ExprError> {
        Self::compile(source, "text")
    }

    /// Compiles a JSON text: what `{{ … }}` inserts is written as JSON.
    ///
    /// # Errors
    /// When it does not parse or uses a name that no event has.
    pub fn parse_json(source: &str) -> Result<Self, ExprError> {
        Self::compile(source, "text.json")
    }

    /// The text for an event.
    ///
    /// # Errors
    /// When the template fails on this event, takes too long or writes too much.
    pub fn render(&self, view: &View) -> Result<String, ExprError> {
        self.render_within(TIME_LIMIT, view)
    }

    fn render_within(&self, limit: Duration, view: &View) -> Result<String, ExprError> {
        let template = self.environment.get_template(self.name)?;
        let until = Instant::now() + limit;
        let watch = Watch::until(until);
        let mut out = Limited { text: Vec::new(), until, timed_out: false };
        let rendered = template.render_captured_to(view.0.clone(), &mut out).map(drop);
        if out.timed_out || watch.stopped() {
            return Err(ExprError::slow("text"));
        }
        rendered?;
        String::from_utf8(out.text).map_err(|error| ExprError::of(error.to_string()))
    }

    fn compile(source: &str, name: &'static str) -> Result<Self, ExprError> {
        let mut environment = environment();
        environment.add_template_owned(name, source.to_owned())?;
        known_names(environment.get_template(name)?.undeclared_variables(false).into_iter())?;
        Ok(Self { source: source.into(), environment: Arc::new(environment), name })
    }
}

impl View {
    /// Binds an event; a payload that is not JSON is bound as none.
    pub fn of(event: &Event) -> Self {
        let payload = event.payload_json().unwrap_or_default();
        Self(context!(
            id => event.id.to_string(),
            source => event.source.as_str(),
            event_type => event.event_type.as_str(),
            received_at => event.received_at.to_string(),
            meta => Value::from(Serde(&event.meta)),
            payload => Value::from(Serde(&payload)),
        ))
    }
}

fn environment() -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::SemiStrict);
    environment.set_fuel(Some(FUEL));
    watch::install(&mut environment);
    environment.set_auto_escape_callback(|name| match name.ends_with(".json") {
        true => AutoEscape::Json,
        false => AutoEscape::None,
    });
    environment
}

fn known_names(used: impl Iterator<Item = String>) -> Result<(), ExprError> {
    let globals: Vec<String> = ENVIRONMENT.globals().map(|(name, _)| name.to_owned()).collect();
    for name in used {
        if !NAMES.contains(&name.as_str()) && !globals.contains(&name) {
            let message = format!("`{name}` is not a name here, expected one of {}", list(NAMES));
            return Err(ExprError::of(message));
        }
    }
    Ok(())
}

fn list(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// Stops a template that writes too much or too long; fuel does not count what
/// happens inside one filter.
struct Limited {
    text: Vec<u8>,
    until: Instant,
    timed_out: bool,
}

impl io::Write for Limited {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.text.len() + bytes.len() > OUTPUT_LIMIT {
            return Err(io::Error::other("the text is larger than 4 MiB"));
        }
        if Instant::now() >= self.until {
            self.timed_out = true;
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl From<minijinja::Error> for ExprError {
    fn from(error: minijinja::Error) -> Self {
        let message = match error.detail() {
            Some(detail) => format!("{}: {detail}", error.kind()),
            None => error.kind().to_string(),
        };
        Self { range: error.range(), ..Self::of(message) }
    }
}

impl ExprError {
    fn slow(what: &str) -> Self {
        Self { timed_out: true, ..Self::of(format!("the {what} took longer than {TIME_LIMIT:?}")) }
    }

    fn of(message: String) -> Self {
        Self { message, range: None, timed_out: false }
    }
}

/// The condition as it was written.
impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.source)
    }
}

/// The text as it was written.
impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.source)
    }
}

impl fmt::Debug for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Condition({})", self.source)
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Template({})", self.source)
    }
}

#[cfg(test)]
mod tests;
