//! Real brokers, looked at with Kafka's own tools: what is stored survives a kill,
//! three nodes bear the loss of one, each way to secure a listener admits whom it
//! should, and nothing outlives its owner.

#[cfg(test)]
mod ends;
#[cfg(test)]
mod secured;
#[cfg(test)]
mod survives;
#[cfg(test)]
mod tools;
