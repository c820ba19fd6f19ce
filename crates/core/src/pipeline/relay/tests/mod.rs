//! The relay over the log in memory, whose failures are written down.

mod property;
mod scenarios;
mod world;
