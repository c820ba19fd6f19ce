//! Delivery as a whole, on a log in memory and with paused time.

mod property;
mod scenarios;
mod world;
