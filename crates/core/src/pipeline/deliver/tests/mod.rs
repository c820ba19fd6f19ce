//! Delivery as a whole, on a log in memory and with paused time.

mod handover;
mod lines;
mod property;
mod scenarios;
mod world;
