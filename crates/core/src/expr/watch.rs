//! The filters whose work grows faster than the expression's text, under watch.
//!
//! Fuel counts instructions, and one filter is one instruction however long the list
//! is that it walks: `payload.a | select('in', payload.b)` compares everything with
//! everything. So filters that call others for each element look at the clock at
//! each, and those that sort or hold a whole list take only so many elements. Those
//! that make one long pass look at the clock before it; all else is quick, or an
//! operator, which an expression without loops runs once.
//!
//! Measured on a payload of 25 MB: of what is left no single step takes longer than
//! 1.6 s (`unique` of 100,000 objects), and most take less than half a second. So a
//! condition ends within its time limit and one such step; it gets two tries.
//!
//! INVARIANT: an evaluation is synchronous, so what its thread was told last is its
//! own time limit.

use std::{cell::Cell, time::Instant};

use minijinja::{
    Environment, Error, ErrorKind, State, Value, filters,
    value::{FunctionArgs, FunctionResult, Rest, ValueKind, ValueOrKwargs},
};

/// Elements that a filter sorts or holds at most; `range` has the same limit.
const MOST_ELEMENTS: usize = 100_000;

thread_local! {
    static LIMIT: Cell<Option<Limit>> = const { Cell::new(None) };
}

#[derive(Clone, Copy)]
struct Limit {
    until: Instant,
    passed: bool,
}

/// A time limit on the evaluations of this thread, until it is dropped.
pub(super) struct Watch {
    before: Option<Limit>,
}

impl Watch {
    /// Limits what follows.
    pub(super) fn until(until: Instant) -> Self {
        Self { before: LIMIT.replace(Some(Limit { until, passed: false })) }
    }

    /// Whether something was stopped because its time was over.
    pub(super) fn stopped(&self) -> bool {
        LIMIT.get().is_some_and(|limit| limit.passed)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        LIMIT.set(self.before);
    }
}

/// Puts the filters that need it under watch.
pub(super) fn install(environment: &mut Environment<'static>) {
    environment.add_filter("map", with_first(filters::map, each));
    environment.add_filter("reject", with_first(filters::reject, each));
    environment.add_filter("rejectattr", with_first(filters::rejectattr, each));
    environment.add_filter("select", with_first(filters::select, each));
    environment.add_filter("selectattr", with_first(filters::selectattr, each));
    environment.add_filter("dictsort", with_first(filters::dictsort, few));
    environment.add_filter("groupby", with_first(filters::groupby, few));
    environment.add_filter("list", with_first(filters::list, few));
    environment.add_filter("sort", with_first(filters::sort, few));
    environment.add_filter("unique", with_first(filters::unique, few));
    environment.add_filter("batch", with_first(filters::batch, whole));
    environment.add_filter("join", with_first(filters::join, whole));
    environment.add_filter("max", with_first(filters::max, whole));
    environment.add_filter("min", with_first(filters::min, whole));
    environment.add_filter("pprint", with_first(filters::pprint, whole));
    environment.add_filter("replace", with_first(filters::replace, whole));
    environment.add_filter("split", with_first(filters::split, whole));
    environment.add_filter("string", with_first(filters::string, whole));
    environment.add_filter("sum", with_first(filters::sum, whole));
    environment.add_filter("title", with_first(filters::title, whole));
    environment.add_filter("tojson", with_first(filters::tojson, whole));
    environment.add_filter("urlencode", with_first(filters::urlencode, whole));
}

/// The filter, its first argument (what it filters) prepared before it sees it.
fn with_first<F, Rv, Args>(
    filter: F,
    prepare: fn(Value) -> Result<Value, Error>,
) -> impl Fn(&mut State<'_, '_>, Rest<ValueOrKwargs>) -> Result<Value, Error> + Send + Sync + 'static
where
    F: minijinja::functions::Function<Rv, Args>,
    Rv: FunctionResult,
    Args: for<'a> FunctionArgs<'a>,
{
    let filter = Value::from_function(filter);
    move |state, args| {
        let mut args = args.into_values();
        if let Some(first) = args.first_mut() {
            *first = prepare(std::mem::take(first))?;
        }
        filter.call(state, &args)
    }
}

/// The same elements, and the clock before each.
fn each(value: Value) -> Result<Value, Error> {
    in_time()?;
    if !is_walked(&value) {
        return Ok(value);
    }
    let timed = |element| in_time().map_or_else(Value::from, |()| element);
    let elements = move || match value.try_iter() {
        Ok(elements) => Some(elements.map(timed)).into_iter().flatten(),
        Err(_) => None.into_iter().flatten(),
    };
    Ok(Value::make_iterable(elements))
}

/// The same value, unless it has too many elements.
fn few(value: Value) -> Result<Value, Error> {
    in_time()?;
    if is_walked(&value) && value.try_iter()?.take(MOST_ELEMENTS + 1).count() > MOST_ELEMENTS {
        let message = format!("more than {MOST_ELEMENTS} elements in one filter");
        return Err(Error::new(ErrorKind::InvalidOperation, message));
    }
    Ok(value)
}

/// The same value, if there is time to look at all of it.
fn whole(value: Value) -> Result<Value, Error> {
    in_time().map(|()| value)
}

/// Whether it has elements; whatever else there is, the filter has its own word on it.
fn is_walked(value: &Value) -> bool {
    matches!(value.kind(), ValueKind::Iterable | ValueKind::Map | ValueKind::Seq | ValueKind::String)
}

fn in_time() -> Result<(), Error> {
    let Some(limit) = LIMIT.get() else { return Ok(()) };
    if Instant::now() < limit.until {
        return Ok(());
    }
    LIMIT.set(Some(Limit { passed: true, ..limit }));
    Err(Error::new(ErrorKind::InvalidOperation, "its time is over"))
}
