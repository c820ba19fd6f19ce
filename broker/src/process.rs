//! Child processes that end with this one, and waiting for them.
//!
//! `setpriv --pdeathsig KILL` asks the system to kill the child when the *thread*
//! that started it ends. A test's thread may end before its process does, so all
//! children are started by one thread that never ends.

use std::{
    io,
    process::{Child, Command},
    sync::{
        OnceLock,
        mpsc::{Receiver, Sender, channel},
    },
    time::{Duration, Instant},
};

use crate::{Error, Result};

type Order = (Command, Sender<io::Result<Child>>);

/// A command that runs `program` so that it is killed when we end.
pub(crate) fn bound_to_us(program: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--", program]);
    command
}

/// Starts what [`bound_to_us`] made.
pub(crate) fn spawn(command: Command) -> Result<Child> {
    static STARTER: OnceLock<Sender<Order>> = OnceLock::new();
    let (answer, started) = channel();
    let starter = STARTER.get_or_init(|| {
        let (orders, to_start) = channel();
        std::thread::spawn(move || start_each(&to_start));
        orders
    });
    let gone = || io::Error::other("the thread that starts children is gone");
    starter.send((command, answer)).map_err(|_| gone())?;
    let child = started.recv().map_err(|_| gone())?;
    child.map_err(|source| Error::Program { program: "setpriv", package: "util-linux", source })
}

fn start_each(orders: &Receiver<Order>) {
    for (mut command, answer) in orders {
        // Whoever asked waits for the answer.
        drop(answer.send(command.spawn()));
    }
}

/// Asks again and again until the answer is there or the time is over.
pub(crate) fn poll<T>(within: Duration, mut ask: impl FnMut() -> Result<Option<T>>) -> Result<Option<T>> {
    let until = Instant::now() + within;
    loop {
        if let Some(answer) = ask()? {
            return Ok(Some(answer));
        }
        if Instant::now() >= until {
            return Ok(None);
        }
        pause();
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "waits for another process, which says nothing when it is ready"
)]
fn pause() {
    std::thread::sleep(Duration::from_millis(50));
}
