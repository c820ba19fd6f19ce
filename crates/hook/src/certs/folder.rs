//! The folder that certificates are kept in, and how they get there whole.
//!
//! INVARIANT: a key's file is its owner's alone from the moment it exists, and its
//! certificate appears only after it.

use std::{
    fs::{self, Permissions},
    io::Write,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use anyhow::Context;

use super::{Certified, ClientName};

const PRIVATE: u32 = 0o600;
const PUBLIC: u32 = 0o644;

/// The folder.
pub(crate) struct Folder(PathBuf);

/// The files of one certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pair {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

impl Folder {
    /// The one at a path, which need not be there yet; shown and printed in full.
    pub(crate) fn at(path: &Path) -> anyhow::Result<Self> {
        Ok(Self(std::path::absolute(path).with_context(|| format!("{} is no folder", path.display()))?))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn authority(&self) -> Pair {
        self.pair("ca")
    }

    pub(crate) fn server(&self) -> Pair {
        self.pair("server")
    }

    pub(crate) fn client(&self, name: &ClientName) -> Pair {
        self.pair(&format!("client-{name}"))
    }

    fn pair(&self, name: &str) -> Pair {
        Pair { certificate: self.0.join(format!("{name}.pem")), key: self.0.join(format!("{name}-key.pem")) }
    }

    /// Writes them in order.
    pub(crate) fn write(&self, pairs: &[(Pair, Certified)], replace: bool) -> anyhow::Result<()> {
        fs::create_dir_all(&self.0).with_context(|| format!("{} cannot be made", self.0.display()))?;
        for (pair, certified) in pairs {
            self.put(&pair.key, &certified.key, PRIVATE, replace)?;
            self.put(&pair.certificate, &certified.certificate, PUBLIC, replace)?;
        }
        Ok(fs::File::open(&self.0)?.sync_all()?)
    }

    fn put(&self, path: &Path, text: &str, mode: u32, replace: bool) -> anyhow::Result<()> {
        let failed = || format!("{} cannot be written", path.display());
        let mut builder = tempfile::Builder::new();
        let mut file =
            builder.permissions(Permissions::from_mode(PRIVATE)).tempfile_in(&self.0).with_context(failed)?;
        file.write_all(text.as_bytes()).with_context(failed)?;
        // The process's mask takes away what only this call gives.
        file.as_file().set_permissions(Permissions::from_mode(mode)).with_context(failed)?;
        file.as_file().sync_all().with_context(failed)?;
        let put = if replace { file.persist(path) } else { file.persist_noclobber(path) };
        put.map(drop).map_err(|error| error.error).with_context(failed)
    }
}

impl Pair {
    /// Whether either file is there; also as a link to nothing.
    pub(crate) fn exists(&self) -> bool {
        self.files_there().next().is_some()
    }

    pub(crate) fn files_there(&self) -> impl Iterator<Item = &PathBuf> {
        [&self.certificate, &self.key].into_iter().filter(|file| file.symlink_metadata().is_ok())
    }
}
