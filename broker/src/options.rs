//! What a test can ask of its broker.

/// How many nodes, how they are secured, and what else is to be set.
///
/// Begin with [`Options::single_node`] or [`Options::three_nodes`].
#[derive(Clone)]
pub struct Options {
    pub(crate) nodes: usize,
    pub(crate) security: Security,
    pub(crate) properties: Vec<(String, String)>,
    pub(crate) java: Vec<String>,
}

/// How clients speak to [`Kafka::bootstrap`](crate::Kafka::bootstrap).
///
/// The nodes speak to one another, and Kafka's own tools to them, on a listener
/// that is always plaintext: [`Kafka::internal`](crate::Kafka::internal).
#[derive(Clone)]
pub enum Security {
    /// No encryption, no login.
    Plaintext,
    /// TLS.
    Tls(Tls),
    /// A user with a password.
    Sasl(Sasl),
}

/// PEM texts, not paths. The certificate must be for `127.0.0.1`.
#[derive(Clone)]
pub struct Tls {
    /// Who signed the clients' certificates.
    pub ca: String,
    /// The broker's certificate, with those between it and the CA.
    pub certificate: String,
    /// Its key, PKCS#8, not encrypted.
    pub key: String,
    /// Whether clients must show a certificate.
    pub client_auth: ClientAuth,
}

/// Kafka's `ssl.client.auth`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientAuth {
    /// Not asked for.
    None,
    /// Judged when shown.
    Requested,
    /// No connection without.
    Required,
}

/// One user, who exists from the start.
#[derive(Clone)]
pub struct Sasl {
    /// How the password is shown.
    pub mechanism: Mechanism,
    /// Who.
    pub user: String,
    /// Letters and digits.
    pub password: String,
    /// `SASL_SSL` with this, else `SASL_PLAINTEXT`.
    pub over: Option<Tls>,
}

/// Kafka's `sasl.mechanism`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism {
    /// The password itself.
    Plain,
    /// Challenge and response.
    ScramSha256,
    /// The same with a longer hash.
    ScramSha512,
}

impl Options {
    /// One node, plaintext; it starts in about three seconds.
    #[must_use]
    pub fn single_node() -> Self {
        Self { nodes: 1, security: Security::Plaintext, properties: Vec::new(), java: Vec::new() }
    }

    /// Three nodes, plaintext. Kafka's own topics have three replicas, and so have
    /// those that are made without saying how many; two must have a record.
    #[must_use]
    pub fn three_nodes() -> Self {
        Self { nodes: 3, ..Self::single_node() }
    }

    /// Secures the clients' listener.
    #[must_use]
    pub fn security(mut self, security: Security) -> Self {
        self.security = security;
        self
    }

    /// Sets a broker property on every node, over what is set here.
    #[must_use]
    pub fn property(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.properties.push((key.into(), value.into()));
        self
    }

    /// Adds an option for Java, over those that are given here: a bench takes
    /// `-XX:TieredStopAtLevel=4` and a larger `-Xmx`.
    #[must_use]
    pub fn java(mut self, option: impl Into<String>) -> Self {
        self.java.push(option.into());
        self
    }
}

impl Security {
    pub(crate) fn tls(&self) -> Option<&Tls> {
        match self {
            Self::Plaintext => None,
            Self::Tls(tls) => Some(tls),
            Self::Sasl(sasl) => sasl.over.as_ref(),
        }
    }

    pub(crate) fn sasl(&self) -> Option<&Sasl> {
        match self {
            Self::Sasl(sasl) => Some(sasl),
            Self::Plaintext | Self::Tls(_) => None,
        }
    }

    pub(crate) fn protocol(&self) -> &'static str {
        match self {
            Self::Plaintext => "PLAINTEXT",
            Self::Tls(_) => "SSL",
            Self::Sasl(Sasl { over: Some(_), .. }) => "SASL_SSL",
            Self::Sasl(Sasl { over: None, .. }) => "SASL_PLAINTEXT",
        }
    }
}

impl ClientAuth {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Requested => "requested",
            Self::Required => "required",
        }
    }
}

impl Mechanism {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}
