//! The drivers over real sockets, built as a contract builds them.

#[cfg(test)]
mod contract;
#[cfg(test)]
mod http_output;
#[cfg(test)]
mod ingress;
#[cfg(test)]
mod ingress_limits;
#[cfg(test)]
mod ingress_tls;
#[cfg(test)]
mod judgements;
#[cfg(test)]
mod key_walk;
#[cfg(test)]
mod openclaw;
#[cfg(test)]
mod rows;
#[cfg(test)]
mod support;
