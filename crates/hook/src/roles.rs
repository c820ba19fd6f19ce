//! Which halves of the pipeline a process runs.

use hook_core::contract::SecretUser;

/// The halves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Roles {
    /// Takes events in.
    pub(crate) serve: bool,
    /// Delivers them.
    pub(crate) smash: bool,
}

impl Roles {
    /// `hook run`.
    pub(crate) const ALL: Self = Self { serve: true, smash: true };
    /// `hook serve`.
    pub(crate) const SERVE: Self = Self { serve: true, smash: false };
    /// `hook smash`.
    pub(crate) const SMASH: Self = Self { serve: false, smash: true };
    /// A command that only looks.
    pub(crate) const NONE: Self = Self { serve: false, smash: false };

    /// Whether this half of the pipeline uses the secret.
    pub(crate) fn needs(self, user: &SecretUser) -> bool {
        match user {
            SecretUser::Source(_) | SecretUser::Ingress(_) => self.serve,
            SecretUser::Egress(_) => self.smash,
        }
    }

    /// The command's name, for the lock's owner and the status.
    pub(crate) fn name(self) -> &'static str {
        match (self.serve, self.smash) {
            (true, true) => "run",
            (true, false) => "serve",
            (false, true) => "smash",
            (false, false) => "command",
        }
    }
}
